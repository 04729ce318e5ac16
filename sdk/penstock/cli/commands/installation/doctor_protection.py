"""The checks of `penstock doctor` about protection: what is not protected, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from penstock.cli.commands.installation.doctor_checks import Finding, Level, container_argument
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names

INSTANCE: Final = "app.kubernetes.io/instance"
POLICY_LABELS: Final = "app.kubernetes.io/part-of=penstock,app.kubernetes.io/component=policy"
PAGE: Final = "docs/security.md"


class Right(NamedTuple):
    """A permission of the operator's ServiceAccount."""

    verb: str
    group: str
    resource: str
    """With its subresource: `flows/status`."""

    def __str__(self) -> str:
        """Return it in the words of roles."""
        return f"{self.verb} {self.resource}"


def _rights(group: str, verbs: str, *resources: str) -> tuple[Right, ...]:
    return tuple(Right(verb, group, resource) for resource in resources for verb in verbs.split())


REQUIRED_RIGHTS: Final = (
    *_rights("penstock.dev", "get list watch", "flows", "schedules", "flowdefaults"),
    *_rights("penstock.dev", "get list watch create patch delete", "flowruns"),
    *_rights("penstock.dev", "list watch", "backfills"),
    *_rights("penstock.dev", "patch", "flows/status", "flowruns/status", "schedules/status", "backfills/status"),
    *_rights("penstock.dev", "patch", "flowdefaults/status"),
    *_rights("", "get list watch create patch delete", "pods"),
    *_rights("batch", "get list watch create delete", "jobs"),
    *_rights("", "get create", "persistentvolumeclaims"),
    *_rights("", "get list watch create patch delete", "configmaps"),
    *_rights("events.k8s.io", "list create", "events"),
    *_rights("authorization.k8s.io", "create", "localsubjectaccessreviews"),
)
"""What the chart gives the operator in each watched namespace."""
EXCESSIVE_RIGHTS: Final = (
    *_rights("", "list get", "secrets"),
    *_rights("", "create", "pods/exec", "serviceaccounts/token"),
    *_rights("", "delete", "namespaces"),
    *_rights("", "impersonate", "users"),
    *_rights("apps", "patch", "deployments", "daemonsets"),
    *_rights("rbac.authorization.k8s.io", "create", "clusterrolebindings"),
)
"""With one of these in all namespaces its token could be used for far more than running flows."""


class AdmissionPolicy(NamedTuple):
    """One of the chart's policies."""

    suffix: str
    """Of its name."""
    topic: str
    setting: str
    """Of the chart, which turns it on."""
    danger: str
    """What can be done without it."""
    answer: str
    """What holds with it."""


POLICIES: Final = (
    AdmissionPolicy(
        "-identity",
        "policy",
        "admissionPolicy.enabled",
        "whoever may create Pods or ConfigMaps in a namespace can forge results and code of its runs",
        "only the operator sets the labels and owners that identify Pods, Jobs, ConfigMaps and claims of runs",
    ),
    AdmissionPolicy(
        "-audit",
        "records",
        "admissionPolicy.enabled",
        "whoever may change runs can forge who did what, so approvals that name their approvers are never decided",
        "who created, suspended, ended and decided is recorded as the API server knows it, and cannot be forged",
    ),
    AdmissionPolicy(
        "-operator",
        "token limit",
        "admissionPolicy.operator.enabled",
        "with the operator's token, Pods can be created in every namespace where its role holds",
        "the operator's token is limited to objects of runs, outside of system namespaces",
    ),
)


