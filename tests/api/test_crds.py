"""The CustomResourceDefinitions against a real API server: what it accepts, what it refuses, and its messages."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api.kind import (
    BACKFILL,
    FLOW,
    FLOW_DEFAULTS,
    FLOWRUN,
    KINDS,
    MAX_LABEL_VALUE,
    MAX_SCHEDULE_NAME,
    SCHEDULE,
    Kind,
)
from penstock.api.names import API_VERSION, GROUP, VERSION
from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
ONE_TASK: dict[str, Any] = {"tasks": [{"name": "a", "image": "busybox:1.36"}]}
OCTOBER = {"schedule": {"name": "a"}, "from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
HOOK = {"secretRef": {"name": "hooks", "key": "a"}}
ETCD_LIMIT_BYTES = 1_572_864


@pytest.fixture
def objects(api: kubernetes_client.ApiClient) -> kubernetes_client.CustomObjectsApi:
    return kubernetes_client.CustomObjectsApi(api)


@pytest.fixture
def create(objects: kubernetes_client.CustomObjectsApi, namespace: str) -> Callable[..., Any]:
    """Create an object as kubectl does: an unknown field is an error."""

    def create(kind: Kind, spec: Any, **metadata: Any) -> Any:
        body = {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {"name": "it", **metadata}, "spec": spec}
        return objects.create_namespaced_custom_object(
            GROUP, VERSION, namespace, kind.plural, body, field_validation="Strict"
        )

    return create


@pytest.fixture
def patch(objects: kubernetes_client.CustomObjectsApi, namespace: str) -> Callable[..., Any]:
    """Patch the object `it`."""

    def patch(kind: Kind, change: dict[str, Any], part: str = "") -> Any:
        send = (
            objects.patch_namespaced_custom_object_status
            if part == "status"
            else objects.patch_namespaced_custom_object
        )
        return send(GROUP, VERSION, namespace, kind.plural, "it", change, _content_type=MERGE_PATCH)

    return patch


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str) -> Callable[..., str]:
    """Run kubectl in the test's namespace; return its output, or fail with its message."""

    def kubectl(*arguments: str, stdin: str = "") -> str:
        command = [str(binaries.binary("kubectl")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return kubectl


def refusal(do: Callable[[], object]) -> str:
    """The messages of the API server when it refuses: one line per problem, as kubectl prints them."""
    with pytest.raises(kubernetes_client.ApiException) as caught:
        do()
    status = json.loads(caught.value.body or "{}")
    assert caught.value.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}, status
    causes = status.get("details", {}).get("causes") or [{"message": status["message"]}]
    return "\n".join(f"{cause.get('field', '')}: {cause['message']}" for cause in causes)


def one_task(**fields: Any) -> dict[str, Any]:
    return {"tasks": [{"name": "a", **fields}]}


GOOD: list[Any] = [
    pytest.param(FLOW, ONE_TASK, id="a Flow of one task"),
    pytest.param(
        FLOW,
        {"params": [{"name": "n", "type": "integer", "default": 0}, {"name": "any", "default": {"a": [1, None]}}]}
        | ONE_TASK,
        id="params with defaults of any shape",
    ),
    pytest.param(FLOW, one_task(forEach={"items": ["a", 1, {"b": 2}]}), id="a fan-out over a list"),
    pytest.param(
        FLOW, one_task(forEach={"items": "$(params.names)"}, maxParallel=2), id="a fan-out over an expression"
    ),
    pytest.param(FLOW, one_task(forEach={"count": 10_000}), id="a fan-out by a number"),
    pytest.param(FLOW, one_task(forEach={"count": "$(params.n)"}), id="a fan-out by an expression"),
    pytest.param(FLOW, one_task(forEach={"matrix": {"a": [1], "b": "$(params.b)"}}), id="a fan-out over a matrix"),
    pytest.param(FLOW, one_task(forEach={"items": None, "count": 3}), id="a null beside the field that is given"),
    pytest.param(FLOW, one_task(script="#!/bin/sh\necho $1", args=["$(params.x)"]), id="a script with arguments"),
    pytest.param(
        FLOW, one_task(resources={"limits": {"cpu": 2, "memory": "1Gi"}}), id="quantities with and without unit"
    ),
    pytest.param(
        FLOW,
        one_task(podTemplate={"spec": {"nodeSelector": {"disk": "ssd"}, "securityContext": None}}),
        id="any field of a Pod in podTemplate",
    ),
    pytest.param(
        FLOW, one_task(retry={"limit": 3, "delay": "1h30m", "jitter": "100%"}), id="durations and percentages"
    ),
    pytest.param(
        FLOWRUN, {"flow": {"name": "orders"}, "params": {"day": None, "regions": ["eu"]}}, id="a run of a Flow"
    ),
    pytest.param(FLOWRUN, {"flowSpec": ONE_TASK, "timeout": "2h"}, id="a run of an inline spec"),
    pytest.param(
        SCHEDULE,
        {
            "cron": ["30 2 * * *"],
            "timeZone": "Europe/Berlin",
            "runTemplate": {
                "metadata": {"labels": {"team": "data"}},
                "spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.previous.date)"}},
            },
        },
        id="a Schedule",
    ),
]


