"""How long the real operator keeps finished runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.api import names
from tests.api.faults import Seen
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

Start = Callable[..., Replica]
ENDED = {"state": "Completed", "completionTime": "2026-01-01T00:00:00Z"}


@pytest.fixture
def operator(replica: Start) -> Iterator[Replica]:
    with replica() as made:
        yield made
        assert "Traceback" not in made.log


def a_flow(scene: Scene, retention: dict[str, str] | None, name: str = "orders", **behaviour: str) -> None:
    fields = {} if retention is None else {"retention": retention}
    scene.create("Flow", name, {"tasks": [task(**behaviour)], **fields})


def generate(scene: Scene, flow: str = "orders", **metadata: Any) -> str:
    """Create a run that the API server names."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {"generateName": f"{flow}-", **metadata},
        "spec": {"flow": {"name": flow}},
    }
    created: Any = scene.custom.create_namespaced_custom_object(
        names.GROUP, names.VERSION, scene.namespace, "flowruns", body
    )
    return str(created["metadata"]["name"])


def owned_by(scene: Scene, kind: str, name: str) -> dict[str, Any]:
    owner: Any = scene.custom.get_namespaced_custom_object(
        names.GROUP, names.VERSION, scene.namespace, f"{kind.lower()}s", name
    )
    reference = {"apiVersion": names.API_VERSION, "kind": kind, "name": name, "uid": owner["metadata"]["uid"]}
    return {"ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": False}]}


def until_left(scene: Scene, *wanted: str, within_s: float = 60.0) -> None:
    scene.until(lambda: set(scene.now["flowruns"]) == set(wanted), f"the runs {wanted} to be left", within_s)


def finished(scene: Scene, uid: str) -> Any:
    """Return what a run said when it was last seen."""
    return scene.ever["flowruns"][uid].status


def test_a_time_of_nothing_removes_runs_at_once_but_those_that_a_person_named(scene, operator):
    a_flow(scene, {"completed": "0s"})
    scene.start_of("orders", "by-hand")
    generate(scene)
    generate(scene)

    scene.until(lambda: len(scene.ever["flowruns"]) == 3, "three runs")
    scene.finish("by-hand")
    until_left(scene, "by-hand")
    for run in scene.ever["flowruns"].values():
        assert run.status["state"] == "Completed", "one went before its end was stored"
    # Their Pods go with them.
    scene.until(
        lambda: {pod.metadata.labels[names.LABEL_RUN] for pod in scene.pods()} == {"by-hand"}, "their Pods to go"
    )
    operator.until_metric(2, "penstock_removals_total", kind="run")


def test_runs_go_by_how_they_ended(scene, operator):
    a_flow(scene, {"failed": "0s", "completed": "1h"}, name="good")
    a_flow(scene, {"failed": "0s", "completed": "1h"}, name="bad", pod_exit_code="1")
    kept, _ = generate(scene, "good"), generate(scene, "bad")

    scene.until(lambda: len(scene.ever["flowruns"]) == 2, "two runs")
    until_left(scene, kept)


def test_a_run_that_can_not_run_goes_as_one_that_failed(scene, operator):
    scene.create("Flow", "orders", {"params": [{"name": "day"}], "tasks": [task()], "retention": {"failed": "0s"}})
    generate(scene)

    scene.until(lambda: len(scene.ever["flowruns"]) == 1, "a run")
    until_left(scene)


def test_a_run_stays_for_as_long_as_its_flow_says(scene, operator):
    a_flow(scene, {"completed": "4s"})
    name = generate(scene)
    scene.finish(name)

    assert name in scene.now["flowruns"], "it went too early"
    until_left(scene, within_s=30)


def test_a_schedules_runs_go_too_and_its_own_history_does_not_mind(scene, operator):
    a_flow(scene, {"completed": "0s"})
    template = {"spec": {"flow": {"name": "orders"}}}
    history = {"completed": 1, "failed": 1}
    spec = {"cron": ["0 0 1 1 *"], "suspend": True, "history": history, "runTemplate": template}
    scene.create("Schedule", "nightly", spec)
    labels = {names.LABEL_SCHEDULE: "nightly"}
    for number in range(5):
        owner = owned_by(scene, "Schedule", "nightly")
        scene.create("FlowRun", f"nightly-{29_000_000 + number}", {"flow": {"name": "orders"}}, labels=labels, **owner)

    scene.until(lambda: len(scene.ever["flowruns"]) == 5, "five runs")
    until_left(scene)


