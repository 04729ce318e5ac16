"""Slots: which runs of a Flow run, and which wait. Pure, and counted from runs, never from a counter.

A Flow's limit applies to the runs of one key together. A run that runs holds a slot. Waiting runs are queued by
priority, then by age, then by name. Nothing here starts or ends a run: `wake` has a run reconciled, which then requests
a slot again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit, OnLimit
from penstock.engine.keys import ObjectKey, RunKey
from penstock.errors import ExpressionError

EXACT_PLACES: Final = 10
"""The first runs of a queue have each change of their place reported. Runs behind them are reported when their place
has halved or doubled: otherwise one freed slot would cost a write for each of ten thousand runs."""
NO_KEY: Final = "\0"
"""Prefix of the group of a run whose key can no longer be evaluated."""
SHOWN_KEY_CHARACTERS: Final = 100
NAMED_RUNS: Final = 3
"""Runs that a message names."""


class Claim(NamedTuple):
    """A run's request for a slot."""

    run: RunKey
    uid: str
    created_at: float
    """Seconds since the epoch."""
    priority: int
    values: Mapping[str, Any]
    """The values of the key's expressions: `params` and `run`."""

    @property
    def age(self) -> tuple[float, str, str]:
        """Sorts runs by age, the oldest first."""
        return (self.created_at, self.run.name, self.uid)

    @property
    def place(self) -> tuple[int, float, str, str]:
        """Sorts waiting runs into the order of the queue."""
        return (-self.priority, *self.age)


class Admitted(NamedTuple):
    """The run may run."""


class Queued(NamedTuple):
    """The run waits in the queue."""

    position: int
    """From 1."""
    message: str


class Skipped(NamedTuple):
    """The run does not run, and does not wait."""

    message: str


class Replaced(NamedTuple):
    """The run does not run, because a newer one does."""

    message: str


Verdict = Admitted | Queued | Skipped | Replaced
Replace = Callable[[RunKey, str], None]
"""Ends a run that another one replaces; takes the message for people."""


@dataclass(slots=True)
class _Group:
    """The runs of one key."""

    holders: dict[str, Claim] = field(default_factory=dict)
    waiting: list[tuple[int, float, str, str]] = field(default_factory=list)
    reported_places: dict[str, int] = field(default_factory=dict)
    """The place of each waiting run that was last reported, by uid."""
    changes: int = 0
    """Number of changes of the queue so far."""


class _FlowSlots:
    """The runs of one Flow, grouped by their keys."""

    def __init__(self) -> None:
        self.limit: ConcurrencyLimit | None = None
        self.claims: dict[str, Claim] = {}
        self.holders: set[str] = set()
        self.ending: set[str] = set()
        """Holders that are already being ended."""
        self.groups: dict[str, _Group] = {}
        self.keys: dict[str, str] = {}

    def add_holder(self, claim: Claim) -> None:
        """Give a run a slot, whatever the limit: it is running."""
        self.remove_from_group(claim.uid)
        self.claims[claim.uid] = claim
        self.holders.add(claim.uid)
        self.group_of(claim).holders[claim.uid] = claim

    def enqueue(self, claim: Claim) -> None:
        """Put a run into the queue, at its place."""
        known = self.claims.get(claim.uid)
        if known is not None and known.place != claim.place:
            self.remove_from_group(claim.uid)
        self.claims[claim.uid] = claim
        group = self.group_of(claim)
        at = bisect_left(group.waiting, claim.place)
        if at == len(group.waiting) or group.waiting[at] != claim.place:
            insort(group.waiting, claim.place)
            group.changes += 1

    def group_of(self, claim: Claim) -> _Group:
        """Return the group of a run, which it need not be in yet."""
        key = self.keys.get(claim.uid)
        if key is None:
            try:
                key = "" if self.limit is None else self.limit.key_of(claim.values)
            except ExpressionError:
                # The key was edited. The run continues, in a group of its own.
                key = f"{NO_KEY}{claim.uid}"
            self.keys[claim.uid] = key
        return self.groups.setdefault(key, _Group())

    def remove_from_group(self, uid: str) -> _Group | None:
        """Remove a run from its group; returns that group."""
        claim, key = self.claims.get(uid), self.keys.pop(uid, None)
        group = None if key is None else self.groups.get(key)
        if claim is None or key is None or group is None:
            return None
        group.holders.pop(uid, None)
        group.reported_places.pop(uid, None)
        at = bisect_left(group.waiting, claim.place)
        if at < len(group.waiting) and group.waiting[at] == claim.place:
            del group.waiting[at]
        group.changes += 1
        if not group.holders and not group.waiting:
            del self.groups[key]
        return group

    def regroup(self) -> None:
        """Group all runs again, by another key."""
        self.groups.clear()
        self.keys.clear()
        for uid, claim in self.claims.items():
            if uid in self.holders:
                self.group_of(claim).holders[uid] = claim
            else:
                insort(self.group_of(claim).waiting, claim.place)


