"""Who did what to our objects, and when: records in annotations, which admission writes and everything else reads.

Each deed has two annotations, as `audit.penstock.dev/cancelled-by` and `cancelled-at`. A change of a spec also has the
generation that it made, so that it is seen if later ones were not recorded. The decisions about a run's
approvals share one, with a line for each: task, decision, time, `user:NAME` and `group:NAME`, separated by tabs. The
records are worth as much as what guards them: the chart's admission policy refuses those of others
(`helm/penstock/templates/policy_audit.yaml`, which repeats the rules of this module).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.api import names

SHUTDOWN_DEEDS: Final = {"Drain": "drained", "Cancel": "cancelled", "Terminate": "terminated"}
"""By `spec.shutdown`, which only gets stronger: each happens at most once."""
USER: Final = "user:"
GROUP: Final = "group:"
DECISIONS_BYTES: Final = 128 * 1024
"""Of all decisions; beyond it, groups that no approval names are left out. An object's annotations have 256 KiB."""
_PREFIX: Final = f"{names.AUDIT_GROUP}/"


class Record(NamedTuple):
    """Who did something."""

    user: str
    """Name of the user, as the API server has it."""
    time: str = ""
    """When, RFC 3339; empty if that is not recorded."""

    def __str__(self) -> str:
        """Return it in the words of messages."""
        return f"by {self.user} at {self.time}" if self.time else f"by {self.user}"


class DecisionRecord(NamedTuple):
    """Who decided about an approval."""

    decision: str
    """Approve or Reject."""
    by: Record
    groups: frozenset[str] = frozenset()
    """Those of the user's groups that may decide; of a run that had not begun, all."""


# Reading


def read_record(annotations: Mapping[str, str], deed: str) -> Record | None:
    """Return who did something last; None if that is not recorded.

    Args:
        annotations: of the object.
        deed: `created`, `changed`, `suspended`, `resumed`, `drained`, `cancelled` or `terminated`.
    """
    user = annotations.get(f"{_PREFIX}{deed}-by")
    return Record(user, annotations.get(f"{_PREFIX}{deed}-at", "")) if user else None


def read_decisions(annotations: Mapping[str, str]) -> dict[str, DecisionRecord]:
    """Return the recorded decisions about the approvals of a run, by task."""
    found: dict[str, DecisionRecord] = {}
    for line in annotations.get(names.ANNOTATION_DECISIONS, "").split("\n"):
        task, decision, time, user, *groups = [*line.split("\t"), "", "", ""]
        if user.startswith(USER):
            of_user = frozenset(each.removeprefix(GROUP) for each in groups if each.startswith(GROUP))
            found[task] = DecisionRecord(decision, Record(user.removeprefix(USER), time), of_user)
    return found


def cause_of(annotations: Mapping[str, str], generation: int) -> str | None:
    """Return who is behind the runs that the operator creates for an object: who last changed it.

    Args:
        annotations: of the object.
        generation: its `metadata.generation`: it shows changes that were not recorded, and then no user is named.
    """
    if annotations.get(names.ANNOTATION_CHANGED_GENERATION) != str(generation):
        return None
    record = read_record(annotations, "changed")
    return None if record is None else record.user


# Writing


def deeds(kind: str, spec: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[str]:
    """Return what a request does that is recorded, apart from decisions.

    Args:
        kind: of the object.
        spec: its spec.
        before: its spec before the request; None: it is created.
    """
    earlier = before or {}
    if before is None:
        yield "created"
    if kind != "FlowRun" and spec != before:
        yield "changed"
    is_suspended, was_suspended = bool(spec.get("suspend")), bool(earlier.get("suspend"))
    if is_suspended is not was_suspended:
        yield "suspended" if is_suspended else "resumed"
    shutdown = spec.get("shutdown") if kind == "FlowRun" else None
    if shutdown != earlier.get("shutdown") and shutdown in SHUTDOWN_DEEDS:
        yield SHUTDOWN_DEEDS[shutdown]


def new_decisions(spec: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the entries that a request adds to `spec.approvals`; their tasks are not decided yet."""
    decided = {each["task"] for each in _decisions(before or {})}
    return [each for each in _decisions(spec) if each["task"] not in decided]


def _decisions(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the complete entries of `spec.approvals`: the API server refuses others, after admission has seen them."""
    for each in spec.get("approvals") or ():
        if isinstance(each, Mapping) and isinstance(each.get("task"), str) and isinstance(each.get("decision"), str):
            yield each


def is_recordable(user: str) -> bool:
    """Whether a name can stand in a line of the decisions."""
    return bool(user) and user.isprintable()


def decision_line(
    decision: Mapping[str, Any],
    record: Record,
    groups: Iterable[str],
    *,
    others: Iterable[str] = (),
    bytes_left: int = 0,
) -> str:
    """Return the line that records a decision.

    Args:
        decision: an entry of `spec.approvals`.
        record: who and when.
        groups: those of the user's groups that may decide.
        others: further groups of the user, which may be able to by the revision that the run gets.
        bytes_left: bytes that these may take; those that do not fit are left out.
    """
    named = {each for each in groups if is_recordable(each)}
    for each in sorted(set(others) - named):
        size = len(f"\t{GROUP}{each}".encode())
        if is_recordable(each) and size <= bytes_left:
            bytes_left -= size
            named.add(each)
    shown = (f"{GROUP}{each}" for each in sorted(named))
    return "\t".join([decision["task"], decision["decision"], record.time, f"{USER}{record.user}", *shown])


def bytes_for_groups(before: Mapping[str, str], decisions: int) -> int:
    """Return how many bytes the groups of one decision may take, so that all annotations stay below their limit.

    No more than an eighth, however few there are: later ones need some too.

    Args:
        before: the annotations of the run before the request.
        decisions: how many the request adds.
    """
    taken = len(before.get(names.ANNOTATION_DECISIONS, "").encode())
    return min(DECISIONS_BYTES // 8, max(0, DECISIONS_BYTES - taken) // max(1, decisions))


def write_records(
    before: Mapping[str, str],
    done: Iterable[str],
    record: Record,
    lines: Sequence[str] = (),
    *,
    generation: int = 0,
) -> dict[str, str]:
    """Return all records of an object as they must be after a request.

    Args:
        before: its annotations before the request; empty if it is created.
        done: what the request does, by `deeds`.
        record: who does it, and when.
        lines: the decisions that it adds, by `decision_line`.
        generation: the object's `metadata.generation` before the request; 0: it is created.
    """
    kept = records_of(before)
    for deed in done:
        if deed == "changed":
            kept[names.ANNOTATION_CHANGED_GENERATION] = str(generation + 1)
        kept |= {f"{_PREFIX}{deed}-by": record.user, f"{_PREFIX}{deed}-at": record.time}
    if lines:
        earlier = kept.get(names.ANNOTATION_DECISIONS)
        kept[names.ANNOTATION_DECISIONS] = "\n".join([*([earlier] if earlier else []), *lines])
    return kept


def records_of(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return those annotations that are records."""
    return {key: value for key, value in annotations.items() if key.startswith(_PREFIX)}


def without_records(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the other annotations."""
    return {key: value for key, value in annotations.items() if not key.startswith(_PREFIX)}
