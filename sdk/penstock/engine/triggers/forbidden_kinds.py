"""Kinds whose objects no Schedule may watch, whatever the installation allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from penstock.api.event import ResourceEvent
from penstock.errors import Problem

FORBIDDEN_KINDS: Final = frozenset({"Secret"})
"""Permission to write Schedules must not reveal Secrets."""
FORBIDDEN_GROUPS: Final = frozenset({"penstock.dev"})
"""A Schedule that watches what it changes itself would never stop. For the ends of runs there is flowRun."""


def check_kind(resource: ResourceEvent, path: str) -> Iterator[Problem]:
    """Yield the problems of a kind that must not be watched.

    Args:
        resource: what a Schedule asks to watch.
        path: its field path.
    """
    if resource.kind in FORBIDDEN_KINDS:
        message = f"{resource.kind}s cannot be watched: that would expose them to everyone who can create Schedules"
        yield Problem(f"{path}.kind", message)
    if resource.api_version.partition("/")[0] in FORBIDDEN_GROUPS:
        message = (
            "Penstock's own objects cannot be watched, because runs could then create runs without end: use flowRun"
        )
        yield Problem(f"{path}.apiVersion", message)
