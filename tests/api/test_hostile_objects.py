"""Objects that one tenant wrote and nothing can be done with: each is refused or says why, and all others are served.

No webhook is between these tests and the API server, as for objects that were stored before it was installed. The
tenant is a service account with the role `edit`, and no admission policy is in force.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from tests.api.impersonation import bind
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

FOREVER = "99999999h"
BYSTANDER_S = 20.0
DEEP = 1500
"""Levels; Python 3.11 decodes some 1,000 of them."""
NESTED = "nested: "
YEARLY = {"cron": ["0 0 1 1 *"], "runTemplate": {"spec": {"flow": {"name": "flow"}}}}


def nested(levels: int = DEEP) -> str:
    """Return what stands for a list in a list in a list: the official client could not even send one."""
    return f"{NESTED}{levels}"


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "main", **fields}]}}


def inline(**fields: Any) -> dict[str, Any]:
    """Return the spec of a run with one task."""
    return {"flowSpec": {"tasks": [task(**fields)]}}


RUNS: dict[str, tuple[dict[str, Any], str, str]] = {
    # Name: spec, state, and a part of the message.
    "null-metadata": (inline(podTemplate={"metadata": None}), "Completed", ""),
    "null-spec": (inline(podTemplate={"spec": None}), "Completed", ""),
    "env-without-name": (
        inline(podTemplate=container(env=[{"value": "x"}])),
        "Failed",
        "spec.tasks[0].podTemplate.spec.containers[0].env[0].name: is required",
    ),
    "volumes-as-a-string": (
        {"flowSpec": {"tasks": [task(podTemplate={"spec": {"volumes": "data"}})], "workspace": {"size": "1Gi"}}},
        "Failed",
        "spec.tasks[0].podTemplate.spec.volumes: must be a list",
    ),
    "volumes-of-strings": (
        {"flowSpec": {"tasks": [task(podTemplate={"spec": {"volumes": ["data"]}})], "workspace": {"size": "1Gi"}}},
        "Failed",
        "spec.tasks[0].podTemplate.spec.volumes[0]: must be an object",
    ),
    "volumes-as-an-expression": (
        {
            "flowSpec": {
                "params": [{"name": "v", "type": "array", "default": ["x"]}],
                "tasks": [task(podTemplate={"spec": {"volumes": "$(params.v)"}})],
                "workspace": {"size": "1Gi"},
            }
        },
        "Failed",
        "spec.tasks[0].podTemplate.spec.volumes: must be a list",
    ),
    "deep-param": (
        {"flow": {"name": "nowhere"}, "params": {"p": nested()}},
        "Failed",
        "spec.params.p[0]: is nested too deeply",
    ),
    "deep-template": (
        inline(podTemplate={"spec": {"affinity": nested()}}),
        "Failed",
        "spec.flowSpec.tasks[0].podTemplate.spec.affinity[0]: is nested too deeply",
    ),
    "deep-outputs": (
        {"flowSpec": {"tasks": [task()], "outputs": {"o": nested()}}},
        "Failed",
        "spec.flowSpec.outputs.o[0]: is nested too deeply",
    ),
    "deep-default": (
        {"flowSpec": {"tasks": [task()], "params": [{"name": "p", "type": "array", "default": nested(300)}]}},
        "Failed",
        "spec.flowSpec.params[0].default[0]: is nested too deeply",
    ),
    "endless-retry": (
        inline(retry={"limit": 1, "delay": FOREVER, "maxDelay": FOREVER}, pod_outcome="fail"),
        "Failed",
        "spec.flowSpec.tasks[0].retry.delay: must be at most 87840h",
    ),
    "endless-timeout": ({**inline(), "timeout": "999999999h"}, "Failed", "spec.timeout: must be at most 87840h"),
    "before-all-times": (
        {**inline(), "scheduledTime": "0001-01-01T00:00:00Z"},
        "Failed",
        "spec.scheduledTime: must be between the years 1970 and 9998",
    ),
    "after-all-times": (
        {**inline(), "scheduledTime": "9999-12-31T23:59:59-12:00"},
        "Failed",
        "spec.scheduledTime: must be between the years 1970 and 9998",
    ),
}
FLOWS: dict[str, tuple[dict[str, Any], str]] = {
    # Name: spec, and a part of the condition's message.
    "deep-default": (
        {"tasks": [task()], "params": [{"name": "p", "type": "array", "default": nested()}]},
        "spec.params[0].default[0]: is nested too deeply",
    ),
    "deep-template": (
        {"tasks": [task(podTemplate={"spec": {"affinity": nested(300)}})]},
        "spec.tasks[0].podTemplate.spec.affinity[0]: is nested too deeply",
    ),
    "deep-outputs": ({"tasks": [task()], "outputs": {"o": nested()}}, "spec.outputs.o[0]: is nested too deeply"),
    "env-without-name": (
        {"tasks": [task(podTemplate=container(env=[{"value": "x"}]))]},
        "spec.tasks[0].podTemplate.spec.containers[0].env[0].name: is required",
    ),
    "endless": ({"tasks": [task()], "timeout": FOREVER}, "spec.timeout: must be at most 87840h"),
    "kept-forever": (
        {"tasks": [task()], "retention": {"failed": FOREVER}},
        "spec.retention.failed: must be at most 87840h",
    ),
}
SCHEDULES: dict[str, tuple[dict[str, Any], str]] = {
    "before-all-times": ({**YEARLY, "startTime": "0001-01-01"}, "spec.startTime: must be between the years"),
    "after-all-times": ({**YEARLY, "endTime": "9999-12-31"}, "spec.endTime: must be between the years"),
    "at-the-beginning": ({**YEARLY, "at": ["0001-01-01T00:00:00Z"]}, "spec.at[0]: must be between the years"),
    "endless": ({**YEARLY, "onMissed": {"within": FOREVER}}, "spec.onMissed.within: must be at most 87840h"),
    "deep": (
        {"cron": ["0 0 1 1 *"], "runTemplate": {"spec": {"flow": {"name": "f"}, "params": {"p": nested()}}}},
        "spec.runTemplate.spec.params.p[0]: is nested too deeply",
    ),
}
BACKFILLS: dict[str, tuple[dict[str, Any], str]] = {
    "before-all-times": (
        {"schedule": {"name": "yearly"}, "from": "0001-01-01T00:00:00Z", "to": "2020-01-01T00:00:00Z"},
        "spec.from: must be between the years",
    ),
    "after-all-times": (
        {"schedule": {"name": "yearly"}, "from": "2019-01-01T00:00:00Z", "to": "9999-12-31T00:00:00Z"},
        "spec.to: must be between the years",
    ),
}
ENTRIES: dict[str, dict[str, str]] = {
    "no-run": {"run": "", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    "path": {"run": "../../../api", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    "parent": {"run": "..", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    "ancient": {"run": "r", "runUid": "x", "task": "t", "time": "0001-01-01T00:00:00"},
    "deep": {"run": "r", "time": "2026-01-01T00:00:00Z", "ttlSeconds": "1", "outputs": '{"o":' + "[" * 8000},
    "endless": {"run": "r", "time": "2026-01-01T00:00:00Z", "ttlSeconds": "1e999", "outputs": "{}"},
    "long-item": {"run": "r", "runUid": "x", "task": "t", "item": "9" * 5000, "time": "2026-01-01T00:00:00Z"},
    "nothing": {},
}


@pytest.fixture
def scene(scene: Scene, api: kubernetes_client.ApiClient) -> Scene:
    """The tenant's namespace, as the tenant acts in it."""
    scene.act_as(bind(api, f"{scene.namespace}:tenant", "edit", namespace=scene.namespace))
    return scene


