"""Cached tasks, run by the real operator as a process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.api import names
from tests.api.proxy import Proxy
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


@pytest.fixture
def operator(kubeconfig, scene, tmp_path) -> Iterator[Replica]:
    """An operator for the test's namespace."""
    with replica(kubeconfig, scene, tmp_path, f"cache-{uuid.uuid4().hex[:8]}") as made:
        yield made
        assert "Traceback" not in made.log


def replica(kubeconfig, scene: Scene, folder, lease: str) -> Replica:
    return Replica(kubeconfig, folder, namespace=scene.namespace, lease=lease, identity="same")


def cached(name: str = "load", **fields: Any) -> dict[str, Any]:
    fields = {"cache": {"key": "$(params.day)"}, "pod_outputs": '{"rows": 3}', **fields}
    return task(name, args=["--day", "$(params.day)"], **fields)


def a_flow(scene: Scene, *tasks: dict[str, Any], name: str = "orders", **fields: Any) -> None:
    scene.create("Flow", name, {"params": [{"name": "day"}], "tasks": list(tasks), **fields})


def start(scene: Scene, name: str, day: str = "1", flow: str = "orders") -> None:
    scene.start_of(flow, name, params={"day": day})


def locks(scene: Scene) -> list[Any]:
    selector = f"{names.LABEL_CACHE}=lock"
    return list(scene.core.list_namespaced_config_map(scene.namespace, label_selector=selector).items)


@pytest.mark.usefixtures("operator")
def test_a_second_run_reuses_the_outputs_and_makes_no_pod(scene, operator):
    a_flow(
        scene,
        cached(),
        task("report", args=["$(tasks.load.outputs.rows)"]),
        outputs={"rows": "$(tasks.load.outputs.rows)"},
    )
    start(scene, "first")
    assert scene.finish("first")["state"] == "Completed"
    start(scene, "second")
    status = scene.finish("second")

    assert (status["state"], status["outputs"]) == ("Completed", {"rows": 3})
    entry = scene.entry("load", "second")
    assert (entry["state"], entry["outputs"], entry["run"]) == ("Cached", {"rows": 3}, "first")
    assert [attempt.task for attempt in scene.ever_attempts("second")] == ["report"]

    start(scene, "third", day="2")
    scene.finish("third")
    assert scene.entry("load", "third")["state"] == "Completed"
    assert operator.metric("penstock_cache_lookups_total", result="hit") == 1
    assert operator.metric("penstock_cache_lookups_total", result="miss") == 2


@pytest.mark.usefixtures("operator")
def test_a_task_that_runs_something_else_is_another_task(scene):
    a_flow(scene, cached())
    start(scene, "first")
    scene.finish("first")
    scene.patch("Flow", "orders", {"spec": {"tasks": [cached(image="busybox:2")]}})
    start(scene, "second")
    scene.finish("second")

    assert scene.entry("load", "second")["state"] == "Completed"


@pytest.mark.usefixtures("operator")
def test_two_identical_tasks_at_once_run_once(scene):
    a_flow(scene, cached(pod_outcome="run"))
    start(scene, "first")
    pod = scene.running_pod("load")
    start(scene, "second")
    waiting = scene.reach_task("Queued", "load", "second")
    assert waiting["reason"] == "CacheBusy"
    assert "run first" in waiting["message"]

    succeed(scene, pod.metadata.name)

    scene.finish("first")
    scene.finish("second")
    assert scene.entry("load", "second")["state"] == "Cached"
    assert scene.entry("load", "second")["outputs"] == {"rows": 3}
    assert scene.ever_attempts("second") == []


@pytest.mark.usefixtures("operator")
def test_when_the_holder_of_the_lock_is_deleted_the_run_that_waits_runs(scene):
    a_flow(scene, cached(pod_outcome="run"))
    start(scene, "first")
    scene.running_pod("load")
    start(scene, "second")
    scene.reach_task("Queued", "load", "second")
    scene.delete("FlowRun", "first")

    scene.until(lambda: scene.ever_attempts("second"), "the second run to have a Pod")
    scene.reach_task("Running", "load", "second")


@pytest.mark.usefixtures("operator")
def test_of_ten_items_of_which_one_changed_one_runs(scene):
    fan_out = task(
        "load",
        forEach={"items": "$(params.files)"},
        args=["$(item)"],
        cache={"key": "$(item)"},
        pod_outputs='{"rows": 3}',
    )
    scene.create("Flow", "orders", {"params": [{"name": "files", "type": "array"}], "tasks": [fan_out]})
    files = [f"file-{number}" for number in range(10)]
    scene.start_of("orders", "first", params={"files": files})
    scene.finish("first")
    assert len(scene.ever_attempts("first")) == 10
    scene.start_of("orders", "second", params={"files": [*files[:4], "file-new", *files[5:]]})
    scene.finish("second")

    entry = scene.entry("load", "second")
    assert entry["items"]["counts"] == {"Cached": 9, "Completed": 1}
    assert entry["outputs"] == [{"rows": 3}] * 10
    assert [attempt.item for attempt in scene.ever_attempts("second")] == ["4"]


