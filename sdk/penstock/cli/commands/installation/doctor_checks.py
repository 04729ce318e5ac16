"""The checks of `penstock doctor`: objects of the cluster in, findings out. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import penstock
from penstock.api.crd import custom_resource_definition
from penstock.api.kind import KINDS, Kind
from penstock.api.names import LABEL_RESTORED, VERSION
from penstock.drawing.task_rows import Object, format_duration, read_time
from penstock.engine.suggestion import enumerate_names

MIN_VERSION: Final = (1, 31)
"""Minimum version of Kubernetes: the first with `selectableFields` of custom resources enabled by default."""
UNHANDLED_AFTER_S: Final = 60
"""An operator sets the status of a new run within a second; after this time none is responsible for it."""
LEASE_NAME: Final = "penstock-operator"
INSTALL: Final = "penstock install"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
"""Annotation of the StorageClass that a PersistentVolumeClaim without one gets."""


class Level(Enum):
    """Severity of a finding."""

    GOOD = "good"
    UNKNOWN = "unknown"
    """It could not be checked."""
    WARNING = "warning"
    """Some feature does not work."""
    BAD = "bad"


class Finding(NamedTuple):
    """Result of a check."""

    level: Level
    subject: str
    text: str
    advice: str = ""
    """What to do about it."""


class Permission(NamedTuple):
    """A permission of the user."""

    verb: str
    group: str
    resource: str
    subresource: str
    commands: str
    """The commands that require it."""

    def __str__(self) -> str:
        """Return it in the format of `kubectl auth can-i`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f"/{self.subresource}" if self.subresource else "")


REQUIRED_PERMISSIONS: Final = (
    *(
        Permission(verb, "penstock.dev", "flowruns", "", "get, describe, watch, logs")
        for verb in ("get", "list", "watch")
    ),
    Permission("create", "penstock.dev", "flowruns", "", "run, retry"),
    Permission("patch", "penstock.dev", "flowruns", "", "suspend, resume, cancel, approve, reject"),
    *(Permission(verb, "penstock.dev", "flows", "", "run, graph") for verb in ("get", "list")),
    *(Permission(verb, "", "pods", "", "logs") for verb in ("list", "watch")),
    Permission("get", "", "pods", "log", "logs"),
    Permission("list", "events.k8s.io", "events", "", "describe"),
)
"""All permissions that the commands require."""


def check_version(info: Mapping[str, Any], host: str) -> Finding:
    """Judge the API server by what it says of its version."""
    text = f"Kubernetes {info.get('gitVersion')} at {host}"
    numbers = tuple(int("".join(filter(str.isdigit, info.get(part, ""))) or 0) for part in ("major", "minor"))
    if numbers < MIN_VERSION:
        least = ".".join(map(str, MIN_VERSION))
        return Finding(Level.BAD, "cluster", text, f"Penstock needs Kubernetes {least} or later: upgrade the cluster")
    return Finding(Level.GOOD, "cluster", text)


def check_crds(found: Mapping[str, Object]) -> Finding:
    """Check the CustomResourceDefinitions.

    Args:
        found: the existing ones by name.
    """
    missing = [kind.resource for kind in KINDS if kind.resource not in found]
    if missing:
        what = "not installed" if len(missing) == len(KINDS) else f"missing: {enumerate_names(missing)}"
        return Finding(Level.BAD, "CRDs", what, f"run {INSTALL}")
    unlike = [each for kind in KINDS if (each := _compare(kind, found[kind.resource]))]
    if unlike:
        return Finding(
            Level.BAD,
            "CRDs",
            f"differ from those of penstock {penstock.__version__}: {'; '.join(unlike)}",
            f"use the same version on both sides: run {INSTALL}, or install the penstock version of the cluster",
        )
    return Finding(Level.GOOD, "CRDs", f"{len(KINDS)} installed, version {penstock.__version__}")


