"""What a retry runs again although it completed: by a task and its items, by changed params, or everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from penstock.api.flow_run import RunReference
from penstock.engine.intervals import decode_intervals
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import Problem

PATH: Final = "spec.retryOf"
MAX_SHOWN_NAMES: Final = 10


class RestartedTask(NamedTuple):
    """A task that runs again, with all that follow from it."""

    items: frozenset[int] = frozenset()
    """Of a fan-out: the completed items that run again."""
    is_whole: bool = False
    """Of a fan-out: whether all items run again."""


@dataclass(frozen=True, slots=True)
class Restart:
    """What runs again although it completed. Made by `read_restart`."""

    is_everything: bool = False
    tasks: Mapping[str, RestartedTask] = field(default_factory=dict)
    params: frozenset[str] = frozenset()
    """Names of the params that have changed: every task that refers to one runs again."""
    is_latest: bool = False
    """Whether the current Flow is run, in place of that of the earlier run."""

    @property
    def keeps_approvals(self) -> bool:
        """Whether what was approved is what runs: a person who has approved one thing has not approved another."""
        return not (self.is_everything or self.tasks or self.params or self.is_latest)


KEEP_COMPLETED: Final = Restart()
"""Nothing that completed runs again, but for what follows from a task that did not."""


def read_restart(references: Iterable[RunReference], changed: Iterable[str] = ()) -> Restart:
    """Read what runs again.

    Args:
        references: the `retryOf` of the run, and those of retries that it retries itself and that never started.
        changed: names of the params that have changed.
    """
    tasks: dict[str, RestartedTask] = {}
    is_everything = is_latest = False
    for reference in references:
        is_latest |= reference.revision == "Latest"
        is_whole = bool(reference.restart_completed)
        if reference.from_ is None:
            is_everything |= is_whole
            continue
        before = tasks.get(reference.from_, RestartedTask())
        tasks[reference.from_] = RestartedTask(
            before.items | frozenset(decode_intervals(reference.items or "")), before.is_whole or is_whole
        )
    return Restart(is_everything, tasks, frozenset(changed), is_latest)


def changed_params(before: Mapping[str, Any], after: Mapping[str, Any], given: Iterable[str]) -> frozenset[str]:
    """Return which of the given params have another value than before.

    Args:
        before: the values of the run that is retried.
        after: those of the retry, resolved as those were.
        given: names of the params that the retry gives.
    """
    return frozenset(
        name for name in given if (name in before) != (name in after) or not _is_same(before.get(name), after.get(name))
    )


def check_reference(reference: RunReference, *, path: str = PATH) -> Iterator[Problem]:
    """Find what is wrong with a `retryOf`, as far as it can be seen without the run that it names."""
    if reference.items is None:
        return
    if reference.from_ is None:
        yield Problem(f"{path}.items", "requires from: the fan-out whose items run again")
    if reference.restart_completed:
        yield Problem(f"{path}.items", "all items run again with restartCompleted: set only one of the two")
    highest = -1
    for part in reference.items.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first) or int(first) <= highest:
            yield Problem(f"{path}.items", f"must be ascending, as in 3,7-9: {part} is not")
            return
        highest = int(last or first)


def check_against_run(
    reference: RunReference, entries: Sequence[Mapping[str, Any]], *, path: str = PATH
) -> Iterator[Problem]:
    """Find what is wrong with a `retryOf` of a run.

    Args:
        reference: the `retryOf`, whose own fields are valid.
        entries: `status.tasks` of the run that it names; none if that never started.
        path: its field path.
    """
    if reference.from_ is None or not entries:
        return
    name, where = reference.from_, f"{path}.from"
    names = [entry["name"] for entry in entries if not entry.get("finally")]
    entry = next((entry for entry in entries if entry["name"] == name), None)
    if entry is None:
        hint = suggest(name, names) or f": it has {enumerate_names(names[:MAX_SHOWN_NAMES])}"
        yield Problem(where, f"run {reference.name} has no task {name}{hint}")
        return
    if entry.get("finally"):
        yield Problem(where, f"{name} is a finally task, which runs again in every retry: name another task")
        return
    if reference.items is None:
        return
    if "items" not in entry:
        yield Problem(f"{path}.items", f"task {name} has no items in run {reference.name}: remove items")
        return
    total = entry["items"]["total"]
    highest = max(decode_intervals(reference.items))
    if highest >= total:
        known = f"0 to {total - 1}" if total else "none"
        yield Problem(f"{path}.items", f"task {name} has no item {highest}: its items are {known}")


def check_references(references: Iterable[RunReference], entries: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find what is wrong with the `retryOf` of a run, and with those of retries before it that never started.

    Args:
        references: all of them; one that was refused may be why its run never started.
        entries: `status.tasks` of the run that they retry.
    """
    for reference in references:
        yield from list(check_reference(reference)) or check_against_run(reference, entries)


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_is_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)
