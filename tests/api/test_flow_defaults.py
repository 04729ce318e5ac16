"""FlowDefaults as the real operator applies them. No webhook is between these tests and the API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.api import names
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

NOTIFY = task("notify")
BROKEN = {"retry": {"when": "nonsense("}}


def ready(scene: Scene, kind: str, name: str, accept: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the condition Ready of an object, as it is now, is as wanted, and return it."""

    def find() -> dict[str, Any] | None:
        found = scene.now[kind].get(name)
        conditions = [] if found is None else found.status.get("conditions", [])
        return next(
            (
                one
                for one in conditions
                if found is not None and one["observedGeneration"] == found.metadata.generation and accept(one)
            ),
            None,
        )

    condition = scene.until(find, f"the condition of {kind} {name}")
    assert condition is not None
    return condition


def give(scene: Scene, spec: dict[str, Any], reason: str = "Valid", name: str = "default") -> dict[str, Any]:
    """Create FlowDefaults, or replace their spec, and wait for what the operator says."""
    if name in scene.now["flowdefaults"]:
        scene.patch("FlowDefaults", name, [{"op": "replace", "path": "/spec", "value": spec}])
        before = scene.now["flowdefaults"][name].metadata.generation
        scene.until(lambda: scene.now["flowdefaults"][name].spec == spec, f"generation {before} to be replaced")
    else:
        scene.create("FlowDefaults", name, spec)
    return ready(scene, "flowdefaults", name, lambda one: bool(one["reason"] == reason))


def revision_of(scene: Scene, flow: str = "orders", *, unlike: str | None = None) -> str:
    """Wait until a Flow has a revision, or another one, and return its name."""

    def find() -> str | None:
        found = scene.now["flows"].get(flow)
        name = None if found is None else found.status.get("revision")
        return name if name != unlike else None

    name = scene.until(find, f"a revision of {flow} other than {unlike}")
    assert name is not None
    return name


def task_names(scene: Scene, run: str) -> list[str]:
    return [entry["name"] for entry in scene.status(run).get("tasks", ())]


def test_an_edit_makes_new_revisions_and_touches_no_run_that_has_one(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task(pod_outcome="run")]})
        first = revision_of(scene)
        scene.start_of("orders", "before")
        scene.reach_task("Running", run="before")

        give(scene, {"finally": [NOTIFY]})
        second = revision_of(scene, unlike=first)
        scene.start_of("orders", "between")
        scene.reach_task("Running", run="between")
        give(scene, {"finally": [task("page")]})
        third = revision_of(scene, unlike=second)
        scene.start_of("orders", "after")
        scene.reach_task("Running", run="after")

        assert [scene.status(run)["revision"] for run in ("before", "between", "after")] == [first, second, third]
        assert task_names(scene, "before") == ["main"]
        assert task_names(scene, "between") == ["main", "notify"]
        assert task_names(scene, "after") == ["main", "page"]
        assert scene.now["flows"]["orders"].status["tasks"] == 2

        scene.delete("FlowDefaults", "default")
        scene.until(lambda: scene.now["flows"]["orders"].status["revision"] == first, "the revision without defaults")
        scene.patch("FlowRun", "between", {"spec": {"shutdown": "Cancel"}})
        scene.reach("Cancelled", "between")
        assert scene.entry("notify", "between")["state"] == "Completed"
        assert "Traceback" not in operator.log


def test_a_run_of_an_inline_spec_keeps_what_it_inherited_when_another_operator_takes_over(scene, replica):
    with replica():
        give(scene, {"finally": [NOTIFY]})
        scene.start(task(pod_outcome="run"))
        scene.reach_task("Running")
        revision = scene.status()["revision"]
    with replica() as operator:
        give(scene, {"finally": [task("page")]})
        scene.patch("FlowRun", "run", {"spec": {"shutdown": "Cancel"}})
        scene.finish()
        assert scene.status()["revision"] == revision
        assert scene.entry("notify")["state"] == "Completed"

        scene.create("FlowRun", "same", {"retryOf": {"name": "run"}})
        scene.create("FlowRun", "latest", {"retryOf": {"name": "run", "revision": "Latest"}})
        scene.reach_task("Running", run="same")
        scene.reach_task("Running", run="latest")
        assert task_names(scene, "same") == ["main", "notify"]
        assert task_names(scene, "latest") == ["main", "page"]
        assert "Traceback" not in operator.log


def test_the_flow_has_its_own_finally_task_and_its_own_defaults(scene, replica):
    with replica():
        give(scene, {"finally": [NOTIFY, task("page")], "retry": {"limit": 2}, "podTemplate": labels("namespace")})
        own = task("notify", podTemplate=labels("flow"))
        scene.create("Flow", "orders", {"tasks": [task()], "finally": [own]})
        scene.start_of("orders")
        scene.finish()
        assert task_names(scene, "run") == ["main", "notify", "page"]
        found = {pod.metadata.labels[names.LABEL_TASK]: pod.metadata.labels["from"] for pod in scene.pods(ever=True)}
        assert found == {"main": "namespace", "notify": "flow", "page": "namespace"}


def labels(value: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"from": value}}}


def test_only_the_flow_defaults_named_default_count(scene, replica):
    with replica():
        scene.create("Flow", "orders", {"tasks": [task()]})
        first = revision_of(scene)
        condition = give(scene, {"finally": [NOTIFY]}, "NotDefault", "other")
        assert condition["status"] == "False"
        assert condition["message"] == (
            "only the FlowDefaults named default counts in a namespace: this one has no effect"
        )
        scene.start_of("orders")
        scene.finish()
        assert (task_names(scene, "run"), scene.status()["revision"]) == (["main"], first)