def check_operator(deployments: Sequence[Object], pods: Sequence[Object], namespace: str) -> Iterator[Finding]:
    """Check the Deployments of the operator.

    Args:
        deployments: the Deployments with its labels.
        pods: the Pods of the operator.
        namespace: the namespace that the user works in.
    """
    for deployment in deployments:
        metadata, replicas = deployment["metadata"], deployment["status"].get("readyReplicas", 0)
        name = f"{metadata['namespace']}/{metadata['name']}"
        watched = container_argument(deployment, "--namespace")
        version = metadata.get("labels", {}).get("app.kubernetes.io/version", "")
        text = f"{name} {version}, {replicas} of {deployment['spec'].get('replicas', 1)} replicas ready"
        if not replicas:
            why = enumerate_names(_container_reasons(pods, metadata["namespace"]) or ["unknown"])
            logs = f"kubectl logs -n {metadata['namespace']} deployment/{metadata['name']}"
            yield Finding(Level.BAD, "operator", f"{text}; state of its containers: {why}", f"see {logs}")
        elif watched and namespace not in watched.split(","):
            first, *more = watched.split(",")
            yield Finding(
                Level.WARNING,
                "operator",
                f"{text}, handles only {'namespaces' if more else 'namespace'} {enumerate_names([first, *more])}",
                f"runs in namespace {namespace} are not handled: use -n {first}, or add it to watchNamespaces",
            )
        elif version and version != penstock.__version__:
            advice = f"this is penstock {penstock.__version__}: use the same version on both sides"
            yield Finding(Level.WARNING, "operator", text, advice)
        else:
            yield Finding(Level.GOOD, "operator", text)


def check_leader(leases: Sequence[Object], now: dt.datetime) -> Finding:
    """Check that an operator is the leader.

    Args:
        leases: the Leases with the name that operators use.
        now: the current time.
    """
    best: Finding | None = None
    for lease in leases:
        spec, where = lease["spec"], f"Lease {lease['metadata']['namespace']}/{lease['metadata']['name']}"
        renewed, holder = read_time(spec.get("renewTime")), spec.get("holderIdentity")
        age_s = (now - renewed).total_seconds() if renewed else float("inf")
        if holder and age_s <= spec.get("leaseDurationSeconds", 0):
            return Finding(Level.GOOD, "leader", f"{holder}, {where} renewed {format_duration(age_s)} ago")
        state = "expired" if holder else "has no holder"
        why = f"{state} (last renewed {format_duration(age_s)} ago)" if renewed else "was never renewed"
        best = Finding(Level.BAD, "leader", f"no leader: {where} {why}", "start the operator, or check its log")
    return best or Finding(Level.BAD, "leader", "no leader: no operator has run in this cluster", f"run {INSTALL}")


def check_unhandled_runs(runs: Sequence[Object], now: dt.datetime, namespace: str) -> Iterator[Finding]:
    """Check the runs without a status.

    Args:
        runs: those runs.
        now: the current time.
        namespace: their namespace.
    """
    restored = [run["metadata"]["name"] for run in runs if LABEL_RESTORED in (run["metadata"].get("labels") or {})]
    if restored:
        yield Finding(
            Level.BAD,
            "runs",
            f"restored without their status: {enumerate_names(restored)} in namespace {namespace}; they never start",
            "repeat penstock restore with the same backup",
        )
    old = [
        name
        for run in runs
        if (name := run["metadata"]["name"]) not in restored
        and (created := read_time(run["metadata"]["creationTimestamp"]))
        and (now - created).total_seconds() > UNHANDLED_AFTER_S
    ]
    if old:
        yield Finding(
            Level.BAD,
            "runs",
            f"not handled by any operator: {enumerate_names(old)} in namespace {namespace}",
            "check watchNamespaces of the operator, and its log",
        )