class ServiceAccount(NamedTuple):
    """The ServiceAccount of an operator."""

    namespace: str
    name: str

    @classmethod
    def of(cls, deployment: Object) -> ServiceAccount:
        """Read that of a Deployment."""
        name = deployment["spec"]["template"]["spec"].get("serviceAccountName") or "default"
        return cls(deployment["metadata"]["namespace"], name)

    @property
    def user(self) -> str:
        """The name of the user that it is."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def watched_namespaces(deployment: Object) -> list[str]:
    """Return the namespaces that an operator watches; empty for all."""
    return [each for each in container_argument(deployment, "--namespace").split(",") if each]


def check_watched(deployment: Object) -> Finding:
    """Report how far an operator reaches."""
    namespaces = watched_namespaces(deployment)
    if namespaces:
        return Finding(Level.GOOD, "reach", f"the operator works in {_namespaces(namespaces)} only")
    text = "the operator works in all namespaces: whoever steals its token reaches every tenant"
    return Finding(Level.WARNING, "reach", text, "limit it with watchNamespaces, where that is possible")


def check_policies(
    deployment: Object, policies: Sequence[Object] | None, bindings: Sequence[Object]
) -> Iterator[Finding]:
    """Check whether the chart's admission policies are in force.

    Args:
        deployment: of the operator.
        policies: the ValidatingAdmissionPolicies of Penstock; None: the API server does not serve this kind.
        bindings: their bindings.
    """
    if policies is None:
        text = "not protected: the API server does not serve ValidatingAdmissionPolicy"
        yield Finding(Level.WARNING, "policy", text, "enable admissionregistration.k8s.io/v1 of the API server")
        return
    for policy in POLICIES:
        state = _policy_state(policy.suffix, deployment, policies, bindings)
        if state:
            remedy = f"install with {policy.setting}=true; see {PAGE}"
            yield Finding(Level.WARNING, policy.topic, f"{state}: {policy.danger}", remedy)
        else:
            yield Finding(Level.GOOD, policy.topic, policy.answer)


def check_rights(
    deployment: Object, missing: Mapping[str, Sequence[Right]] | None, excessive: Sequence[Right]
) -> Finding:
    """Judge the operator's own permissions.

    Args:
        deployment: of the operator.
        missing: the required ones that it lacks, by namespace (empty: all); None: this could not be asked.
        excessive: those that it has in all namespaces and must not have.
    """
    account = ServiceAccount.of(deployment)
    name = f"ServiceAccount {account.namespace}/{account.name}"
    if missing is None:
        text = f"{name} cannot be judged: no permission to create SubjectAccessReviews"
        return Finding(Level.UNKNOWN, "token", text)
    if excessive:
        rights = enumerate_names([str(right) for right in excessive])
        text = f"{name} may do more than the operator needs: {rights} in all namespaces"
        return Finding(Level.WARNING, "token", text, "remove the bindings that give it these permissions")
    lacking = [
        f"{enumerate_names([str(right) for right in rights])} in {f'namespace {where}' if where else 'all namespaces'}"
        for where, rights in missing.items()
        if rights
    ]
    if lacking:
        advice = "install with rbac.create=true, or give it the permissions of the chart's role"
        return Finding(Level.BAD, "token", f"{name} lacks {'; '.join(lacking)}", advice)
    where = _namespaces([each for each in missing if each]) or "all namespaces"
    return Finding(Level.GOOD, "token", f"{name} has the permissions that it needs in {where}, and no others")


def check_network(deployment: Object, policies: Sequence[Object]) -> Finding:
    """Check whether a NetworkPolicy selects the operator's Pods.

    Args:
        deployment: of the operator.
        policies: the NetworkPolicies of its namespace.
    """
    labels = deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
    for policy in policies:
        selector = policy["spec"].get("podSelector") or {}
        if not selector.get("matchExpressions") and (selector.get("matchLabels") or {}).items() <= labels.items():
            name = policy["metadata"]["name"]
            return Finding(Level.GOOD, "network", f"NetworkPolicy {name} restricts the traffic of the operator's Pods")
    text = "no NetworkPolicy: every Pod of the cluster reaches every port of the operator's Pods"
    return Finding(
        Level.WARNING, "network", text, "install with networkPolicy.enabled=true, if the network enforces it"
    )


def _policy_state(ending: str, deployment: Object, policies: Sequence[Object], bindings: Sequence[Object]) -> str:
    """Return why a policy is not in force; empty if it is."""
    user = ServiceAccount.of(deployment).user
    found = [
        policy["metadata"]["name"]
        for policy in policies
        if policy["metadata"]["name"].endswith(ending)
        and any(f"'{user}'" in each["expression"] for each in policy["spec"].get("matchConditions") or ())
    ]
    if not found:
        return "off"
    in_force = {
        binding["spec"].get("policyName")
        for binding in bindings
        if "Deny" in binding["spec"].get("validationActions", ()) and not binding["spec"].get("matchResources")
    }
    return "" if in_force.intersection(found) else "not bound"


def _namespaces(namespaces: Sequence[str]) -> str:
    if not namespaces:
        return ""
    return f"{'namespace' if len(namespaces) == 1 else 'namespaces'} {enumerate_names(list(namespaces))}"
