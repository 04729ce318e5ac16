"""Rubbish of every kind that the API server stores: none of it costs another run anything, nor provokes a bug."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import dynamic

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.engine.state import FINAL_RUN_STATES
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

BYSTANDER_S = 20.0
DAILY = {"cron": ["0 0 1 1 *"], "runTemplate": {"spec": {"flow": {"name": "flow"}}}}


def with_template(template: Any, **task_fields: Any) -> dict[str, Any]:
    """Return the spec of a run with a workspace, which no node of the tests has a volume for."""
    template_task = task(podTemplate=template, queueTimeout="2s", **task_fields)
    return {"flowSpec": {"tasks": [template_task], "workspace": {"size": "1Gi"}}}


def main(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "main", **fields}]}}


RUNS: dict[str, dict[str, Any]] = {
    "spec-replaced": with_template({"spec": {"$patch": "replace"}}),
    "spec-deleted": with_template({"spec": {"$patch": "delete"}}),
    "metadata-replaced": with_template({"metadata": {"$patch": "replace"}}),
    "containers-replaced": with_template({"spec": {"containers": [{"$patch": "replace"}]}}),
    "containers-null": with_template({"spec": {"containers": None, "initContainers": None}}),
    "main-deleted": with_template(main(**{"$patch": "delete"})),
    "main-twice": with_template({"spec": {"containers": [{"name": "main"}, {"name": "main", "image": "other"}]}}),
    "env-null": with_template(main(env=None, volumeMounts=None)),
    "env-replaced": with_template(main(env=[{"$patch": "replace"}, {"name": "A", "value": "b"}])),
    "env-of-numbers": with_template(main(env=[{"name": "A", "value": 5}])),
    "env-twice": with_template(main(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
    "ports-as-text": with_template(main(ports="80")),
    "mounts-without-path": with_template(main(volumeMounts=[{"name": "x"}])),
    "script-volume-taken": with_template(
        {"spec": {"volumes": [{"name": "penstock-script", "emptyDir": {}}, {"name": "penstock-workspace"}]}}
    ),
    "job-of-rubbish": with_template({"spec": {"tolerations": "all"}}, workload="Job"),
    "host-names": with_template({"spec": {"hostAliases": [{"ip": None}], "imagePullSecrets": ["a", 1]}}),
    "itself": {"retryOf": {"name": "itself"}},
    "one-of-two": {"retryOf": {"name": "two-of-two"}},
    "two-of-two": {"retryOf": {"name": "one-of-two"}},
    "of-nothing": {"retryOf": {"name": "nowhere"}},
    "a.b.c.d": {"flowSpec": {"tasks": [task()]}},
    "big-number": {
        "flowSpec": {
            "params": [
                {"name": "n", "type": "number", "default": 1e300},
                {"name": "i", "type": "integer", "default": 3},
            ],
            "tasks": [task(args=["$(params.n)", "$(params.i * 9223372036854775807)"])],
        }
    },
    "count-of-text": {
        "flowSpec": {
            "params": [{"name": "n", "default": "many"}],
            "tasks": [task(forEach={"count": "$(params.n)"})],
        }
    },
    "no-items": {"flowSpec": {"tasks": [task(forEach={"items": []})]}},
    "items-of-null": {"flowSpec": {"tasks": [task(forEach={"items": [None, {}, [], ""]}, args=["$(item)"])]}},
    "a-volume-of-lots": {"flowSpec": {"tasks": [task()], "workspace": {"size": "lots"}}},
    "a-relative-mount": {"flowSpec": {"tasks": [task()], "workspace": {"size": "1Gi", "mountPath": "../x"}}},
    "nul": {"flowSpec": {"tasks": [task(args=["a\u0000b"], env=[{"name": "X", "value": "\u0000\ud7ff\ufffd"}])]}},
    "outputs-of-nothing": {"flowSpec": {"tasks": [task()], "outputs": {"o": "$(tasks.main.outputs.none)"}}},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "zone": {**DAILY, "timeZone": "../../etc/passwd"},
    "folder-as-zone": {**DAILY, "timeZone": "Europe"},
    "six-fields": {**DAILY, "cron": ["* * * * * *", "0 0 31 2 *", "@every 1h", "L L L L L"]},
    "rules": {
        **DAILY,
        "rrule": [
            "FREQ=SECONDLY",
            "X",
            "FREQ=DAILY;BYDAY=+99MO",
            "DTSTART:00010101\nRRULE:FREQ=DAILY",
            "FREQ=DAILY;UNTIL=",
        ],
    },
    "interval": {"interval": {"every": "0s", "anchor": "2026-02-30"}, "runTemplate": DAILY["runTemplate"]},
    "ends-before-it-begins": {**DAILY, "startTime": "2030-01-01", "endTime": "2020-01-01"},
    "far": {**DAILY, "startTime": "9998-12-31T23:59:00Z"},
    "old": {**DAILY, "startTime": "1970-01-01", "interval": {"every": "87840h", "anchor": "1970-01-01"}},
    "two-flows": {
        "cron": ["@daily"],
        "runTemplate": {"spec": {"flow": {"name": "f"}, "params": {"x": "$(tick.nothing)"}}},
    },
    "events": {
        "events": [
            {"name": "e", "flowRun": {"flow": "flow", "states": ["Completed"], "params": {"x": "$(event.nothing)"}}},
            {"name": "r", "resource": {"apiVersion": "v1", "kind": "Secret", "selector": {}}},
        ],
        "runTemplate": DAILY["runTemplate"],
    },
}
BACKFILLS: dict[str, dict[str, Any]] = {
    "of-nothing": {"schedule": {"name": "nowhere"}, "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"},
    "of-rubbish": {"schedule": {"name": "rules"}, "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"},
    "of-all-times": {"schedule": {"name": "far"}, "from": "1970-01-01T00:00:00Z", "to": "9998-12-31T23:59:59Z"},
}
STATUSES: dict[str, dict[str, Any]] = {
    "only-a-state": {"state": "Running"},
    "other-tasks": {"state": "Running", "engine": 1, "tasks": [{"name": "other", "state": "Running"}]},
    "other-engine": {"state": "Running", "engine": 99, "tasks": [{"name": "main", "state": "Running"}]},
    "no-conditions": {"state": "Running", "engine": 1, "tasks": [{"name": "main", "state": "Running", "attempt": 1}]},
    "endless-indexes": {
        "state": "Running",
        "engine": 1,
        "conditions": [
            {
                "type": kind,
                "status": "Unknown",
                "reason": "Running",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind in ("Succeeded", "Finished")
        ],
        "tasks": [
            {
                "name": "main",
                "state": "Running",
                "items": {"total": 3, "indexes": {"Completed": "0-99999999999", "Failed": "x"}},
            }
        ],
    },
    "far-times": {
        "state": "Paused",
        "startTime": "0001-01-01T00:00:00Z",
        "pausedSince": "9999-12-31T23:59:59Z",
        "epoch": 1,
        "tasks": [{"name": "main", "state": "Retrying", "attempt": 1, "wakeTime": "9999-12-31T23:59:59-23:59"}],
    },
    "gone-revision": {"state": "Queued", "queuePosition": 9, "revision": "nowhere", "params": {"x": [1]}},
}
"""What who may write the statuses of a namespace's runs may write."""


