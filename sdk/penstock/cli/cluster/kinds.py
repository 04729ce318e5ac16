"""What can be listed: names of kinds, as people type them."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.engine.suggestion import suggest
from penstock.errors import CommandError


class Resource(NamedTuple):
    """A kind of ours, as it is typed and as it is asked for."""

    kind: str
    plural: str
    words: tuple[str, ...]
    """What people type for it."""


RESOURCES: Final = (
    Resource("FlowRun", "flowruns", ("runs", "run", "flowruns", "flowrun", "fr")),
    Resource("Flow", "flows", ("flows", "flow", "fl")),
    Resource("Schedule", "schedules", ("schedules", "schedule", "fs")),
    Resource("Backfill", "backfills", ("backfills", "backfill", "fb")),
)
"""The most asked for first."""
RUNS: Final = RESOURCES[0]
BACKFILLS: Final = RESOURCES[-1]


def find_resource(word: str) -> Resource:
    """Return what a word means.

    Raises:
        CommandError: it means nothing; says what does.
    """
    for resource in RESOURCES:
        if word.lower() in resource.words:
            return resource
    known = [resource.words[0] for resource in RESOURCES]
    hint = suggest(word, [each for resource in RESOURCES for each in resource.words])
    raise CommandError(f"there are no {word}{hint}: write one of {', '.join(known)}")