def check_storage(flows: Sequence[Object], classes: Sequence[Object] | None, namespace: str) -> Iterator[Finding]:
    """Check that the workspaces of Flows can get volumes; nothing is found if no Flow has a workspace.

    Args:
        flows: the Flows of a namespace.
        classes: all StorageClasses; None if the user may not list them.
        namespace: the namespace.
    """
    wanted = {
        flow["metadata"]["name"]: workspace.get("storageClassName")
        for flow in flows
        if (workspace := flow["spec"].get("workspace")) is not None
    }
    if not wanted:
        return
    if classes is None:
        yield Finding(Level.UNKNOWN, "storage", "no permission to list StorageClasses, which workspaces need")
        return
    annotations = {each["metadata"]["name"]: each["metadata"].get("annotations") or {} for each in classes}
    defaults = sorted(name for name, notes in annotations.items() if notes.get(DEFAULT_CLASS) == "true")
    without = sorted(name for name, storage_class in wanted.items() if storage_class is None)
    if without and not defaults:
        yield Finding(
            Level.WARNING,
            "storage",
            f"no default StorageClass: runs of {_name_flows(without, namespace)} wait for a volume (WorkspaceUnbound)",
            "set workspace.storageClassName in these Flows, or annotate the StorageClass that is to be the default: "
            f"{DEFAULT_CLASS}=true",
        )
    # An empty name selects volumes without a class, which administrators create.
    missing = {name: each for name, each in wanted.items() if each and each not in annotations}
    for each in sorted(set(missing.values())):
        users = sorted(name for name, storage_class in missing.items() if storage_class == each)
        yield Finding(
            Level.WARNING,
            "storage",
            f"StorageClass {each} of {_name_flows(users, namespace)} does not exist",
            f"create it, correct workspace.storageClassName, or create PersistentVolumes with storageClassName {each}",
        )
    if not missing and (defaults or not without):
        used = sorted({*filter(None, wanted.values()), *(defaults if without else ())})
        text = enumerate_names(used) if used else "volumes without a StorageClass"
        yield Finding(Level.GOOD, "storage", f"workspaces use {text}")


def check_user_permissions(allowed: Mapping[Permission, bool], namespace: str) -> Finding:
    """Check the permissions of the user who runs the command.

    Args:
        allowed: whether each permission is granted.
        namespace: where.
    """
    missing = [right for right, is_allowed in allowed.items() if not is_allowed]
    if not missing:
        return Finding(Level.GOOD, "permissions", f"all commands allowed in namespace {namespace}")
    what = "; ".join(f"{right} (required by {right.commands})" for right in missing)
    advice = "ask for a RoleBinding to the ClusterRole edit; the chart adds Penstock's kinds to it"
    return Finding(Level.WARNING, "permissions", f"missing in namespace {namespace}: {what}", advice)


def container_argument(deployment: Object, flag: str) -> str:
    """Return the value of a command-line flag of a Deployment's containers; empty if not set."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    for text in (each for container in containers for each in container.get("args") or ()):
        name, _, value = text.partition("=")
        if name == flag:
            return str(value)
    return ""


def _name_flows(names: Sequence[str], namespace: str) -> str:
    return f"{'Flows' if len(names) > 1 else 'Flow'} {enumerate_names(names)} in namespace {namespace}"


def _compare(kind: Kind, found: Object) -> str:
    """Describe how a CRD differs from that of this version; empty if it does not."""
    wanted = custom_resource_definition(kind)["spec"]["versions"][0]
    served = next((each for each in found["spec"]["versions"] if each["name"] == VERSION), None)
    if served is None:
        return f"{kind.name} has no version {VERSION}"
    wanted_fields, served_fields = set(_fields(wanted["schema"])), set(_fields(served["schema"]))
    if lacking := sorted(wanted_fields - served_fields):
        return f"{kind.name} has no {enumerate_names(lacking)}"
    if more := sorted(served_fields - wanted_fields):
        return f"{kind.name} has additional fields {enumerate_names(more)}"
    return (
        ""
        if all(served.get(key) == value for key, value in wanted.items())
        else f"{kind.name} has different validation rules"
    )


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """List the top-level fields of spec and status."""
    for part in ("spec", "status"):
        properties = schema["openAPIV3Schema"]["properties"].get(part, {}).get("properties", {})
        yield from (f"{part}.{name}" for name in properties)


def _container_reasons(pods: Sequence[Object], namespace: str) -> list[str]:
    troubles: dict[str, None] = {}
    for pod in pods:
        if pod["metadata"]["namespace"] == namespace:
            for container in pod.get("status", {}).get("containerStatuses") or ():
                for state in (container.get("state") or {}).values():
                    if reason := state.get("reason"):
                        troubles[reason] = None
    return list(troubles)
