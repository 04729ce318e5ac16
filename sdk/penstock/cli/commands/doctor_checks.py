"""Whether Penstock can work in a cluster, judged by what is there. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import penstock
from penstock.api.crd import custom_resource_definition
from penstock.api.kind import KINDS, Kind
from penstock.api.names import VERSION
from penstock.drawing.task_rows import Object, format_duration, read_time
from penstock.engine.suggestion import enumerate_names

MIN_VERSION: Final = (1, 31)
"""Of Kubernetes: the first with `selectableFields` of custom resources on by default."""
UNHANDLED_AFTER_S: Final = 60
"""An operator sees a new run within a second; after this time there is none for it."""
LEASE_NAME: Final = "penstock-operator"
INSTALL: Final = "penstock install"
UPGRADE: Final = "penstock install"


class Level(Enum):
    """How bad it is."""

    GOOD = "good"
    UNKNOWN = "unknown"
    """It could not be found out."""
    WARNING = "warning"
    """Something does not work that others can do without."""
    BAD = "bad"


class Finding(NamedTuple):
    """Something that was looked at."""

    level: Level
    subject: str
    text: str
    advice: str = ""
    """What to do about it."""


class Permission(NamedTuple):
    """Something that a person may do or not."""

    verb: str
    group: str
    resource: str
    subresource: str
    commands: str
    """The commands that need it."""

    def __str__(self) -> str:
        """Return it as `kubectl auth can-i` has it."""
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
"""What the commands need."""


def check_version(info: Mapping[str, Any], host: str) -> Finding:
    """Judge the API server by what it says of its version."""
    text = f"Kubernetes {info.get('gitVersion')} at {host}"
    numbers = tuple(int("".join(filter(str.isdigit, info.get(part, ""))) or 0) for part in ("major", "minor"))
    if numbers < MIN_VERSION:
        least = ".".join(map(str, MIN_VERSION))
        return Finding(Level.BAD, "cluster", text, f"Penstock needs Kubernetes {least} or later: upgrade the cluster")
    return Finding(Level.GOOD, "cluster", text)


def check_crds(found: Mapping[str, Object]) -> Finding:
    """Judge the CustomResourceDefinitions.

    Args:
        found: those that exist, by their names.
    """
    missing = [kind.resource for kind in KINDS if kind.resource not in found]
    if missing:
        what = "are not installed" if len(missing) == len(KINDS) else f"lack {enumerate_names(missing)}"
        return Finding(Level.BAD, "definitions", what, f"{INSTALL if len(missing) == len(KINDS) else UPGRADE}")
    unlike = [each for kind in KINDS if (each := _compare(kind, found[kind.resource]))]
    if unlike:
        return Finding(
            Level.BAD,
            "definitions",
            f"are not those of penstock {penstock.__version__}: {'; '.join(unlike)}",
            f"bring both to the same version: {UPGRADE}, or install the penstock that the cluster has",
        )
    return Finding(Level.GOOD, "definitions", f"{len(KINDS)} kinds, as of penstock {penstock.__version__}")


def check_operator(deployments: Sequence[Object], pods: Sequence[Object], namespace: str) -> Iterator[Finding]:
    """Judge the operator's Deployments.

    Args:
        deployments: those with its labels.
        pods: the operator's Pods.
        namespace: in which runs are wanted.
    """
    for deployment in deployments:
        metadata, replicas = deployment["metadata"], deployment["status"].get("readyReplicas", 0)
        name = f"{metadata['namespace']}/{metadata['name']}"
        watched = container_argument(deployment, "--namespace")
        version = metadata.get("labels", {}).get("app.kubernetes.io/version", "")
        text = f"{name} {version}, {replicas} of {deployment['spec'].get('replicas', 1)} replicas ready"
        if not replicas:
            why = enumerate_names(_container_reasons(pods, metadata["namespace"]))
            logs = f"kubectl logs -n {metadata['namespace']} deployment/{metadata['name']}"
            yield Finding(Level.BAD, "operator", f"{text}; {why} is wrong with its Pods", f"see {logs}")
        elif watched and watched != namespace:
            yield Finding(
                Level.WARNING,
                "operator",
                f"{text}, works in namespace {watched} alone",
                f"runs in {namespace} are not carried out by it: use -n {watched}, or install one for all namespaces",
            )
        elif version and version != penstock.__version__:
            advice = f"this is penstock {penstock.__version__}: bring both to the same version"
            yield Finding(Level.WARNING, "operator", text, advice)
        else:
            yield Finding(Level.GOOD, "operator", text)


def check_leader(leases: Sequence[Object], now: dt.datetime) -> Finding:
    """Judge whether an operator leads.

    Args:
        leases: of the name that operators use.
        now: the time.
    """
    best: Finding | None = None
    for lease in leases:
        spec, where = lease["spec"], f"Lease {lease['metadata']['namespace']}/{lease['metadata']['name']}"
        renewed, holder = read_time(spec.get("renewTime")), spec.get("holderIdentity")
        age_s = (now - renewed).total_seconds() if renewed else float("inf")
        if holder and age_s <= spec.get("leaseDurationSeconds", 0):
            return Finding(Level.GOOD, "leader", f"{holder}, {where} renewed {format_duration(age_s)} ago")
        ago = f"renewed {format_duration(age_s)} ago" if renewed else "never renewed"
        best = Finding(Level.BAD, "leader", f"none: {where} was {ago}", "start the operator, or look at its log")
    return best or Finding(Level.BAD, "leader", "no operator has ever led here", f"install one: {INSTALL}")


def check_unhandled_runs(runs: Sequence[Object], now: dt.datetime, namespace: str) -> Iterator[Finding]:
    """Judge the runs without a status.

    Args:
        runs: those runs.
        now: the time.
        namespace: where they are.
    """
    old = [
        run["metadata"]["name"]
        for run in runs
        if (created := read_time(run["metadata"]["creationTimestamp"]))
        and (now - created).total_seconds() > UNHANDLED_AFTER_S
    ]
    if old:
        yield Finding(
            Level.BAD,
            "runs",
            f"no operator has seen {enumerate_names(old)} in namespace {namespace}",
            "is the operator's watchNamespace another one? Else see its log",
        )


def check_permissions(allowed: Mapping[Permission, bool], namespace: str) -> Finding:
    """Judge what the person may do.

    Args:
        allowed: whether each right is given.
        namespace: where.
    """
    missing = [right for right, is_allowed in allowed.items() if not is_allowed]
    if not missing:
        return Finding(Level.GOOD, "rights", f"all that the commands need in namespace {namespace}")
    what = "; ".join(f"{right} (for {right.commands})" for right in missing)
    advice = "ask for a RoleBinding to the ClusterRole edit, which the chart extends to Penstock's kinds"
    return Finding(Level.WARNING, "rights", f"in namespace {namespace} you may not {what}", advice)


def container_argument(deployment: Object, flag: str) -> str:
    """Return the value of an argument of a Deployment's containers; empty without one."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    for text in (each for container in containers for each in container.get("args") or ()):
        name, _, value = text.partition("=")
        if name == flag:
            return str(value)
    return ""


def _compare(kind: Kind, found: Object) -> str:
    """Say how a definition differs from that of this version; empty if it does not."""
    wanted = custom_resource_definition(kind)["spec"]["versions"][0]
    served = next((each for each in found["spec"]["versions"] if each["name"] == VERSION), None)
    if served is None:
        return f"{kind.name} has no version {VERSION}"
    wanted_fields, served_fields = set(_fields(wanted["schema"])), set(_fields(served["schema"]))
    if lacking := sorted(wanted_fields - served_fields):
        return f"{kind.name} lacks {enumerate_names(lacking)}"
    if more := sorted(served_fields - wanted_fields):
        return f"{kind.name} has {enumerate_names(more)} besides"
    return "" if all(served.get(key) == value for key, value in wanted.items()) else f"{kind.name} has other rules"


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """List the fields of a schema, those below a field that is listed left out."""
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