def store(scene: Scene, kind: str, name: str, spec: dict[str, Any]) -> None:
    """Create one of our objects, with nested values in place of what stands for them."""
    body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    text = re.sub(rf'"{NESTED}(\d+)"', lambda found: "[" * int(found[1]) + "1" + "]" * int(found[1]), json.dumps(body))
    client = scene.core.api_client
    path = f"/apis/{names.API_VERSION}/namespaces/{scene.namespace}/{kind.lower()}s"
    headers = {**client.default_headers, "Content-Type": "application/json"}
    client.update_params_for_auth(headers, [], ["BearerToken"], path, "POST", None)
    reply = client.rest_client.pool_manager.request(
        "POST", client.configuration.host + path, body=text.encode(), headers=headers
    )
    assert reply.status == HTTPStatus.CREATED, reply.data[:2000]


def store_entry(scene: Scene, name: str, data: dict[str, str]) -> None:
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_CACHE: "lock"}
    body: Any = {"metadata": {"name": name, "labels": labels}, "data": data}
    scene.core.create_namespaced_config_map(scene.namespace, body)


def ready(scene: Scene, kind: str, name: str) -> dict[str, Any]:
    """Wait for the condition `Ready` of an object."""

    def find() -> dict[str, Any]:
        item = scene.now[kind].get(name)
        conditions = [] if item is None else item.status.get("conditions") or ()
        return next((one for one in conditions if one["type"] == "Ready"), {})

    return scene.until(find, f"the condition of {kind} {name}")


