"""The kinds of objects that triggers may watch, as the installation allows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from penstock.api.event import ResourceEvent
from penstock.api.schedule import ScheduleSpec
from penstock.engine.suggestion import enumerate_names
from penstock.engine.triggers.forbidden_kinds import FORBIDDEN_GROUPS, FORBIDDEN_KINDS
from penstock.errors import Problem
from penstock.kube.resources import Resource

_ENTRY: Final = re.compile(r"(?:([a-z0-9.-]+)/)?(v[a-z0-9]+)/([A-Z][A-Za-z0-9]*)=([a-z0-9]+)")
FORBIDDEN_RESOURCES: Final = frozenset({"secrets"})


class AllowedKind(NamedTuple):
    """A kind, as a Schedule names it."""

    api_version: str
    kind: str

    def __str__(self) -> str:
        """Return it as options write it."""
        return f"{self.api_version}/{self.kind}"


EventKinds = Mapping[AllowedKind, Resource]
"""Where the objects of each allowed kind are."""


def read_allowed_kinds(text: str) -> EventKinds:
    """Read the option: `v1/ConfigMap=configmaps,batch/v1/Job=jobs`.

    Raises:
        ValueError: it is malformed, or names a kind that is never allowed.
    """
    kinds: dict[AllowedKind, Resource] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise ValueError(f"{entry!r} must have the form v1/ConfigMap=configmaps or batch/v1/Job=jobs")
        group, version, kind, plural = found[1] or "", found[2], found[3], found[4]
        if kind in FORBIDDEN_KINDS or (not group and plural in FORBIDDEN_RESOURCES):
            raise ValueError(
                f"{entry!r}: Secrets cannot be allowed: that would expose them to everyone who can create Schedules"
            )
        if group in FORBIDDEN_GROUPS:
            raise ValueError(
                f"{entry!r}: Penstock's own kinds cannot be allowed, because runs could then create runs without end: "
                "use flowRun"
            )
        kinds[AllowedKind(f"{group}/{version}" if group else version, kind)] = Resource(group, version, plural)
    return kinds


def check_allowed_kinds(spec: ScheduleSpec, kinds: EventKinds, *, path: str = "spec") -> list[Problem]:
    """Find the triggers of a Schedule whose kind this installation does not allow."""
    problems = []
    for index, trigger in enumerate(spec.events or ()):
        resource = trigger.resource
        if resource is not None and AllowedKind(resource.api_version, resource.kind) not in kinds:
            problems.append(Problem(f"{path}.events[{index}].resource.kind", describe_not_allowed(resource, kinds)))
    return problems


def describe_not_allowed(resource: ResourceEvent, kinds: EventKinds) -> str:
    """Return the message that a kind is not allowed, and which are."""
    kind = AllowedKind(resource.api_version, resource.kind)
    allowed = enumerate_names([str(one) for one in kinds]) if kinds else "none"
    return f"events cannot watch {kind}; kinds allowed in this installation: {allowed}"