def test_the_flow_as_it_is_now_decides(scene, operator):
    a_flow(scene, None)
    first = generate(scene)
    scene.finish(first)

    scene.patch("Flow", "orders", {"spec": {"retention": {"completed": "0s"}}})
    until_left(scene)

    scene.patch("Flow", "orders", {"spec": {"retention": None}})
    second = generate(scene)
    scene.finish(second)
    scene.patch("Flow", "orders", {"spec": {"retention": {"failed": "0s"}}})
    scene.start_of("orders", "later")
    scene.finish("later")
    assert set(scene.now["flowruns"]) == {second, "later"}


def test_runs_that_ended_under_an_earlier_operator_are_removed_on_time(scene, replica):
    flows = ["orders", "invoices", "letters", "parcels", "returns"]
    with replica() as first:
        for flow in flows:
            a_flow(scene, {"completed": "1h"}, name=flow)
        runs = [generate(scene, flow) for flow in flows]
        for name in runs:
            scene.finish(name)
        first.kill()
    for flow in flows[1:]:
        scene.patch("Flow", flow, {"spec": {"retention": {"completed": "0s"}}})
    with replica():
        until_left(scene, runs[0])


def test_runs_that_are_restored_while_an_operator_works_are_removed_on_time(scene, operator):
    a_flow(scene, {"completed": "0s"})
    generate(scene)
    scene.until(lambda: scene.ever["flowruns"], "a run")
    # The operator has listed the finished runs.
    until_left(scene)
    restored = generate(scene, labels={names.LABEL_RESTORED: "true"})
    kept = generate(scene, labels={names.LABEL_RESTORED: "true"})
    scene.patch("FlowRun", restored, {"status": ENDED}, is_status=True)

    until_left(scene, kept)


def test_a_child_is_removed_when_its_parent_has_finished_and_not_before(scene, operator):
    a_flow(scene, {"completed": "0s"})
    scene.start(task("wait", pod_outcome="run"), name="parent")
    scene.reach("Running", "parent")
    child = generate(scene, **owned_by(scene, "FlowRun", "parent"))
    scene.reach("Completed", child)
    other = generate(scene)
    scene.until(lambda: other in {run.metadata.name for run in scene.ever["flowruns"].values()}, "another run")
    scene.until(lambda: other not in scene.now["flowruns"], "the other run to go")
    assert scene.status("parent")["state"] == "Running"
    assert child in scene.now["flowruns"], "it was removed before its parent had finished"

    scene.patch("FlowRun", "parent", {"spec": {"shutdown": "Terminate"}})
    scene.finish("parent")
    until_left(scene, "parent")


def test_a_child_whose_parent_has_finished_is_removed_after_a_restart(scene, replica):
    with replica() as first:
        a_flow(scene, {"completed": "1h"})
        scene.start(task(), name="parent")
        scene.finish("parent")
        child = generate(scene, **owned_by(scene, "FlowRun", "parent"))
        scene.finish(child)
        first.kill()
    scene.patch("Flow", "orders", {"spec": {"retention": {"completed": "0s"}}})
    with replica():
        until_left(scene, "parent")


def is_status_write(seen: Seen) -> bool:
    return seen.method == "PATCH" and seen.path.endswith("/status")


def test_no_run_goes_before_its_end_is_stored(scene, replica, proxy):
    with replica(proxy.kubeconfig):
        a_flow(scene, {"completed": "0s"}, pod_run_for="1s")
        name = generate(scene)
        scene.running_pod()
        with proxy.outage(is_status_write, status=503):
            scene.until(lambda: scene.pod().status.get("phase") == "Succeeded", "its Pod to end")
            proxy.wait_for_requests(lambda seen: is_status_write(seen) and "/flowruns/" in seen.path, 5)
            assert name in scene.now["flowruns"]
        until_left(scene)
    (run,) = scene.ever["flowruns"].values()
    assert run.status["state"] == "Completed"
