"""Bugs of the operator that one object provokes: it is set aside and tried again, and all others are served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from tests.api.faulty_replica import FaultyReplica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

BYSTANDER_S = 20.0
RUNS = ["broken-load", "broken-start", "broken-step", "broken-status", "broken-stored", "broken-pod", "broken-create"]
YEARLY = {"cron": ["0 0 1 1 *"], "runTemplate": {"spec": {"flow": {"name": "flow"}}}}
BACKFILL = {"schedule": {"name": "yearly"}, "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}


@pytest.fixture
def bugs(tmp_path: Path) -> Path:
    """The file whose existence makes the bugs."""
    path = tmp_path / "bugs"
    path.touch()
    return path


@pytest.fixture
def faulty(
    kubeconfig: Path, scene: Scene, tmp_path: Path, bugs: Path, api: kubernetes_client.ApiClient
) -> Iterator[Callable[[], FaultyReplica]]:
    """Makes replicas with bugs that watch the test's namespace, one after the other."""
    yield lambda: FaultyReplica(kubeconfig, tmp_path, bugs=bugs, scene=scene)
    leases = kubernetes_client.CoordinationV1Api(api)
    leases.delete_collection_namespaced_lease("default", field_selector=f"metadata.name={scene.namespace}")


def park(scene: Scene, kind: str, name: str) -> dict[str, Any]:
    """Wait for an object to say that it is set aside, and return its status."""

    def find() -> dict[str, Any] | None:
        item = scene.now[kind].get(name)
        if item is None:
            return None
        ready = [one["reason"] for one in item.status.get("conditions") or () if one["type"] == "Ready"]
        return item.status if "InternalError" in (item.status.get("reason"), *ready) else None

    found = scene.until(find, f"{kind} {name} to be set aside")
    assert found is not None
    return found


def serve(scene: Scene, name: str) -> None:
    """Have a run carried out that nothing is wrong with."""
    scene.start(task(), name=name)
    scene.reach("Completed", name, within_s=BYSTANDER_S)


def test_runs_that_fail_unexpectedly_are_set_aside_and_continue_when_the_cause_is_gone(scene, faulty, bugs):
    for name in RUNS:
        scene.start(task("first"), task("second", dependsOn=["first"]), name=name)
    with faulty() as operator:
        serve(scene, "bystander")
        for name in RUNS:
            assert park(scene, "flowruns", name)["message"].startswith(f"LookupError: a bug for {name}; ")
        assert operator.metric("penstock_internal_errors_total", kind="FlowRun") >= len(RUNS)
        operator.until_metric(len(RUNS), "penstock_parked_objects", kind="FlowRun")
        scene.event("InternalError", "broken-step")
        operator.kill()
    with faulty() as operator:
        # A restart neither helps them nor harms others.
        serve(scene, "second")
        operator.until_metric(len(RUNS), "penstock_parked_objects", kind="FlowRun")
        bugs.unlink()
        for name in RUNS:
            status = scene.finish(name)
            assert (status["state"], status.get("reason")) == ("Completed", None), name
        operator.until_metric(0, "penstock_parked_objects", kind="FlowRun")
        serve(scene, "third")


def test_an_edit_of_a_parked_run_is_tried_at_once(scene, faulty, bugs):
    with faulty() as operator:
        scene.start(task(), name="broken-step")
        park(scene, "flowruns", "broken-step")
        # The pause grows: the next try would be ten seconds and more away.
        operator.until_metric(2, "penstock_internal_errors_total", kind="FlowRun")
        bugs.unlink()
        scene.patch("FlowRun", "broken-step", {"spec": {"suspend": False}})
        scene.reach("Completed", "broken-step", within_s=5)


def test_a_parked_run_can_be_deleted_and_leaves_nothing_behind(scene, faulty):
    scene.start(task(pod_outcome="run"), name="broken-pod")
    with faulty():
        park(scene, "flowruns", "broken-pod")
        scene.delete("FlowRun", "broken-pod")
        scene.until(lambda: "broken-pod" not in scene.now["flowruns"], "the run to be gone")
        scene.until(lambda: not scene.held_pods(), "the finalizers of its Pods to be removed")


def test_a_parked_run_keeps_its_slot(scene, faulty, bugs):
    scene.create("Flow", "narrow", {"tasks": [task(pod_outcome="run")], "concurrency": {"limit": 1}})
    with faulty():
        scene.start_of("narrow", "broken-stored")
        park(scene, "flowruns", "broken-stored")
        scene.start_of("narrow", "behind")
        scene.reach("Queued", "behind")
        serve(scene, "bystander")
        assert scene.status("behind")["state"] == "Queued"
        bugs.unlink()
        scene.patch("FlowRun", "broken-stored", {"spec": {"shutdown": "Cancel"}})
        scene.reach("Cancelled", "broken-stored")
        scene.reach("Running", "behind")
        scene.patch("FlowRun", "behind", {"spec": {"shutdown": "Terminate"}})
        scene.finish("behind")


def test_a_pod_that_cannot_be_built_fails_its_task(scene, faulty):
    with faulty() as operator:
        scene.start(task(podTemplate={"spec": {"hostname": "h"}}), name="broken-build")
        status = scene.finish("broken-build")
        entry = scene.entry(run="broken-build")
        assert (status["state"], entry["reason"]) == ("Failed", "CreateRefused")
        said = "spec.tasks[0].podTemplate: nothing can be built from it: LookupError: a bug for broken-build"
        assert said in entry["message"]
        assert operator.metric("penstock_parked_objects") == 0


def test_a_task_runs_without_a_cache_entry_that_fails_unexpectedly(scene, faulty):
    with faulty() as operator:
        scene.start(task(cache={"key": "k"}), name="cached")
        assert scene.finish("cached", within_s=BYSTANDER_S)["state"] == "Completed"
        assert operator.metric("penstock_internal_errors_total", kind="cache entry") > 0


def test_other_objects_that_fail_unexpectedly_say_so_and_recover(scene, faulty, bugs):
    scene.create("Flow", "flow", {"tasks": [task()]})
    scene.create("Schedule", "yearly", YEARLY)
    broken = {
        "flows": scene.create("Flow", "broken-flow", {"tasks": [task()]}),
        "schedules": scene.create("Schedule", "broken-schedule", YEARLY),
        "backfills": scene.create("Backfill", "broken-backfill", BACKFILL),
    }
    with faulty() as operator:
        for kind, item in broken.items():
            park(scene, kind, item["metadata"]["name"])
            operator.until_metric(1, "penstock_parked_objects", kind=item["kind"])
        serve(scene, "bystander")
        assert operator.log.count("Traceback") < 20
        bugs.unlink()
        for kind, item in broken.items():
            name = item["metadata"]["name"]
            scene.until(
                lambda kind=kind, name=name: "InternalError" not in str(scene.now[kind][name].status),
                f"{kind} {name} to recover",
            )
            operator.until_metric(0, "penstock_parked_objects", kind=item["kind"])