def labels_of(run: str, uid: str, **changes: str) -> dict[str, str]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_RUN: run,
        names.LABEL_RUN_UID: uid,
        names.LABEL_TASK: "main",
        names.LABEL_ATTEMPT: "1",
    }
    return labels | {f"penstock.dev/{name}": text for name, text in changes.items()}


def store_workloads(scene: Scene, run: str) -> None:
    """Store Pods, a Job and ConfigMaps that claim to belong to a run."""
    uid = scene.run(run).metadata.uid
    spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": "Never"}
    claims = {
        "attempt": labels_of(run, uid, attempt="nine"),
        "index": labels_of(run, uid, index="1.5"),
        "digits": labels_of(run, uid, attempt="9" * 60, index="9" * 60),
        "unknown-task": labels_of(run, uid, task="other"),
        "no-run": labels_of("", uid),
        "other-run": labels_of("nowhere", "x"),
    }
    annotations = {
        names.ANNOTATION_FAILURES: "9" * 5000,
        names.ANNOTATION_BEGIN_TIME: "0001-13-45",
        names.ANNOTATION_KEEP_COMPLETED: "999999999h",
        names.ANNOTATION_KEEP_FAILED: "forever",
    }
    for name, labels in claims.items():
        body: Any = {
            "metadata": {"name": f"pod-{name}", "labels": labels, "annotations": annotations},
            "spec": spec,
        }
        scene.core.create_namespaced_pod(scene.namespace, body)
    owner = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": run, "uid": uid, "controller": True}
    jobs = dynamic.DynamicClient(scene.core.api_client).resources.get(api_version="batch/v1", kind="Job")
    jobs.create(
        namespace=scene.namespace,
        body={
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "job-of-nothing",
                "labels": labels_of(run, uid, attempt="7"),
                "ownerReferences": [owner],
            },
            "spec": {"template": {"metadata": {"labels": labels_of(run, uid, attempt="7")}, "spec": spec}},
        },
    )
    for name, labels in (
        ("revision", {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FLOW_UID: "x"}),
        ("cache", {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_CACHE: "outputs"}),
    ):
        entry: Any = {"metadata": {"name": name, "labels": labels}}
        scene.core.create_namespaced_config_map(scene.namespace, entry)
    child = pod_name(run, uid, TaskInstanceKey("main"), 3)
    scene.create(
        "FlowRun",
        child,
        {"flowSpec": {"tasks": [task()]}},
        labels={
            names.LABEL_PARENT: run,
            names.LABEL_PARENT_UID: uid,
            names.LABEL_TASK: "main",
            names.LABEL_ATTEMPT: "3",
        },
        annotations={names.ANNOTATION_BEGIN_TIME: "0001-13-45", names.ANNOTATION_CALLERS: ",,,"},
        ownerReferences=[owner],
    )