@pytest.mark.parametrize(("kind", "spec"), GOOD)
def test_the_api_server_accepts(create, kind, spec):
    create(kind, spec)


BAD: list[Any] = [
    pytest.param(FLOW, {}, "spec.tasks: Required value", id="a Flow without tasks"),
    pytest.param(FLOW, {"tasks": []}, "spec.tasks: .*should have at least 1 items", id="an empty list of tasks"),
    pytest.param(FLOW, {"tasks": None}, "spec.tasks: Required value", id="tasks that are null"),
    pytest.param(FLOW, one_task(imgae="x"), 'unknown field "spec.tasks\\[0\\].imgae"', id="a field that is misspelt"),
    pytest.param(FLOW, one_task(sensor={}), "unknown field .*sensor", id="a field of a later version"),
    pytest.param(
        FLOW, {"tasks": [{"name": "a"}, {"name": "a"}]}, "spec.tasks\\[1\\]: Duplicate value", id="two tasks of a name"
    ),
    pytest.param(
        FLOW, {"tasks": [{"name": "Load_It"}]}, "spec.tasks\\[0\\].name: .*should match", id="a name with capitals"
    ),
    pytest.param(
        FLOW, {"tasks": [{"name": "a" * 64}]}, "spec.tasks\\[0\\].name: Too long", id="a task's name that is too long"
    ),
    pytest.param(
        FLOW,
        one_task(command=["x"], script="y"),
        "spec.tasks\\[0\\]: .*a task has either command or script: remove one of them",
        id="command and script",
    ),
    pytest.param(
        FLOW,
        one_task(forEach={}),
        "spec.tasks\\[0\\].forEach: .*give exactly one of items, count and matrix",
        id="no items",
    ),
    pytest.param(
        FLOW,
        one_task(forEach={"items": [1], "count": 1}),
        "spec.tasks\\[0\\].forEach: .*give exactly one of items, count and matrix",
        id="items and a count",
    ),
    pytest.param(
        FLOW,
        one_task(forEach={"count": 1, "matrix": {"a": [1]}}),
        "spec.tasks\\[0\\].forEach: .*give exactly one of items, count and matrix",
        id="a count and a matrix",
    ),
    pytest.param(
        FLOW,
        one_task(forEach={"count": -1}),
        "forEach.count: .*greater than or equal to 0",
        id="a negative number of items",
    ),
    pytest.param(
        FLOW,
        one_task(maxParallel=2),
        "spec.tasks\\[0\\].maxParallel: .*maxParallel requires forEach",
        id="maxParallel alone",
    ),
    pytest.param(
        FLOW,
        one_task(env=[{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        "spec.tasks\\[0\\].env\\[0\\]: .*either value or valueFrom",
        id="a variable with two values",
    ),
    pytest.param(
        FLOW, one_task(timeout="5 minutes"), "spec.tasks\\[0\\].timeout: .*should match", id="a duration in words"
    ),
    pytest.param(
        FLOW, one_task(timeout=5), "spec.tasks\\[0\\].timeout: .*must be of type string", id="a bare number as duration"
    ),
    pytest.param(
        FLOW,
        {"params": [{"name": "a-b"}]} | ONE_TASK,
        "spec.params\\[0\\].name: .*should match",
        id="a hyphen in a param",
    ),
    pytest.param(
        FLOW,
        one_task(retry={"limit": -1}),
        "retry.limit: .*greater than or equal to 0",
        id="a negative number of retries",
    ),
    pytest.param(
        FLOW, one_task(dependsOn=["b", "b"]), "dependsOn\\[1\\]: Duplicate value", id="a dependency named twice"
    ),
    pytest.param(
        FLOWRUN,
        {},
        "spec: .*give exactly one of flow, flowSpec and retryOf",
        id="a run without flow, flowSpec and retryOf",
    ),
    pytest.param(
        FLOWRUN,
        {"flow": {"name": "a"}, "flowSpec": ONE_TASK},
        "spec: .*give exactly one of flow, flowSpec and retryOf",
        id="a run of a Flow and of an inline spec",
    ),
    pytest.param(
        FLOWRUN,
        {"flow": {"name": "a"}, "retryOf": {"name": "b"}},
        "spec: .*give exactly one of flow, flowSpec and retryOf",
        id="a run of a Flow that retries another",
    ),
    pytest.param(
        FLOWRUN,
        {"retryOf": {"name": "b", "items": "3"}},
        "spec.retryOf.items: .*items requires from: the fan-out whose items run again",
        id="a retry of items of no task",
    ),
    pytest.param(
        FLOWRUN,
        {"retryOf": {"name": "b", "from": "a", "items": "3", "restartCompleted": True}},
        "spec.retryOf.items: .*all items run again with restartCompleted: set only one of the two",
        id="a retry of some items and of all",
    ),
    pytest.param(
        FLOWRUN,
        {"retryOf": {"name": "b", "from": "a", "items": "three"}},
        "spec.retryOf.items: .*should match",
        id="a retry of items in words",
    ),
    pytest.param(
        FLOWRUN,
        {"flow": {"name": "a"}, "scheduledTime": "tomorrow"},
        "spec.scheduledTime: .*date-time",
        id="a time in words",
    ),
    pytest.param(
        FLOWRUN,
        {
            "flow": {"name": "a"},
            "approvals": [{"task": "b", "decision": "Approve"}, {"task": "b", "decision": "Reject"}],
        },
        "spec.approvals\\[1\\]: Duplicate value",
        id="two decisions about one approval",
    ),
    pytest.param(
        FLOWRUN, {"flow": {"name": ""}}, "spec.flow.name: .*at least 1 chars long", id="a Flow without a name"
    ),
    pytest.param(
        FLOWRUN,
        {"flowSpec": one_task(retry={"limits": 3})},
        'unknown field "spec.flowSpec.tasks\\[0\\].retry.limits"',
        id="a field that is misspelt in an inline spec",
    ),
    pytest.param(
        SCHEDULE, {"cron": ["@daily"]}, "spec.runTemplate: Required value", id="a Schedule without a template"
    ),
    pytest.param(
        SCHEDULE,
        {"cron": [], "runTemplate": {"spec": {"flow": {"name": "a"}}}},
        "spec.cron: .*at least 1 items",
        id="a Schedule without ticks and events",
    ),
    pytest.param(
        SCHEDULE,
        {"cron": ["@daily"], "runTemplate": {"spec": {}}},
        "spec.runTemplate.spec: .*give exactly one of flow, flowSpec and retryOf",
        id="a template without flow, flowSpec and retryOf",
    ),
    pytest.param(
        SCHEDULE,
        {"events": [{"name": "a"}], "runTemplate": {"spec": {"flow": {"name": "a"}}}},
        "spec.events\\[0\\]: .*give exactly one of flowRun, resource and webhook",
        id="an event without a source",
    ),
    pytest.param(
        SCHEDULE,
        {"events": [{"name": "a", "webhook": HOOK}] * 2, "runTemplate": {"spec": {"flow": {"name": "a"}}}},
        "spec.events\\[1\\]: Duplicate value",
        id="two events of one name",
    ),
    pytest.param(
        BACKFILL,
        {**OCTOBER, "to": OCTOBER["from"]},
        "spec.to: .*from must be earlier than to",
        id="a Backfill with an empty period",
    ),
    pytest.param(BACKFILL, {**OCTOBER, "from": "yesterday"}, "spec.from", id="a Backfill with an invalid time"),
    pytest.param(BACKFILL, {**OCTOBER, "maxActive": 0}, "spec.maxActive", id="a Backfill with maxActive 0"),
]


@pytest.mark.parametrize(("kind", "spec", "want"), BAD)
def test_the_api_server_refuses(create, kind, spec, want):
    said = refusal(lambda: create(kind, spec))
    assert re.search(want, said), said


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (FLOW, MAX_LABEL_VALUE),
        (FLOWRUN, MAX_LABEL_VALUE),
        (SCHEDULE, MAX_SCHEDULE_NAME),
        (BACKFILL, MAX_LABEL_VALUE),
        (FLOW_DEFAULTS, MAX_LABEL_VALUE),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_name_must_leave_room_for_the_names_derived_from_it(create, kind, length):
    run = {"flow": {"name": "a"}}
    schedule = {"cron": ["@daily"], "runTemplate": {"spec": run}}
    spec = {FLOW: ONE_TASK, FLOWRUN: run, SCHEDULE: schedule, BACKFILL: OCTOBER, FLOW_DEFAULTS: {}}[kind]
    create(kind, spec, name="n" * length)
    said = refusal(lambda: create(kind, spec, name="n" * (length + 1)))
    assert said.startswith("metadata.name: ")
    assert f"the name of a {kind.name} must have at most {length} characters" in said


def test_a_generated_name_is_cut_to_fit(create):
    made = create(FLOWRUN, {"flow": {"name": "a"}}, name=None, generateName="n" * 80)
    assert len(made["metadata"]["name"]) == MAX_LABEL_VALUE


NAMED: dict[str, Any] = {"flow": {"name": "a"}, "params": {"day": "monday", "deep": {"x": 1}}}
INLINE: dict[str, Any] = {"flowSpec": {"tasks": [{"name": "a", "podTemplate": {"spec": {"x": 1}}}, {"name": "b"}]}}
NO_FLOW_CHANGE = "spec.flow: .*flow cannot be changed: create a new FlowRun instead"
NO_PARAM_CHANGE = "spec.params: .*params cannot be changed: create a new FlowRun instead"
NO_SPEC_CHANGE = "spec.flowSpec: .*flowSpec cannot be changed: create a new FlowRun instead"


@pytest.mark.parametrize(
    ("existing", "change", "want"),
    [
        pytest.param(NAMED, {"flow": {"name": "b"}}, NO_FLOW_CHANGE, id="another Flow"),
        pytest.param(NAMED, {"flow": None, **INLINE}, NO_FLOW_CHANGE, id="an inline spec instead of the Flow"),
        pytest.param(NAMED, {"flow": None}, NO_FLOW_CHANGE, id="no Flow any more"),
        pytest.param(NAMED, {"params": {"day": "sunday"}}, NO_PARAM_CHANGE, id="another value"),
        pytest.param(NAMED, {"params": {"deep": {"x": 2}}}, NO_PARAM_CHANGE, id="another value deep inside"),
        pytest.param(NAMED, {"params": {"deep": {"x": None, "y": 1}}}, NO_PARAM_CHANGE, id="another key deep inside"),
        pytest.param(NAMED, {"params": {"more": 1}}, NO_PARAM_CHANGE, id="one param more"),
        pytest.param(NAMED, {"params": {"day": None}}, NO_PARAM_CHANGE, id="one param less"),
        pytest.param(NAMED, {"params": {"day": None, "week": "monday"}}, NO_PARAM_CHANGE, id="a param renamed"),
        pytest.param(NAMED, {"params": None}, NO_PARAM_CHANGE, id="no params any more"),
        pytest.param(
            {"flow": {"name": "a"}}, {"params": {"day": 1}}, NO_PARAM_CHANGE, id="params where there were none"
        ),
        pytest.param(INLINE, {"flowSpec": {"timeout": "1h"}}, NO_SPEC_CHANGE, id="one field more of the inline spec"),
        pytest.param(
            INLINE,
            {"flowSpec": {"tasks": [{"name": "a", "podTemplate": {"spec": {"y": 1}}}, {"name": "b"}]}},
            NO_SPEC_CHANGE,
            id="another key in a part without a schema",
        ),
        pytest.param(
            INLINE,
            {"flowSpec": {"tasks": INLINE["flowSpec"]["tasks"][::-1]}},
            NO_SPEC_CHANGE,
            id="another order of tasks, which is that of the status",
        ),
        pytest.param(
            INLINE, {"flowSpec": None, "flow": {"name": "a"}}, NO_SPEC_CHANGE, id="a Flow for the inline spec"
        ),
    ],
)
def test_the_flow_and_params_of_a_run_cannot_be_changed(create, patch, existing, change, want):
    create(FLOWRUN, existing)
    said = refusal(lambda: patch(FLOWRUN, {"spec": change}))
    assert re.search(want, said), said


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"state": "Running"}, id="starts"),
        pytest.param({"state": "Pending", "counts": {"Running": 1}}, id="counts its tasks"),
        pytest.param({"state": "Pending", "epoch": 2}, id="is written by another leader"),
    ],
)
def test_a_status_write_cannot_change_the_fixed_fields_of_an_inline_run(create, patch, status):
    create(FLOWRUN, INLINE)
    patch(FLOWRUN, {"status": {"state": "Pending", "counts": {"Pending": 2}}}, part="status")
    change = {"spec": {"flowSpec": {"timeout": "1h"}}, "status": status}
    assert re.search(NO_SPEC_CHANGE, refusal(lambda: patch(FLOWRUN, change)))
    stored = patch(FLOWRUN, change, part="status")
    assert (stored["spec"], stored["status"]["state"]) == (INLINE, status["state"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"retryOf": {"name": "b"}}, id="another run"),
        pytest.param({"retryOf": {"revision": "Latest"}}, id="another revision"),
        pytest.param({"retryOf": None, "flow": {"name": "a"}}, id="a Flow instead"),
    ],
)
def test_the_run_that_a_run_retries_cannot_be_changed(create, patch, change):
    create(FLOWRUN, {"retryOf": {"name": "a"}})
    said = refusal(lambda: patch(FLOWRUN, {"spec": change}))
    assert re.search("spec.retryOf: .*retryOf cannot be changed: create a new FlowRun instead", said), said