class Slots:
    """The slots of all Flows.

    Args:
        wake: has a waiting run reconciled: it may run now, or its place has changed.
        replace: ends a run that a newer one replaces.
    """

    def __init__(self, wake: Callable[[RunKey], None], replace: Replace) -> None:
        self._wake = wake
        self._replace = replace
        self._flows: dict[ObjectKey, _FlowSlots] = {}

    @property
    def waiting(self) -> int:
        """Number of runs that wait."""
        return sum(len(slots.claims) - len(slots.holders) for slots in self._flows.values())

    def has_runs_of(self, flow: ObjectKey) -> bool:
        """Whether any run of a Flow holds a slot or waits for one."""
        return flow in self._flows

    def add_holder(self, flow: ObjectKey, claim: Claim) -> None:
        """Add a run that runs, or that ran before this process began."""
        self._flows.setdefault(flow, _FlowSlots()).add_holder(claim)

    def enqueue(self, flow: ObjectKey, claim: Claim) -> None:
        """Add a run that waited before this process began, so that no run behind it starts first."""
        self._flows.setdefault(flow, _FlowSlots()).enqueue(claim)

    def mark_ending(self, flow: ObjectKey, uid: str) -> None:
        """Record that a run is being ended: it keeps its slot until it has finished, and need not be replaced."""
        slots = self._flows.get(flow)
        if slots is not None and uid in slots.holders:
            slots.ending.add(uid)

    def remove_run(self, flow: ObjectKey, uid: str) -> None:
        """Remove a run that has finished or needs no slot any more, and wake the next runs."""
        slots = self._flows.get(flow)
        if slots is None or uid not in slots.claims:
            return
        group = slots.remove_from_group(uid)
        del slots.claims[uid]
        slots.holders.discard(uid)
        slots.ending.discard(uid)
        if not slots.claims:
            del self._flows[flow]
        elif group is not None:
            self._wake_next(flow, slots, group)

    def set_limit(self, flow: ObjectKey, limit: ConcurrencyLimit | None) -> None:
        """Set a Flow's present limit, and wake the runs for which it changes something."""
        slots = self._flows.get(flow)
        if slots is None:
            return
        before, slots.limit = slots.limit, limit
        if before == limit:
            return
        is_other_key = (None if before is None else before.source) != (None if limit is None else limit.source)
        if is_other_key:
            slots.regroup()
        is_other_rule = is_other_key or before is None or limit is None or before.on_limit is not limit.on_limit
        for group in list(slots.groups.values()):
            if is_other_rule:
                for _, _, name, _ in group.waiting:
                    self._wake(RunKey(flow.namespace, name))
            else:
                self._wake_next(flow, slots, group)

    def request_slot(self, flow: ObjectKey, claim: Claim, limit: ConcurrencyLimit | None) -> Verdict:
        """Request a slot, under the limit that the Flow has now.

        Raises:
            ExpressionError: the run's key could not be evaluated.
        """
        if limit is not None:
            limit.key_of(claim.values)
        self._flows.setdefault(flow, _FlowSlots())
        self.set_limit(flow, limit)
        slots = self._flows[flow]
        if claim.uid in slots.holders:
            return Admitted()
        slots.enqueue(claim)
        verdict = self._judge(flow, slots, claim)
        if isinstance(verdict, Admitted):
            group = slots.remove_from_group(claim.uid)
            slots.add_holder(claim)
            if group is not None:
                self._wake_next(flow, slots, group)
        elif isinstance(verdict, Queued):
            self._wake_next(flow, slots, slots.group_of(claim))
        else:
            self.remove_run(flow, claim.uid)
        return verdict

    def queue_place(self, flow: ObjectKey, uid: str) -> Queued | None:
        """Return the place of a waiting run; None if it should request a slot again, because it may run.

        The Flow is not read for this, so a change of place is cheap.
        """
        slots = self._flows.get(flow)
        claim = None if slots is None else slots.claims.get(uid)
        if slots is None or claim is None or uid in slots.holders:
            return None
        if slots.limit is None or slots.limit.on_limit is not OnLimit.QUEUE:
            return None
        if slots.keys.get(uid, "").startswith(NO_KEY):
            return None
        verdict = self._judge(flow, slots, claim)
        return verdict if isinstance(verdict, Queued) else None

    def _judge(self, flow: ObjectKey, slots: _FlowSlots, claim: Claim) -> Verdict:
        limit, group = slots.limit, slots.group_of(claim)
        if limit is None:
            return Admitted()
        at = bisect_left(group.waiting, claim.place)
        rule = _rule(flow, limit, slots.keys[claim.uid])
        if limit.on_limit is OnLimit.REPLACE:
            outdated = _runs_to_replace(slots, group, limit)
            newest = max([*group.holders.values(), *_waiting(slots, group)], key=lambda one: one.age)
            for one in outdated:
                if one.uid == claim.uid:
                    return Replaced(f"replaced by run {newest.run.name}: {rule}")
                slots.ending.add(one.uid)
                self._replace(one.run, f"replaced by run {newest.run.name}: {rule}")
        if at < limit.limit - len(group.holders):
            return Admitted()
        if limit.on_limit is OnLimit.SKIP:
            return Skipped("; ".join([rule, *_active(group), "further runs are skipped"]))
        group.reported_places[claim.uid] = at + 1
        parts = [rule, *_active(group)]
        if at:
            names = [name for _, _, name, _ in group.waiting[max(at - NAMED_RUNS, 0) : at]]
            parts.append(f"{at} ahead: {'... ' if at > len(names) else ''}{', '.join(names)}")
        return Queued(at + 1, "; ".join(parts))

    def _wake_next(self, flow: ObjectKey, slots: _FlowSlots, group: _Group) -> None:
        """Wake the runs that may run now, and those whose reported place is out of date."""
        free = len(group.waiting) if slots.limit is None else slots.limit.limit - len(group.holders)
        # Every second change goes a little farther back, every fourth still farther: on average a few runs a change.
        reach = group.changes & -group.changes
        checked = max(free, EXACT_PLACES, 4 * reach)
        for at, (_, _, name, uid) in enumerate(group.waiting[:checked]):
            if at < free or _needs_report(group.reported_places.get(uid), at + 1):
                self._wake(RunKey(flow.namespace, name))


