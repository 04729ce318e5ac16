"""People who change our objects while an operator's webhooks and the chart's policy record who does what."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic

from penstock.api.names import API_VERSION, AUDIT_GROUP
from tests.api.account import NAME as ACCOUNT
from tests.api.account import NAMESPACE as RELEASE_NAMESPACE
from tests.api.chart import POLICY_KINDS, render
from tests.api.review_scene import LOOPBACK, recording_webhooks
from tests.cluster import binaries

TRIES = 500
TOKEN = "t0k3n" * 8
GROUPS = {"alice": ["release-managers"], "bob": ["developers"], "mallory": ["developers"]}
"""The groups of people."""


class Said(NamedTuple):
    """What kubectl said."""

    is_done: bool
    text: str


class People:
    """Users with the ClusterRole `edit` in a namespace, who use kubectl."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._kubectl = [str(binaries.binary("kubectl")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]

    def run(self, user: str, *words: str, text: str | None = None) -> Said:
        """Run kubectl as a user."""
        groups = [f"--as-group={each}" for each in ("system:authenticated", *GROUPS.get(user, ()))]
        command = [*self._kubectl, f"--as={user}", *groups, *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return Said(done.returncode == 0, f"{done.stdout}{done.stderr}")

    def create(self, user: str, kind: str, name: str, spec: Mapping[str, Any], *words: str, **metadata: Any) -> Said:
        """Create one of our objects as a user."""
        return self.run(user, "create", "-f-", *words, text=json.dumps(manifest(kind, name, spec, **metadata)))

    def patch(self, user: str, name: str, patch: Mapping[str, Any], *, kind: str = "flowrun") -> Said:
        """Patch one of our objects as a user."""
        return self.run(user, "patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def records(self, name: str, *, kind: str = "flowrun") -> dict[str, str]:
        """Return the records of one of our objects, without their common prefix."""
        said = self.run("alice", "get", kind, name, "-o", "json")
        assert said.is_done, said.text
        annotations = json.loads(said.text)["metadata"].get("annotations", {})
        prefix = f"{AUDIT_GROUP}/"
        return {key.removeprefix(prefix): each for key, each in annotations.items() if key.startswith(prefix)}


def manifest(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def give_edit(api: kubernetes_client.ApiClient, namespace: str, users: Sequence[str]) -> None:
    """Give users the ClusterRole `edit`, with the chart's permissions for our kinds."""
    roles = kubernetes_client.RbacAuthorizationV1Api(api)
    for user in users:
        subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
        body: Any = {"metadata": {"name": f"{user}-edits"}, "roleRef": role, "subjects": [subject]}
        roles.create_namespaced_role_binding(namespace, body)


def rendered_release(namespace: str, **values: Any) -> list[dict[str, Any]]:
    """Return the objects of a release whose operator is the account that operators of the tests have."""
    settings = {
        "fullnameOverride": ACCOUNT,
        "watchNamespace": namespace,
        "crds": {"enabled": False},
        "admissionPolicy": {"operator": {"enabled": False}},
        "webhook": {"token": TOKEN},
        **values,
    }
    return render(settings, namespace=RELEASE_NAMESPACE)


@contextmanager
def policies(api: kubernetes_client.ApiClient, rendered: Sequence[Mapping[str, Any]], ending: str) -> Iterator[None]:
    """Have the policies of a release in the cluster whose names contain a word.

    Args:
        api: the administrator's client.
        rendered: the objects of the release.
        ending: the word, as in `-audit`.
    """
    client = dynamic.DynamicClient(api)
    found = [each for each in rendered if each["kind"] in POLICY_KINDS and ending in each["metadata"]["name"]]
    assert found
    made = []
    try:
        for body in found:
            resource = client.resources.get(api_version=body["apiVersion"], kind=body["kind"])
            resource.create(body=body)
            made.append((resource, body["metadata"]["name"]))
        yield
    finally:
        for resource, name in made:
            resource.delete(name=name)


@contextmanager
def installed_webhooks(
    api: kubernetes_client.ApiClient, rendered: Sequence[Mapping[str, Any]], *, port: int, authority: bytes
) -> Iterator[None]:
    """Have the recording webhooks of a release in the cluster, at a port of this machine."""
    admission: Any = kubernetes_client.AdmissionregistrationV1Api(api)
    mutating, validating = recording_webhooks(rendered, url=f"https://{LOOPBACK}:{port}", authority=authority)
    admission.create_mutating_webhook_configuration(mutating)
    try:
        admission.create_validating_webhook_configuration(validating)
        yield
    finally:
        admission.delete_mutating_webhook_configuration(mutating["metadata"]["name"])
        admission.delete_validating_webhook_configuration(validating["metadata"]["name"])


@contextmanager
def webhooks(
    api: kubernetes_client.ApiClient,
    rendered: Sequence[Mapping[str, Any]],
    people: People,
    *,
    port: int,
    authority: bytes,
) -> Iterator[None]:
    """Have the API server call the recording webhooks of a replica on this machine."""
    with installed_webhooks(api, rendered, port=port, authority=authority):
        for _ in range(TRIES):
            said = people.create("alice", "FlowRun", "probe", RUN, "--dry-run=server", "-o", "json")
            if said.is_done and f"{AUDIT_GROUP}/created-by" in said.text:
                break
        else:
            pytest.fail(f"the webhooks are not in force: {said.text}")
        yield


def until_refused(people: People, user: str, kind: str, spec: Mapping[str, Any], reason: str, **metadata: Any) -> None:
    """Create an object, as a dry run, until it is refused for a reason: a policy takes effect after a second."""
    said = Said(is_done=False, text="")
    for _ in range(TRIES):
        said = people.create(user, kind, "probe", spec, "--dry-run=server", **metadata)
        if reason in said.text:
            return
    pytest.fail(f"the policy is not in force: {said.text}")


RUN: Mapping[str, Any] = {"flow": {"name": "missing"}}


def replica_options(folder: Path, port: int) -> tuple[str, ...]:
    """Return the options of a replica that serves webhooks and trusts the records."""
    token = folder / "token"
    token.write_text(TOKEN)
    serving = ("--webhook-port", str(port), "--webhook-cert-dir", str(folder), "--webhook-token-file", str(token))
    return *serving, "--admission-policy", "true"
