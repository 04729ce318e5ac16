"""A restored backup: nothing that had finished runs again, whatever is interrupted, with the operator at work."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from penstock.api import names
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

KINDS = ("flowruns", "backfills", "schedules", "flows", "flowdefaults")
Penstock = Callable[..., str]


@pytest.fixture
def penstock(kubeconfig, namespace) -> Penstock:
    """Runs a command in the test's namespace, and returns what it prints."""

    def run(*words: str, kubeconfig: Path = kubeconfig, exit_code: int = 0) -> str:
        command = [sys.executable, "-m", "penstock.cli.main", *words, "--kubeconfig", str(kubeconfig), "-n", namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == exit_code, f"{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def backup(scene: Scene, kubeconfig, penstock, tmp_path: Path) -> Path:
    """A backup of a namespace with finished and unfinished runs, after which the namespace was emptied."""
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        scene.create("FlowDefaults", "default", {"timeout": "1h"})
        scene.create("Flow", "inner", {"tasks": [task("inner")]})
        tasks = [task("script", script="echo", pod_outputs='{"rows": 3}'), {"name": "child", "flow": {"name": "inner"}}]
        scene.create("Flow", "etl", {"tasks": [*tasks, task("cached", cache={"key": "k", "ttl": "1h"})]})
        scene.create("Schedule", "yearly", {"cron": ["0 0 1 1 *"], "runTemplate": {"spec": {"flow": {"name": "etl"}}}})
        period = {"from": "2024-06-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
        scene.create("Backfill", "past", {"schedule": {"name": "yearly"}, **period})
        scene.start_of("etl", "good")
        scene.start(task("bad", script="exit 1", pod_exit_code="1"), name="inline")
        for run in ("good", "inline"):
            scene.finish(run)
        scene.until(lambda: is_finished(scene.now["backfills"].get("past")), "the Backfill to finish")
        scene.start(task(pod_outcome="run"), name="running")
        scene.reach("Running", "running")
    file = tmp_path / "backup.jsonl.gz"
    assert "objects of namespace" in penstock("backup", "-o", str(file), "--cache")
    assert file.stat().st_mode & 0o77 == 0
    empty(scene)
    return file


def is_finished(seen: Any) -> bool:
    conditions = (seen.status.get("conditions") or []) if seen else []
    return any(each["type"] == "Finished" and each["status"] == "True" for each in conditions)


def empty(scene: Scene) -> None:
    """Delete all that the backup holds, as if the cluster were another."""
    for kind in KINDS:
        scene.custom.delete_collection_namespaced_custom_object(names.GROUP, names.VERSION, scene.namespace, kind)
    selector = "app.kubernetes.io/managed-by=penstock"
    scene.core.delete_collection_namespaced_config_map(scene.namespace, label_selector=selector)
    for pod in scene.held_pods():
        patch: Any = {"metadata": {"finalizers": None}}
        scene.core.patch_namespaced_pod(pod, scene.namespace, patch)
    scene.core.delete_collection_namespaced_pod(scene.namespace, grace_period_seconds=0)
    scene.until(lambda: not any(scene.now[kind] for kind in (*KINDS, "pods")), "the namespace to be empty")


def statuses(scene: Scene) -> dict[str, Any]:
    """Return the status of each run, without what belongs to a leader or a generation."""

    def essence(status: dict[str, Any]) -> dict[str, Any]:
        left = {key: value for key, value in status.items() if key not in {"epoch", "observedGeneration"}}
        for condition in left.get("conditions", ()):
            condition.pop("observedGeneration", None)
        return left

    return {run.metadata.name: essence(run.status) for run in list(scene.now["flowruns"].values())}


def stored(file: Path) -> dict[str, Any]:
    import gzip  # noqa: PLC0415 - one helper needs it

    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    return {each["metadata"]["name"]: each for each in lines if each.get("kind") == "FlowRun"}


def pods_ever(scene: Scene) -> set[str]:
    return set(scene.ever["pods"])


def runs_with_pods(scene: Scene, *, since: set[str]) -> set[str]:
    """Return the runs that got Pods."""
    return {scene.ever["pods"][uid].metadata.labels[names.LABEL_RUN] for uid in pods_ever(scene) - since}


def test_with_the_operator_at_work_nothing_runs_again(scene: Scene, backup, penstock, kubeconfig, tmp_path):
    before = pods_ever(scene)
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace) as operator:
        scene.start(task(), name="new-first")
        assert scene.finish("new-first")["state"] == "Completed"
        printed = penstock("restore", str(backup))
        assert "flowrun.penstock.dev/running skipped: it had not finished" in printed
        assert "schedule.penstock.dev/yearly restored, suspended" in printed
        again = penstock("restore", str(backup))
        assert " restored" not in again.replace("backup of", "")
        # The operator has handled a run that was created after all of these, so it has seen them.
        scene.start_of("etl", "new")
        assert scene.finish("new")["state"] == "Completed"
        wanted = {name: body["status"] for name, body in stored(backup).items() if "status" in body}
        found = statuses(scene)
        assert {name: found[name]["state"] for name in wanted} == {name: wanted[name]["state"] for name in wanted}
        assert found["good"]["tasks"] == wanted["good"]["tasks"]
        assert "running" not in found
        assert {run.partition("-")[0] for run in runs_with_pods(scene, since=before)} == {"new"}
        assert "Traceback" not in operator.log
        child = next(run for name, run in scene.now["flowruns"].items() if name.startswith("good-child"))
        assert [owner.uid for owner in child.metadata.owner_references] == [scene.run("good").metadata.uid]
        assert scene.now["schedules"]["yearly"].spec["suspend"] is True
        assert is_finished(scene.now["backfills"]["past"])


def test_it_continues_after_an_interruption_and_nothing_runs_meanwhile(
    scene: Scene, api, backup, penstock, kubeconfig, tmp_path
):
    # Whoever may create runs and not write their status is interrupted between the two requests of each run.
    limited = kubeconfig_of_editor(api, scene.namespace, kubeconfig, tmp_path)
    before = pods_ever(scene)
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        assert "not allowed" in penstock("restore", str(backup), kubeconfig=limited, exit_code=1)
        scene.create("Flow", "other", {"tasks": [task()]})
        scene.start_of("other", "new")
        assert scene.finish("new")["state"] == "Completed"
        assert not scene.status("good")
        finding = next(line for line in penstock("doctor", exit_code=1).splitlines() if "restored" in line)
        assert "good" in finding
        assert {pod.metadata.labels[names.LABEL_RUN] for pod in scene.pods()} == {"new"}
        penstock("restore", str(backup))
        assert scene.reach("Completed", "good")["progress"] == "3/3"
        assert runs_with_pods(scene, since=before) == {"new"}


def test_a_restore_that_is_killed_leaves_nothing_that_runs(scene: Scene, backup, penstock, kubeconfig, tmp_path):
    before = pods_ever(scene)
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        place = ["--kubeconfig", str(kubeconfig), "-n", scene.namespace]

        async def kill_at(line: bytes) -> None:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "penstock.cli.main", "restore", str(backup), *place),
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            while line not in await process.stdout.readline():
                assert not process.stdout.at_eof()
            process.send_signal(signal.SIGKILL)
            await process.wait()

        for line in (b"flow.penstock.dev/", b"flowrun.penstock.dev/"):
            asyncio.run(kill_at(line))
        penstock("restore", str(backup), "--resume-schedules")
        scene.reach("Completed", "good")
        scene.until(lambda: not scene.now["schedules"]["yearly"].spec.get("suspend"), "the Schedule to be resumed")
        assert pods_ever(scene) == before