MODES = (None, "Drain", "Cancel", "Terminate")
"""Modes of a shutdown, the weakest first."""


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_a_shutdown_can_be_escalated_but_not_weakened(create, patch, before, after):
    spec = {"flow": {"name": "a"}} | ({"shutdown": before} if before else {})
    create(FLOWRUN, spec)
    if MODES.index(after) >= MODES.index(before):
        assert patch(FLOWRUN, {"spec": {"shutdown": after}})["spec"].get("shutdown") == after
        return
    said = refusal(lambda: patch(FLOWRUN, {"spec": {"shutdown": after}}))
    assert "spec.shutdown: Invalid value: a shutdown cannot be revoked or weakened: Drain can become Cancel" in said


YES, NO = {"task": "a", "decision": "Approve"}, {"task": "b", "decision": "Reject", "comment": "not today"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [YES], id="the first decision"),
        pytest.param([YES], [YES, NO], id="one more"),
        pytest.param([YES, NO], [NO, YES], id="another order"),
    ],
)
def test_decisions_about_approvals_can_be_added(create, patch, before, after):
    create(FLOWRUN, {"flow": {"name": "a"}} | ({"approvals": before} if before else {}))
    assert patch(FLOWRUN, {"spec": {"approvals": after}})["spec"]["approvals"] == after


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(None, id="all removed"),
        pytest.param([NO], id="one removed"),
        pytest.param([{**YES, "decision": "Reject"}, NO], id="decided otherwise"),
        pytest.param([{**YES, "comment": "well"}, NO], id="another comment"),
    ],
)
def test_a_decision_about_an_approval_cannot_be_changed_or_removed(create, patch, after):
    create(FLOWRUN, {"flow": {"name": "a"}, "approvals": [YES, NO]})
    said = refusal(lambda: patch(FLOWRUN, {"spec": {"approvals": after}}))
    assert "spec.approvals: Invalid value: a decision about an approval cannot be changed or removed" in said


