"""An installation by the chart: it proves itself, is confined, and leaves no finalizer when it is uninstalled."""

import pytest

from penstock.api.names import FINALIZER, LABEL_RUN

pytestmark = pytest.mark.e2e

SLOW = """
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {name: slow}
spec:
  flowSpec:
    tasks:
      - name: slow
        image: penstock:e2e
        command: [sleep, "600"]
        podTemplate: {spec: {terminationGracePeriodSeconds: 1}}
"""


def test_helm_test_finds_the_installation_sound(penstock, admin):
    said = admin.helm("test", "penstock", "--namespace", penstock)
    assert "Phase:          Succeeded" in said


def test_a_replica_writes_nowhere_but_in_its_temporary_folder(penstock, admin):
    operator = admin.in_namespace(penstock)
    operator.run("exec", "deployment/penstock", "--", "touch", "/tmp/file")
    refused = operator.refused("exec", "deployment/penstock", "--", "touch", "/file")
    assert "Read-only file system" in refused.message


def test_uninstalling_frees_the_pods_and_lets_them_run_and_installing_again_finds_them(
    penstock, admin, kubectl, tmp_path
):
    release = ["penstock", "--namespace", penstock]
    values = tmp_path / "values.yaml"
    values.write_text(admin.helm("get", "values", *release, "-o", "yaml"))
    kubectl.apply(SLOW)
    kubectl.wait("flowrun/slow", "jsonpath={.status.state}=Running")
    (held,) = kubectl.get_all("pods", selector=f"{LABEL_RUN}=slow")
    assert FINALIZER in held["metadata"]["finalizers"]

    admin.helm("uninstall", *release)
    try:
        (free,) = kubectl.get_all("pods", selector=f"{LABEL_RUN}=slow")
        assert free["metadata"]["uid"] == held["metadata"]["uid"]
        assert "finalizers" not in free["metadata"]
        assert "deletionTimestamp" not in free["metadata"]
    finally:
        admin.helm("install", *release, "helm/penstock", "--values", str(values), "--wait", "--timeout", "3m")

    assert kubectl.get("flowrun", "slow")["status"]["state"] == "Running"
    kubectl.run("delete", "flowrun", "slow")
    kubectl.wait(f"pod/{held['metadata']['name']}", "delete")