def test_invalid_flow_defaults_leave_the_last_valid_ones_in_force_also_for_the_next_operator(scene, replica):
    with replica():
        scene.create("Flow", "orders", {"tasks": [task()]})
        give(scene, {"finally": [NOTIFY]})
        condition = give(scene, BROKEN, "Invalid")
        assert condition["status"] == "False"
        assert condition["message"].startswith("spec.retry.when: ")
        assert condition["message"].endswith("; the last valid spec is in force")
    with replica() as operator:
        flow = ready(scene, "flows", "orders", lambda one: "FlowDefaults" in one["message"])
        assert (flow["status"], flow["reason"]) == ("True", "Valid")
        assert "its last valid spec is in force: spec.retry.when: " in flow["message"]
        scene.start_of("orders")
        scene.finish()
        assert task_names(scene, "run") == ["main", "notify"]

        give(scene, {"finally": [task("page")]})
        ready(scene, "flows", "orders", lambda one: one["message"] == "runs can start")
        assert "Traceback" not in operator.log


HOSTILE: dict[str, dict[str, Any]] = {
    "never-valid": BROKEN,
    "a-field-of-a-pod": {"podTemplate": {"spec": {"containers": "x"}}},
    "null-parts": {"podTemplate": {"metadata": None, "spec": None}},
    "strange-templates": {"podTemplate": {"spec": {"volumes": [{"name": 1}, None, "x"]}}},
    "a-task-of-a-flow": {"finally": [task("a", args=["$(tasks.main.outputs.x)"])]},
    "a-cycle": {"finally": [task("a", dependsOn=["b"]), task("b", dependsOn=["a"])]},
    "itself": {"finally": [{"name": "a", "flow": {"name": "orders"}}]},
    "forever": {"timeout": "99999999h"},
    "too-large": {"podTemplate": {"metadata": {"annotations": {"a": "x" * 140_000}}}},
}


def test_no_flow_defaults_stop_the_flows_of_their_namespace(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task()]})
        for number, spec in enumerate(HOSTILE.values()):
            give_any(scene, spec)
            ready(scene, "flows", "orders", lambda one: bool(one["status"] == "True" or one["message"]))
            scene.start_of("orders", f"run-{number}")
            scene.until(lambda name=f"run-{number}": scene.status(name).get("state"), f"run {number} to have a state")
        assert "Traceback" not in operator.log
        assert "Internal error" not in operator.log


def give_any(scene: Scene, spec: dict[str, Any]) -> None:
    if "default" in scene.now["flowdefaults"]:
        scene.delete("FlowDefaults", "default")
        scene.until(lambda: "default" not in scene.now["flowdefaults"], "the FlowDefaults to be gone")
    scene.create("FlowDefaults", "default", spec)
    ready(scene, "flowdefaults", "default", lambda one: bool(one["reason"] in ("Valid", "Invalid")))


def test_a_last_valid_spec_that_somebody_forged_is_checked_like_any_other(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task()]})
        give(scene, BROKEN, "Invalid")
        scene.patch("FlowDefaults", "default", {"status": {"lastValid": json.dumps(BROKEN)}}, is_status=True)
        scene.start_of("orders")
        scene.finish()
        assert task_names(scene, "run") == ["main"]
        assert "Traceback" not in operator.log


def test_retention_is_read_as_it_is_now(scene, replica):
    with replica():
        scene.create("Flow", "orders", {"tasks": [task()]})
        first = revision_of(scene)
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {"generateName": "orders-"},
            "spec": {"flow": {"name": "orders"}},
        }
        made: Any = scene.custom.create_namespaced_custom_object(
            names.GROUP, names.VERSION, scene.namespace, "flowruns", body
        )
        name = made["metadata"]["name"]
        scene.finish(name)
        give(scene, {"retention": {"completed": "0s"}})
        scene.until(lambda: name not in scene.now["flowruns"], "the finished run to be removed")
        assert scene.now["flows"]["orders"].status["revision"] == first


def test_a_task_that_cannot_start_times_out_by_default_and_the_finally_tasks_run(scene, replica):
    with replica():
        give(scene, {"queueTimeout": "2s", "finally": [NOTIFY]})
        scene.start(task(pod_outcome="pend", pod_waiting_reason="ImagePullBackOff"))
        scene.finish()
        assert scene.entry("notify")["state"] == "Completed"
        entry = scene.entry()
        assert (entry["state"], entry["reason"]) == ("TimedOut", "ImagePullFailed")
        assert "the default queueTimeout of 2s" in entry["message"]


def test_the_defaults_of_the_installation_are_below_those_of_the_namespace(scene, replica, tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"finally": [NOTIFY, task("page", podTemplate=labels("installation"))]}))
    with replica(options=("--flow-defaults", str(path))):
        scene.create("Flow", "orders", {"tasks": [task()]})
        scene.start_of("orders")
        scene.finish()
        assert task_names(scene, "run") == ["main", "notify", "page"]
        before = revision_of(scene)
        give(scene, {"finally": [task("page", podTemplate=labels("namespace"))]})
        revision_of(scene, unlike=before)
        scene.start_of("orders", "second")
        scene.finish("second")
        assert task_names(scene, "second") == ["main", "page", "notify"]


def test_pods_with_the_defaults_merged_are_tried_before_any_run(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task()]})
        first = revision_of(scene)
        give(scene, {"podTemplate": {"spec": {"priorityClassName": "no-such-class"}}})
        revision_of(scene, unlike=first)
        condition = ready(scene, "flows", "orders", lambda one: one["status"] == "False")
        assert condition["reason"] == "PodRefused"
        assert "no-such-class" in condition["message"]
        assert "Traceback" not in operator.log