@pytest.mark.parametrize("existing", [NAMED, INLINE], ids=["of a Flow", "of an inline spec"])
def test_the_other_fields_of_a_run_can_be_changed(create, patch, existing):
    create(FLOWRUN, existing)
    assert patch(FLOWRUN, {"spec": {"timeout": "1h"}, "metadata": {"labels": {"a": "b"}}})["spec"]["timeout"] == "1h"


def test_the_template_of_a_schedule_can_be_changed(create, patch):
    create(SCHEDULE, {"cron": ["@daily"], "runTemplate": {"spec": NAMED}})
    change = {"spec": {"runTemplate": {"spec": {"flow": {"name": "b"}, "params": {"day": "sunday"}}}}}
    assert patch(SCHEDULE, change)["spec"]["runTemplate"]["spec"]["flow"] == {"name": "b"}


def test_null_counts_as_not_given_but_is_kept_inside_values(create):
    spec = one_task(image=None, podTemplate={"spec": {"securityContext": None}})
    made = create(FLOW, {"timeout": None, "outputs": {"none": None}, **spec})
    assert made["spec"] == {
        "outputs": {"none": None},
        "tasks": [{"name": "a", "podTemplate": {"spec": {"securityContext": None}}}],
    }


def test_a_spec_is_stored_as_it_was_written(create):
    made = create(FLOW, {"params": [{"name": "day"}], "defaults": {"retry": {}}, **ONE_TASK})
    assert made["spec"] == {"params": [{"name": "day"}], "defaults": {"retry": {}}, **ONE_TASK}


