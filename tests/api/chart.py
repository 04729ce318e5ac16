"""What the chart makes of values, and its policy about who may write what identifies an object."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from tests.cluster import binaries

CHART = Path(__file__).parents[2] / "helm" / "penstock"
POLICY_KINDS = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})


def render(values: Mapping[str, Any], *, namespace: str, release: str = "policy") -> list[dict[str, Any]]:
    """Return the objects of a release."""
    text = subprocess.run(
        [str(binaries.binary("helm")), "template", release, str(CHART), f"--namespace={namespace}", "--values=-"],
        input=json.dumps(values),
        text=True,
        check=True,
        capture_output=True,
    ).stdout
    return [each for each in yaml.safe_load_all(text) if each]


@contextmanager
def identity_policy(
    api: kubernetes_client.ApiClient, rendered: Sequence[Mapping[str, Any]], namespace: str
) -> Iterator[None]:
    """Have a release's policy in force that keeps what identifies the operator's objects to the operator.

    Args:
        api: the administrator's client.
        rendered: the objects of the release, without the policy about the operator itself.
        namespace: one in which it is to be in force.
    """
    client = dynamic.DynamicClient(api)
    policies = [
        (client.resources.get(api_version=body["apiVersion"], kind=body["kind"]), body)
        for body in rendered
        if body["kind"] in POLICY_KINDS
    ]
    for resource, body in policies:
        resource.create(body=body)
    try:
        _wait_until_in_force(api, namespace)
        yield
    finally:
        for resource, body in policies:
            resource.delete(name=body["metadata"]["name"])


def _wait_until_in_force(api: kubernetes_client.ApiClient, namespace: str) -> None:
    """Wait until the API server applies it, which takes it about a second; it binds administrators too."""
    core: Any = kubernetes_client.CoreV1Api(api)
    body = {"metadata": {"name": "probe", "labels": {names.LABEL_CACHE: "lock"}}}
    for _ in range(10_000):
        try:
            core.create_namespaced_config_map(namespace, body, dry_run="All")
        except ApiException as refused:
            if "identify objects of Penstock" in str(refused.body):
                return
            raise
    pytest.fail("the policy is not in force")