def _needs_report(reported: int | None, position: int) -> bool:
    """Whether a run's place is to be reported again."""
    if reported is None or reported == position:
        return False
    return position <= EXACT_PLACES or not position <= reported * 2 <= position * 4


def _runs_to_replace(slots: _FlowSlots, group: _Group, limit: ConcurrencyLimit) -> list[Claim]:
    """Return the runs that newer ones replace: the oldest that run, then the oldest that wait."""
    newcomers = sorted(_waiting(slots, group), key=lambda claim: claim.age)
    active = [claim for uid, claim in group.holders.items() if uid not in slots.ending]
    excess = len(active) + len(newcomers) - limit.limit
    return [*sorted(active, key=lambda claim: claim.age), *newcomers][: max(excess, 0)]


def _waiting(slots: _FlowSlots, group: _Group) -> list[Claim]:
    return [slots.claims[uid] for _, _, _, uid in group.waiting]


def _rule(flow: ObjectKey, limit: ConcurrencyLimit, key: str) -> str:
    of_key = "" if limit.key is None else f" of key {key[:SHOWN_KEY_CHARACTERS]}"
    return f"Flow {flow.name} allows {limit.limit} concurrent {'run' if limit.limit == 1 else 'runs'}{of_key}"


def _active(group: _Group) -> list[str]:
    names = sorted(claim.run.name for claim in group.holders.values())
    shown = ", ".join(names[:NAMED_RUNS]) + (", ..." if len(names) > NAMED_RUNS else "")
    return [f"active: {shown}"] if names else []
