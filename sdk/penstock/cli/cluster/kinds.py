"""The kinds, and the words for them on the command line."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.engine.suggestion import suggest
from penstock.errors import CommandError


class Resource(NamedTuple):
    """One of Penstock's kinds."""

    kind: str
    plural: str
    words: tuple[str, ...]
    """Names for it on the command line; the first one is for messages."""


RESOURCES: Final = (
    Resource("FlowRun", "flowruns", ("runs", "run", "flowruns", "flowrun", "fr")),
    Resource("Flow", "flows", ("flows", "flow", "fl")),
    Resource("Schedule", "schedules", ("schedules", "schedule", "fs")),
    Resource("Backfill", "backfills", ("backfills", "backfill", "fb")),
    Resource("FlowDefaults", "flowdefaults", ("flowdefaults", "fd")),
)
"""The most used kind first."""
RUNS: Final = RESOURCES[0]
BACKFILLS: Final = RESOURCES[3]


def find_resource(word: str) -> Resource:
    """Return the kind that a word names.

    Raises:
        CommandError: the word is unknown.
    """
    for resource in RESOURCES:
        if word.lower() in resource.words:
            return resource
    known = [resource.words[0] for resource in RESOURCES]
    hint = suggest(word, [each for resource in RESOURCES for each in resource.words])
    raise CommandError(f"unknown kind '{word}'{hint}; use {', '.join(known[:-1])} or {known[-1]}")