@pytest.mark.usefixtures("operator")
def test_items_with_the_same_key_run_once(scene):
    scene.start(
        task("load", forEach={"count": 20}, cache={"key": "same"}, pod_outputs='{"rows": 3}'),
    )
    scene.finish()

    assert scene.entry("load")["items"]["counts"] == {"Cached": 19, "Completed": 1}
    assert len(scene.ever_attempts()) == 1


@pytest.mark.usefixtures("operator")
def test_a_task_that_fails_leaves_nothing_to_reuse_and_no_lock(scene):
    a_flow(scene, cached(pod_exit_code="1"))
    for name in ("first", "second"):
        start(scene, name)
        assert scene.finish(name)["state"] == "Failed"
        assert len(scene.ever_attempts(name)) == 1
    assert scene.core.list_namespaced_config_map(scene.namespace, label_selector=names.LABEL_CACHE).items == []


@pytest.mark.usefixtures("operator")
def test_a_cancelled_run_that_waits_for_the_cache_ends(scene):
    a_flow(scene, cached(pod_outcome="run"))
    start(scene, "first")
    scene.running_pod("load")
    start(scene, "second")
    scene.reach_task("Queued", "load", "second")
    scene.patch("FlowRun", "second", {"spec": {"shutdown": "Cancel"}})

    assert scene.reach("Cancelled", "second")
    assert len(locks(scene)) == 1


def succeed(scene: Scene, pod: str) -> None:
    """End a Pod that runs until it is stopped."""
    now = "2026-01-01T00:00:00Z"
    terminated = {"exitCode": 0, "message": '{"rows": 3}', "startedAt": now, "finishedAt": now}
    status = {
        "phase": "Succeeded",
        "containerStatuses": [
            {
                "name": "main",
                "image": "none",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": terminated},
            }
        ],
    }
    scene.core.patch_namespaced_pod_status(pod, scene.namespace, {"status": status})


def test_an_operator_that_is_killed_while_a_run_holds_a_lock_resumes_unharmed(scene, kubeconfig, tmp_path):
    lease = f"cache-{uuid.uuid4().hex[:8]}"
    a_flow(scene, cached(pod_outcome="run"))
    with replica(kubeconfig, scene, tmp_path, lease) as first:
        start(scene, "first")
        pod = scene.running_pod("load")
        start(scene, "second")
        scene.reach_task("Queued", "load", "second")
        first.kill()
    succeed(scene, pod.metadata.name)
    with replica(kubeconfig, scene, tmp_path, lease) as second:
        scene.finish("first")
        scene.finish("second")
        assert scene.entry("load", "first")["state"] == "Completed"
        assert scene.entry("load", "second")["state"] == "Cached"
        assert len(scene.ever_attempts("first")) == 1
        assert scene.ever_attempts("second") == []
        assert "Traceback" not in second.log


def test_an_operator_that_is_killed_and_a_holder_that_is_deleted_meanwhile_block_no_run(scene, kubeconfig, tmp_path):
    lease = f"cache-{uuid.uuid4().hex[:8]}"
    a_flow(scene, cached(pod_outcome="run"))
    with replica(kubeconfig, scene, tmp_path, lease) as first:
        start(scene, "first")
        scene.running_pod("load")
        first.kill()
    scene.delete("FlowRun", "first")
    start(scene, "second")
    with replica(kubeconfig, scene, tmp_path, lease):
        scene.until(lambda: scene.ever_attempts("second"), "the second run to have a Pod")
    scene.core.delete_collection_namespaced_pod(scene.namespace, grace_period_seconds=0)


def test_a_lock_that_was_taken_before_a_crash_is_found_by_its_holder_though_others_ask_first(
    scene, connection, kubeconfig, tmp_path
):
    a_flow(scene, cached())
    with Proxy(connection, tmp_path) as proxy:
        proxy.fail(lambda seen: seen.method == "POST" and seen.path.endswith("/pods"), status=503)
        with replica(proxy.kubeconfig, scene, tmp_path, scene.namespace) as first:
            start(scene, "b")
            scene.until(lambda: scene.entry("load", "b"), "b to begin")
            proxy.wait_for_requests(lambda seen: seen.method == "POST" and seen.path.endswith("/pods"), 1)
            for name in ("a", "c"):
                start(scene, name)
                scene.until(lambda name=name: scene.entry("load", name).get("reason") == "CacheBusy", f"{name} to wait")
            first.kill()
    with replica(kubeconfig, scene, tmp_path, scene.namespace):
        states = [scene.finish(name) and scene.entry("load", name)["state"] for name in "bac"]
    assert states == ["Completed", "Cached", "Cached"]
