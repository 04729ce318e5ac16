"""`penstock doctor`: check that Penstock works in this cluster, and the permissions of the user who runs it."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator
from typing import Final

from penstock.api.kind import KINDS
from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import FORBIDDEN, NOT_FOUND
from penstock.cli.cluster.chart import OPERATOR_LABELS
from penstock.cli.commands.installation.doctor_checks import (
    LEASE_NAME,
    REQUIRED_PERMISSIONS,
    Finding,
    Level,
    check_crds,
    check_leader,
    check_operator,
    check_storage,
    check_unhandled_runs,
    check_user_permissions,
    check_version,
    container_argument,
)
from penstock.cli.commands.installation.doctor_protection import (
    EXCESSIVE_RIGHTS,
    POLICY_LABELS,
    REQUIRED_RIGHTS,
    Right,
    ServiceAccount,
    check_network,
    check_policies,
    check_rights,
    check_watched,
    watched_namespaces,
)
from penstock.cli.text.console import Console, Text
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError, RefusalError

SIGNS: Final = {
    Level.GOOD: ("✓", "green"),
    Level.UNKNOWN: ("?", "dim"),
    Level.WARNING: ("!", "yellow"),
    Level.BAD: ("✗", "bold red"),
}
SUBJECT_WIDTH: Final = 12
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
MISSING_TASK: Final = "penstock-doctor-probe"
PROBE: Final = {
    "apiVersion": API_VERSION,
    "kind": "Flow",
    "metadata": {"generateName": "penstock-doctor-"},
    "spec": {"tasks": [{"name": "main", "image": "none", "dependsOn": [MISSING_TASK]}]},
}
"""A Flow that is valid by its CRD and rejected by the webhook. Sent with dryRun: nothing is stored."""


def command(arguments: argparse.Namespace) -> int:
    """Run all checks; 1 if one failed."""
    return diagnose(Cluster.connect(arguments))


def diagnose(cluster: Cluster) -> int:
    """Run all checks and print the findings.

    Returns:
        The exit code: 1 if a check failed.
    """
    console = Console()
    is_bad = False
    for finding in run_checks(cluster, dt.datetime.now(dt.UTC)):
        sign, style = SIGNS[finding.level]
        line = Text(f"{sign} ", style).append(f"{finding.subject:{SUBJECT_WIDTH}}", style).append(finding.text, "")
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"  {'':{SUBJECT_WIDTH}}{finding.advice}", "bold"), soft_wrap=True)
        is_bad = is_bad or finding.level is Level.BAD
    return 1 if is_bad else 0


def run_checks(cluster: Cluster, now: dt.datetime) -> Iterator[Finding]:
    """Check a cluster, and the permissions there of the user who runs the command.

    Args:
        cluster: the cluster.
        now: the current time.
    """
    try:
        yield check_version(cluster.send("GET", "/version"), cluster.host)
    except CommandError as error:
        yield Finding(
            Level.BAD, "cluster", str(error), "check --kubeconfig and --context, and that the cluster is running"
        )
        return
    yield _crds(cluster)
    deployments = _operators(cluster)
    yield from _operator(cluster, deployments, now)
    yield from _webhook(cluster)
    for deployment in deployments or ():
        yield from _protection(cluster, deployment)
    yield from _unhandled_runs(cluster, now)
    yield from _storage(cluster)
    yield check_user_permissions(
        {right: cluster.is_allowed(*right[:4]) for right in REQUIRED_PERMISSIONS}, cluster.namespace
    )


def _crds(cluster: Cluster) -> Finding:
    found = {}
    for kind in KINDS:
        try:
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.resource}"
            found[kind.resource] = cluster.send("GET", path)
        except RefusalError as error:
            if error.status == FORBIDDEN:
                return _served_kinds(cluster)
            if error.status != NOT_FOUND:
                raise
    return check_crds(found)


def _served_kinds(cluster: Cluster) -> Finding:
    """Check the kinds that are served, which needs no permission, where CRDs cannot be read."""
    try:
        served = {each["name"] for each in cluster.send("GET", f"/apis/{API_VERSION}")["resources"]}
    except RefusalError:
        served = set()
    if all(kind.plural in served for kind in KINDS):
        return Finding(Level.UNKNOWN, "CRDs", "installed; no permission to read their version")
    return check_crds({kind.resource: {} for kind in KINDS if kind.plural in served})


def _operators(cluster: Cluster) -> list[Object] | None:
    """List the Deployments of operators; None if that is not allowed."""
    return _list_allowed(cluster, "/apis/apps/v1/deployments", {"labelSelector": OPERATOR_LABELS})


def _operator(cluster: Cluster, deployments: list[Object] | None, now: dt.datetime) -> Iterator[Finding]:
    unknown = Finding(Level.UNKNOWN, "operator", "no permission to list Deployments, Pods and Leases in all namespaces")
    if deployments is None:
        yield unknown
        return
    try:
        pods = _list(cluster, "/api/v1/pods", {"labelSelector": OPERATOR_LABELS})
        yield from check_operator(deployments, pods, cluster.namespace)
        names = {container_argument(each, "--lease-name") or LEASE_NAME for each in deployments} or {LEASE_NAME}
        path = "/apis/coordination.k8s.io/v1/leases"
        leases = [
            lease
            for name in sorted(names)
            for lease in _list(cluster, path, {"fieldSelector": f"metadata.name={name}"})
        ]
        yield check_leader(leases, now)
    except RefusalError as error:
        if error.status != FORBIDDEN:
            raise
        yield unknown


def _webhook(cluster: Cluster) -> Iterator[Finding]:
    try:
        cluster.send("POST", cluster.object_path("flows"), query={"dryRun": "All"}, body=PROBE)
    except RefusalError as error:
        if f'there is no task "{MISSING_TASK}"' in str(error):
            yield Finding(Level.GOOD, "webhook", "rejects invalid objects when they are applied")
        elif error.status == FORBIDDEN:
            yield Finding(Level.UNKNOWN, "webhook", "not checked: no permission to create Flows")
        elif error.status != NOT_FOUND:  # without CRDs there is nothing to check
            advice = "check the Pods of the operator and the Service of the webhook"
            yield Finding(Level.BAD, "webhook", f"objects cannot be applied: {error}", advice)
        return
    yield Finding(
        Level.WARNING,
        "webhook",
        "not installed or not responding: invalid objects are accepted, and the operator reports them later",
        "check kubectl get validatingwebhookconfigurations and the Pods of the operator, which serve the webhook",
    )


def _protection(cluster: Cluster, deployment: Object) -> Iterator[Finding]:
    """Check what protects the operator and the results of runs."""
    yield check_watched(deployment)
    try:
        query = {"labelSelector": POLICY_LABELS}
        policies = _list(cluster, f"{ADMISSION}/validatingadmissionpolicies", query)
        yield from check_policies(
            deployment, policies, _list(cluster, f"{ADMISSION}/validatingadmissionpolicybindings", query)
        )
    except RefusalError as error:
        if error.status == NOT_FOUND:
            yield from check_policies(deployment, None, [])
        elif error.status == FORBIDDEN:
            yield Finding(Level.UNKNOWN, "policy", "no permission to list ValidatingAdmissionPolicies")
        else:
            raise
    yield _rights(cluster, deployment)
    namespace = deployment["metadata"]["namespace"]
    networks = _list_allowed(cluster, f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", {})
    if networks is None:
        yield Finding(Level.UNKNOWN, "network", f"no permission to list NetworkPolicies in namespace {namespace}")
    else:
        yield check_network(deployment, networks)


def _rights(cluster: Cluster, deployment: Object) -> Finding:
    account = ServiceAccount.of(deployment)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated")

    def may(right: Right, namespace: str) -> bool:
        return cluster.is_user_allowed(account.user, groups, *right, namespace=namespace)

    try:
        missing = {
            namespace: [right for right in REQUIRED_RIGHTS if not may(right, namespace)]
            for namespace in watched_namespaces(deployment) or [""]
        }
        return check_rights(deployment, missing, [right for right in EXCESSIVE_RIGHTS if may(right, "")])
    except RefusalError as error:
        if error.status != FORBIDDEN:
            raise
        return check_rights(deployment, None, [])


def _unhandled_runs(cluster: Cluster, now: dt.datetime) -> Iterator[Finding]:
    try:
        yield from check_unhandled_runs(
            _list(cluster, cluster.object_path("flowruns"), {"fieldSelector": "status.state="}), now, cluster.namespace
        )
    except RefusalError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise


def _storage(cluster: Cluster) -> Iterator[Finding]:
    try:
        flows = _list(cluster, cluster.object_path("flows"), {})
    except RefusalError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        return
    if any("workspace" in flow["spec"] for flow in flows):
        classes = _list_allowed(cluster, "/apis/storage.k8s.io/v1/storageclasses", {})
        yield from check_storage(flows, classes, cluster.namespace)


def _list_allowed(cluster: Cluster, path: str, query: dict[str, str]) -> list[Object] | None:
    """List objects; None if that is not allowed."""
    try:
        return _list(cluster, path, query)
    except RefusalError as error:
        if error.status != FORBIDDEN:
            raise
        return None


def _list(cluster: Cluster, path: str, query: dict[str, str]) -> list[Object]:
    return [item for page in cluster.list_pages(path, query) for item in page["items"]]