def ended(scene: Scene, name: str) -> str:
    """Wait for a Backfill to be failed, and return why."""

    def find() -> str:
        item = scene.now["backfills"].get(name)
        return "" if item is None or item.status.get("state") != "Failed" else item.status["message"]

    return scene.until(find, f"the end of Backfill {name}")


def store_all(scene: Scene) -> None:
    """Store everything of these tables, beside a Flow and a Schedule with which nothing is wrong."""
    scene.create("Flow", "flow", {"tasks": [task()]})
    scene.create("Schedule", "yearly", YEARLY)
    for name, (spec, *_) in RUNS.items():
        store(scene, "FlowRun", name, spec)
    for kind, table in (("Flow", FLOWS), ("Schedule", SCHEDULES), ("Backfill", BACKFILLS)):
        for name, (spec, _) in table.items():
            store(scene, kind, name, spec)
    for name, data in ENTRIES.items():
        store_entry(scene, f"cache-{name}", data)


def check_all(scene: Scene) -> None:
    """Check that each of them was refused with its field path, or carried out."""
    for name, (_, state, said) in RUNS.items():
        status = scene.finish(name)
        assert (status["state"], said in status.get("message", "")) == (state, True), f"{name}: {status}"
    for kind, table in (("flows", FLOWS), ("schedules", SCHEDULES)):
        for name, (_, said) in table.items():
            found = ready(scene, kind, name)
            assert (found["status"], said in found["message"]) == ("False", True), f"{name}: {found}"
    for name, (_, said) in BACKFILLS.items():
        assert said in ended(scene, name)
    assert ready(scene, "schedules", "yearly")["status"] == "True"


def serve(scene: Scene, name: str) -> None:
    """Have a run carried out that nothing is wrong with."""
    scene.start_of("flow", name)
    assert scene.finish(name, within_s=BYSTANDER_S)["state"] == "Completed"


def test_an_operator_starts_with_every_bad_object_and_serves_all_others(scene, replica):
    store_all(scene)
    with replica() as running:
        serve(scene, "bystander")
        check_all(scene)
        assert running.metric("penstock_internal_errors_total") == 0
    assert "Traceback" not in running.log
    # What the next operator finds are their statuses as well.
    with replica():
        serve(scene, "second")


def test_an_operator_that_runs_when_bad_objects_come_serves_all_others(scene, replica):
    with replica() as running:
        scene.create("Flow", "first", {"tasks": [task()]})
        assert ready(scene, "flows", "first")["status"] == "True"
        store_all(scene)
        serve(scene, "bystander")
        check_all(scene)
        # kopf's watches are open still.
        scene.create("Flow", "last", {"tasks": [task()]})
        assert ready(scene, "flows", "last")["status"] == "True"
        assert running.metric("penstock_internal_errors_total") == 0
    assert "Traceback" not in running.log
