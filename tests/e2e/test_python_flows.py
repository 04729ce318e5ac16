"""Python flows, compiled as a user does it, and run in real Pods: the same code gives the same as in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import IMAGE, ROOT, ObjectStore, Volume
from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import task

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "seasons.py"
LETTERS = Path(__file__).parent / "flows" / "letters.py"


def in_process(file: Path, call: str) -> Any:
    """Return what a flow gives in a process of its own."""
    code = f"import json, {file.stem}; print(json.dumps({file.stem}.{call}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=file.parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compiled(kubectl: Kubectl, file: Path, flow: str, *options: str) -> dict[str, Any]:
    """Compile a flow, and have its code mounted where the image would have it."""
    text = kubectl.penstock("compile", f"{file}:{flow}", "--image", IMAGE, *options)
    manifest: dict[str, Any] = yaml.safe_load(text)
    defaults = manifest["spec"]["defaults"]
    defaults.setdefault("env", []).append({"name": "PENSTOCK_CODE", "value": "/code"})
    pod = defaults.setdefault("podTemplate", {}).setdefault("spec", {})
    pod["volumes"] = [{"name": "code", "configMap": {"name": "code"}}]
    containers = pod.setdefault("containers", [{"name": "main"}])
    containers[0]["volumeMounts"] = [{"name": "code", "mountPath": "/code"}]
    return manifest


def run_of(kubectl: Kubectl, manifest: dict[str, Any], *params: str) -> dict[str, Any]:
    """Apply a Flow, run it, and return the run."""
    kubectl.apply(json.dumps(manifest))
    name = manifest["metadata"]["name"]
    kubectl.penstock("run", name, "--name", name, *(word for param in params for word in ("-p", param)))
    return kubectl.finish(name, timeout_s=300)


def test_an_example_gives_the_same_in_pods_that_share_a_folder(kubectl: Kubectl, volume: Volume):
    kubectl.run(
        "create", "configmap", "code", f"--from-file={EXAMPLE}", f"--from-file={EXAMPLE.parent}/weather-data.yaml"
    )
    manifest = compiled(kubectl, EXAMPLE, "seasons")
    manifest["spec"]["workspace"]["storageClassName"] = volume.storage_class

    run = run_of(kubectl, manifest)

    assert run["status"]["state"] == "Completed", run["status"]
    assert run["status"]["outputs"]["result"] == in_process(EXAMPLE, "seasons()")
    stored = task(run, "read-days")["outputs"]
    assert stored["result"] == {"type": "list", "length": 1461}
    assert Path(stored["stored"]["url"]).name in {file.name for file in volume.folder.rglob("*.pickle")}
    assert task(run, "sum-up")["items"]["counts"] == {"Completed": 4}
    (pod, *_) = kubectl.get_all("pods", selector="penstock.dev/task=sum-up,penstock.dev/index=0")
    assert "2012 had" in kubectl.run("logs", pod["metadata"]["name"])


def test_a_megabyte_reaches_the_next_pods_through_an_object_store(kubectl: Kubectl, object_store: ObjectStore):
    kubectl.run("create", "configmap", "code", f"--from-file={LETTERS}")
    manifest = compiled(kubectl, LETTERS, "letters", "--storage", object_store.url)

    run = run_of(kubectl, manifest, "count=30")

    assert run["status"]["state"] == "Completed", run["status"]
    assert run["status"]["outputs"]["result"] == in_process(LETTERS, "letters(30)")
    stored = task(run, "write")["outputs"]["stored"]
    assert stored["url"].startswith(f"{object_store.url}/results/")
    assert stored["bytes"] > 30_000
    assert task(run, "count-letters")["items"]["counts"] == {"Completed": 30}


def test_a_flow_in_one_pod_goes_by_its_data_and_tells_of_its_tasks(kubectl: Kubectl):
    kubectl.run("create", "configmap", "code", f"--from-file={LETTERS}")

    run = run_of(kubectl, compiled(kubectl, LETTERS, "halvings"), "number=1000")

    assert run["status"]["state"] == "Completed", run["status"]
    assert run["status"]["outputs"] == {"result": 9, "tasks": {"halve": {"Completed": 9}}}
    assert run["status"]["outputs"]["result"] == in_process(LETTERS, "halvings(1000)")
    assert len(kubectl.get_all("pods", selector="penstock.dev/run=halvings")) == 1
