"""The account that operators of the tests run under: with the rights that the chart gives, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kubernetes import client as kubernetes_client
from kubernetes import dynamic

from tests.api.chart import render
from tests.cluster.control_plane import AUDIT_LOG

NAME = "penstock-tests"
NAMESPACE = "default"
VALUES: Mapping[str, Any] = {
    "fullnameOverride": NAME,
    "crds": {"enabled": False},
    "events": {
        "kinds": [{"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps"}],
        "webhook": {"enabled": True, "secretNames": ["penstock-webhook", "weak"]},
    },
}
TOKEN_S = 24 * 3600


class Right(NamedTuple):
    """A verb on a resource; a subresource is named as in roles: `flows/status`."""

    group: str
    resource: str
    verb: str


def account_kubeconfig(admin: Path) -> Path:
    """Return where the account's kubeconfig is, beside the administrator's."""
    return admin.with_name(f"{NAME}.kubeconfig")


def make_account(api: kubernetes_client.ApiClient, admin: Path) -> set[Right]:
    """Make the account, write its kubeconfig, and return the rights that the chart gives it."""
    client = dynamic.DynamicClient(api)
    rendered = render(VALUES, namespace=NAMESPACE, release=NAME)
    # The chart also has roles for people, which are bound to nobody.
    bound = {body["roleRef"]["name"] for body in rendered if body["kind"] == "ClusterRoleBinding"}
    rights: set[Right] = set()
    for body in rendered:
        if body["kind"] == "ClusterRole" and body["metadata"]["name"] in bound:
            rights |= set(_rights(body["rules"]))
        if body["kind"] == "Role":
            # Each test has a Lease of its own; that the chart's rule is narrower, and enough, is tested with the chart.
            body["rules"] = [
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
            ]
        if body["kind"] in {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}:
            resource = client.resources.get(api_version=body["apiVersion"], kind=body["kind"])
            client.server_side_apply(
                resource, body=body, namespace=NAMESPACE, field_manager="penstock-tests", force_conflicts=True
            )
    token = kubernetes_client.CoreV1Api(api).create_namespaced_service_account_token(
        NAME,
        NAMESPACE,
        kubernetes_client.AuthenticationV1TokenRequest(
            spec=kubernetes_client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_S)
        ),
    )
    assert token.status is not None
    config = yaml.safe_load(admin.read_text())
    config["users"] = [{"name": NAME, "user": {"token": token.status.token}}]
    for context in config["contexts"]:
        context["context"]["user"] = NAME
    account_kubeconfig(admin).write_text(yaml.safe_dump(config))
    return rights


def used_rights(admin: Path) -> set[Right]:
    """Return what the account has asked for, by the audit log of a cluster with fake nodes."""
    return {right for right, _ in _asked(admin, f"system:serviceaccount:{NAMESPACE}:{NAME}")}


def lacking_rights(admin: Path, *, namespace: str, account: str) -> set[Right]:
    """Return what a service account has asked for and was not allowed, by the same log.

    The API server answers 403 for other reasons too: a namespace that is being deleted, a full quota.
    """
    asked = _asked(admin, f"system:serviceaccount:{namespace}:{account}")
    return {right for right, is_allowed in asked if not is_allowed}


def _asked(admin: Path, user: str) -> Iterator[tuple[Right, bool]]:
    with (admin.parent / AUDIT_LOG).open() as log:
        for line in log:
            event = json.loads(line)
            about = event.get("objectRef", {})
            if event["user"]["username"] == user and "resource" in about:
                resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
                right = Right(about.get("apiGroup", ""), resource, event["verb"])
                yield right, event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid"


def _rights(rules: list[dict[str, Any]]) -> Iterator[Right]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Right(group, resource, verb)
