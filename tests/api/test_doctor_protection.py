"""`penstock doctor` says what is not protected in an installation of the chart."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.cli.commands.installation.doctor_protection import REQUIRED_RIGHTS, Right
from tests.api.command_line import once
from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

CHART = Path(__file__).parents[2] / "helm" / "penstock"
Install = Callable[..., None]


@pytest.fixture
def helm(kubeconfig, namespace) -> Callable[..., str]:
    def helm(*words: str, values: Any = None) -> str:
        command = [str(binaries.binary("helm")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", *words]
        done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return helm


@pytest.fixture
def install(helm, namespace) -> Iterator[Install]:
    """Installs the chart without operators, whom fake nodes cannot run."""
    name = f"doctor-{namespace.removeprefix('test-')}"

    def install(**values: Any) -> None:
        reduced = {
            "fullnameOverride": name,
            "crds": {"enabled": False},
            "replicas": 0,
            "uninstall": {"releasePods": False},
        }
        helm("upgrade", "--install", name, str(CHART), "--values=-", values=reduced | values)

    yield install
    helm("uninstall", name)


def findings(typed, namespace: str) -> dict[str, str]:
    """Return the lines of the operator in this namespace, by subject; each begins with its sign."""
    _, lines = once(typed, "doctor")
    # In a shared cluster there may be other installations: the lines of each follow each other.
    own = next(
        place for place, line in enumerate(lines) if line[2:].startswith("token   ") and f" {namespace}/" in line
    )
    found = {}
    for line in lines[: own + 3]:
        if line[:1] in "✓?!✗":
            found[line[2:14].rstrip()] = f"{line[0]} {line[14:]}"
    return found


def test_an_installation_as_it_comes_is_protected_but_for_its_reach(typed, install, namespace):
    install()
    found = findings(typed, namespace)
    assert found["reach"].startswith("! the operator works in all namespaces")
    assert found["policy"].startswith("✓ ")
    assert found["token limit"].startswith("✓ ")
    assert found["token"].startswith("✓ ServiceAccount ")
    assert found["token"].endswith(" in all namespaces, and no others")
    assert found["network"].startswith("✓ NetworkPolicy ")


def test_what_is_switched_off_is_said(typed, install, namespace):
    install(
        watchNamespaces=[namespace],
        admissionPolicy={"enabled": False},
        networkPolicy={"enabled": False},
        rbac={"create": False},
    )
    found = findings(typed, namespace)
    assert found["reach"] == f"✓ the operator works in namespace {namespace} only"
    assert found["policy"].startswith("! off: whoever may create Pods or ConfigMaps")
    assert found["token limit"].startswith("! off: with the operator's token")
    assert " lacks get flows, " in found["token"]
    assert found["network"].startswith("! no NetworkPolicy")


def test_without_the_permission_to_ask_it_says_so(api, core, typed, install, kubeconfig, namespace, tmp_path):
    install()
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "viewer"}})
    binding: Any = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"viewer-{namespace}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": namespace}],
    }
    from kubernetes import client  # noqa: PLC0415 - one test needs it

    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_cluster_role_binding(binding)
    try:
        token = core.create_namespaced_service_account_token("viewer", namespace, {"spec": {}}).status.token
        content = yaml.safe_load(kubeconfig.read_text())
        for user in content["users"]:
            user["user"] = {"token": token}
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(content))
        _, lines = once(lambda *words: typed(*words, kubeconfig=file), "doctor")
    finally:
        rbac.delete_cluster_role_binding(f"viewer-{namespace}")
    assert "? policy      no permission to list ValidatingAdmissionPolicies" in lines
    account = f"{namespace}/doctor-{namespace.removeprefix('test-')}"
    assert (
        f"? token       ServiceAccount {account} cannot be judged: no permission to create SubjectAccessReviews"
        in lines
    )


def test_the_permissions_that_it_asks_for_are_those_of_the_chart(helm):
    rendered = [each for each in yaml.safe_load_all(helm("template", "p", str(CHART))) if each]
    roles = {each["metadata"]["name"]: each for each in rendered if each["kind"] == "ClusterRole"}
    given = {
        Right(verb, group, resource)
        for rule in roles["p-penstock"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert set(REQUIRED_RIGHTS) == given