def test_unfinished_runs_can_be_restored_suspended(scene: Scene, backup, penstock, kubeconfig, tmp_path):
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        penstock("restore", str(backup), "--unfinished", "suspend")
        assert scene.reach("Paused", "running")["reason"] == "Suspended"
        assert not [pod for pod in scene.pods() if pod.metadata.labels[names.LABEL_RUN] == "running"]
        penstock("resume", "running")
        scene.reach("Running", "running")


def test_a_restored_run_can_be_retried_with_its_own_revision(scene: Scene, backup, penstock, kubeconfig, tmp_path):
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        penstock("restore", str(backup))
        penstock("retry", "inline", "--name", "second")
        assert scene.finish("second")["state"] == "Failed"
        assert "bad" in penstock("graph", "run/inline")


def test_a_retry_of_a_run_that_is_being_restored_starts_when_that_has_its_status(scene: Scene, replica):
    with replica():
        old = {"flowSpec": {"tasks": [task()]}}
        scene.create("FlowRun", "old", old, labels={names.LABEL_RESTORED: "true"})
        scene.create("FlowRun", "again", {"retryOf": {"name": "old"}})
        assert scene.reach("Pending", "again")["reason"] == "RetryOfUnfinished"
        ended = {"state": "Failed", "tasks": [{"name": "main", "state": "Failed", "attempt": 1}]}
        scene.patch("FlowRun", "old", {"status": ended}, is_status=True)
        assert scene.finish("again")["state"] == "Completed"
        assert not list(scene.ever_attempts("old"))


def kubeconfig_of_editor(api: kubernetes_client.ApiClient, namespace: str, admin: Path, folder: Path) -> Path:
    """Return a kubeconfig of somebody who may edit the namespace, and write no status."""
    core: Any = kubernetes_client.CoreV1Api(api)
    rbac: Any = kubernetes_client.RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "editor"}})
    verbs = ["get", "list", "create"]
    rules = [
        {"apiGroups": ["penstock.dev"], "resources": [*KINDS], "verbs": verbs},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs},
    ]
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "editor"}, "rules": rules})
    binding = {
        "metadata": {"name": "editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "editor"},
        "subjects": [{"kind": "ServiceAccount", "name": "editor", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)
    token = core.create_namespaced_service_account_token("editor", namespace, {"spec": {}}).status.token
    content = yaml.safe_load(admin.read_text())
    for user in content["users"]:
        user["user"] = {"token": token}
    path = folder / "editor.kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path
