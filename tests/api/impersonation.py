"""Service accounts as which a test acts: with the roles that it gives them, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names


def bind(
    api: kubernetes_client.ApiClient, user: str, role: str, *, namespace: str, kind: str = "ClusterRole"
) -> kubernetes_client.ApiClient:
    """Give a service account a role in a namespace, and return a client that acts as it.

    Args:
        api: the administrator's.
        user: the account, `NAMESPACE:NAME`.
        role: name of the role.
        namespace: where the account gets it.
        kind: of the role.
    """
    place, account = user.split(":")
    binding: Any = {
        "metadata": {"name": f"{place}-{account}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": place}],
    }
    kubernetes_client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(namespace, binding)
    client = kubernetes_client.ApiClient(api.configuration)
    client.set_default_header("Impersonate-User", f"system:serviceaccount:{user}")
    _wait_until_bound(client, namespace)
    return client


def _wait_until_bound(client: kubernetes_client.ApiClient, namespace: str) -> None:
    """Wait until the API server has taken over the binding, and what the chart adds to the role."""
    reviews: Any = kubernetes_client.AuthorizationV1Api(client)
    for _ in range(10_000):
        review = reviews.create_self_subject_rules_review({"spec": {"namespace": namespace}})
        if any(names.GROUP in (rule.api_groups or ()) for rule in review.status.resource_rules):
            return
    pytest.fail(f"the account has no rights about our kinds in {namespace}")