def test_rubbish_provokes_no_bug_and_costs_others_nothing(scene, replica):
    scene.create("Flow", "flow", {"tasks": [task()]})
    for name, spec in RUNS.items():
        scene.create("FlowRun", name, spec)
    for kind, table in (("Schedule", SCHEDULES), ("Backfill", BACKFILLS)):
        for name, spec in table.items():
            scene.create(kind, name, spec)
    for name, status in STATUSES.items():
        scene.start(task(), name=name)
        scene.patch("FlowRun", name, {"status": status}, is_status=True)
    scene.start(task(pod_outcome="run"), name="claimed")
    scene.until(lambda: "claimed" in scene.now["flowruns"], "the run")
    store_workloads(scene, "claimed")
    with replica() as running:
        scene.start_of("flow", "bystander")
        scene.reach("Completed", "bystander", within_s=BYSTANDER_S)
        scene.reach("Running", "claimed")
        for name in (*RUNS, *STATUSES):
            scene.until(
                lambda name=name: (
                    scene.status(name).get("state") in FINAL_RUN_STATES or scene.status(name).get("reason")
                ),
                f"run {name} to end, or to say what it waits for",
            )
        for kind, table in (("schedules", SCHEDULES), ("backfills", BACKFILLS)):
            for name in table:
                scene.until(
                    lambda kind=kind, name=name: scene.now[kind][name].status.get("conditions"), f"{kind} {name}"
                )
        said = {name: run.status.get("reason") for name, run in scene.now["flowruns"].items()}
        assert "InternalError" not in said.values(), said
        assert running.metric("penstock_internal_errors_total") == 0
        assert running.metric("penstock_parked_objects") == 0
        scene.patch("FlowRun", "claimed", {"spec": {"shutdown": "Terminate"}})
        assert scene.reach("Cancelled", "claimed")
    assert "Traceback" not in running.log