def test_the_status_is_a_subresource(create, patch):
    create(FLOWRUN, NAMED)
    assert "status" not in patch(FLOWRUN, {"status": {"state": "Running"}})
    assert patch(FLOWRUN, {"status": {"state": "Running"}}, part="status")["status"] == {"state": "Running"}


def test_a_status_with_an_unknown_state_is_refused(create, patch):
    create(FLOWRUN, NAMED)
    said = refusal(lambda: patch(FLOWRUN, {"status": {"state": "Sleeping"}}, part="status"))
    assert said.startswith("status.state: Unsupported value")


def test_runs_are_selected_by_state_and_by_flow(create, patch, objects, namespace):
    def select(selector: str) -> list[str]:
        found = objects.list_namespaced_custom_object(
            GROUP, VERSION, namespace, FLOWRUN.plural, field_selector=selector
        )
        return [item["metadata"]["name"] for item in found["items"]]

    create(FLOWRUN, NAMED)
    create(FLOWRUN, INLINE, name="new")
    patch(FLOWRUN, {"status": {"state": "Failed"}}, part="status")
    assert select("status.state=Failed") == ["it"]
    assert select("status.state=") == ["new"]
    assert select("spec.flow.name=a") == ["it"]


def test_a_flow_of_5000_tasks_fits_and_its_managed_fields_stay_smaller_than_itself(objects, namespace):
    tasks = [{"name": "t0", "image": "busybox:1.36", "command": ["sh", "-c", "exit 0"]}]
    tasks += [{**tasks[0], "name": f"t{index}", "dependsOn": [f"t{index - 1}"]} for index in range(1, 5000)]
    body = {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": "big"}, "spec": {"tasks": tasks}}
    it = (GROUP, VERSION, namespace, FLOW.plural, "big")
    objects.patch_namespaced_custom_object(*it, body, field_manager="test", _content_type=APPLY_PATCH)
    made = objects.get_namespaced_custom_object(*it)
    assert len(made["spec"]["tasks"]) == 5000
    assert len(json.dumps(made["metadata"]["managedFields"])) < len(json.dumps(made["spec"])) < ETCD_LIMIT_BYTES / 2


def test_the_operator_owns_no_single_fields_of_an_inline_spec(create):
    made = create(FLOWRUN, {**INLINE, "params": {"a": 1}})
    [entry] = made["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:spec"] == {".": {}, "f:flowSpec": {}, "f:params": {}}


def test_kubectl_explain_shows_the_descriptions_of_the_models(kubectl):
    text = " ".join(kubectl("explain", "flow.spec.tasks").split())
    assert "dependsOn <[]string> Tasks that must complete before this one starts." in text
    assert "name <string> -required- Name of the task, unique in the Flow." in text
    assert "<no description>" not in kubectl("explain", "flowrun", "--recursive=false")


CONDITION = {"type": "Ready", "lastTransitionTime": "2026-11-22T02:30:00Z", "message": ""}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "want"),
    [
        pytest.param(
            FLOW,
            ONE_TASK,
            {"tasks": 1, "conditions": [{**CONDITION, "status": "False", "reason": "InvalidSpec"}]},
            {"NAME": "it", "READY": "False", "REASON": "InvalidSpec", "TASKS": "1"},
            id="flows",
        ),
        pytest.param(
            FLOWRUN,
            NAMED,
            {"state": "Failed", "progress": "3/10", "reason": "TaskFailed", "completionTime": "2020-01-01T00:00:00Z"},
            {"NAME": "it", "FLOW": "a", "STATE": "Failed", "PROGRESS": "3/10", "REASON": "TaskFailed"},
            id="runs",
        ),
        pytest.param(
            SCHEDULE,
            {"cron": ["30 2 * * *"], "timeZone": "Asia/Tokyo", "suspend": True, "runTemplate": {"spec": NAMED}},
            {"nextTickTimes": ["2099-01-01T00:00:00Z"]},
            {"NAME": "it", "ZONE": "Asia/Tokyo", "SUSPEND": "true", "NEXT TICK": "2099-01-01T00:00:00Z"},
            id="schedules",
        ),
        pytest.param(
            SCHEDULE,
            {
                "events": [{"name": "ended", "flowRun": {"flow": "a", "states": ["Failed"]}}],
                "runTemplate": {"spec": NAMED},
            },
            {"conditions": [{**CONDITION, "status": "False", "reason": "WebhooksOff"}]},
            {"NAME": "it", "EVENT": "ended", "READY": "False"},
            id="schedules of events",
        ),
    ],
)
def test_get_shows(create, patch, kubectl, kind, spec, status, want):
    create(kind, spec)
    patch(kind, {"status": status}, part="status")
    heading, row = kubectl("get", kind.short_name).splitlines()
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", heading)]
    cells = {
        heading[start:end].strip(): row[start:end].strip()
        for start, end in zip(starts, [*starts[1:], None], strict=True)
    }
    assert {name: cells[name] for name in want} == want
    assert list(cells)[-1] == "AGE"


@pytest.mark.parametrize(
    "change",
    [{"from": "2026-10-02T00:00:00Z"}, {"schedule": {"name": "b"}}, {"reprocess": "All"}],
    ids=lambda change: next(iter(change)),
)
def test_the_period_of_a_backfill_cannot_be_changed_but_max_active_can(create, patch, change):
    create(BACKFILL, OCTOBER)
    (field,) = change
    said = refusal(lambda: patch(BACKFILL, {"spec": change}))
    assert f"{field} cannot be changed: create a new Backfill instead" in said
    assert patch(BACKFILL, {"spec": {"maxActive": 5, "suspend": True}})["spec"]["maxActive"] == 5


def test_every_kind_is_listed_by_the_name_of_the_project(create, kubectl):
    create(FLOW, ONE_TASK)
    create(FLOWRUN, NAMED)
    create(SCHEDULE, {"cron": ["@daily"], "runTemplate": {"spec": NAMED}})
    create(BACKFILL, OCTOBER)
    create(FLOW_DEFAULTS, {})
    listed = kubectl("get", "penstock", "--output=name").split()
    assert sorted(listed) == sorted(f"{kind.singular}.{GROUP}/it" for kind in KINDS)
