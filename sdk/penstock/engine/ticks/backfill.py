"""A Backfill as a machine: which ticks get a run next, and what became of each.

It knows ticks by their number from the oldest, and runs by what is seen of them. From the stored record, the runs that
exist and the spec the same decision follows, whatever was held in memory before:

- The first run of a tick has the name that the Schedule gives it. Each further one is numbered, and the number is part
  of its name, so that whoever else makes a run of the same tick at the same time gets a conflict, and looks again.
- A tick with a run that is under way gets no other one beside it.
- A run that was made and is gone was deleted by somebody, who does not want it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from penstock.api.backfill import DEFAULT_MAX_ACTIVE, Order, Reprocess
from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.state import FINAL_RUN_STATES, SUCCESSFUL_RUN_STATES


class Outcome(StrEnum):
    """What became of a tick."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    """It had a run, which was to be left as it is."""
    DELETED = "Deleted"
    """Somebody deleted its run."""


RUNNING: Final = "Running"
"""In the counts: ticks whose run is under way."""


class TickRun(NamedTuple):
    """A run of a tick, as it is now."""

    tick: int
    """Number of the tick."""
    number: int
    """0 for the first run of the tick, then that of the repetition."""
    state: str | None
    """None: not looked at yet."""
    backfill: str
    """Uid of the Backfill that made it; empty for another maker."""

    @property
    def is_finished(self) -> bool:
        """Whether it is over."""
        return self.state in FINAL_RUN_STATES

    @property
    def is_completed(self) -> bool:
        """Whether it is over, and well."""
        return self.state in SUCCESSFUL_RUN_STATES


class Creation(NamedTuple):
    """A run to create."""

    tick: int
    number: int


@dataclass(slots=True)
class Record:
    """What is stored of a Backfill: all that can't be seen from the runs.

    Args:
        started: ticks for which a run was created.
        outcomes: what became of the ticks that are done with.
    """

    started: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Record:
        """Read it from a Backfill's status.

        Raises:
            StoredStatusError: it can't be read.
        """
        settled = {
            tick: Outcome(outcome)
            for outcome, text in (status.get("settled") or {}).items()
            for tick in decode_intervals(text)
        }
        return cls(set(decode_intervals(status.get("started") or "")), settled)

    def to_status(self) -> dict[str, Any]:
        """Return it as fields of a status."""
        ticks: dict[str, list[int]] = {}
        for tick in sorted(self.outcomes):
            ticks.setdefault(self.outcomes[tick], []).append(tick)
        return {
            "started": encode_intervals(sorted(self.started)),
            "settled": {outcome: encode_intervals(ticks[outcome]) for outcome in Outcome if outcome in ticks},
        }


class BackfillMachine:
    """Decides for one Backfill.

    Args:
        uid: of the Backfill.
        ticks: how many there are.
        record: what is stored of it; becomes the machine's.
        order: which ticks come first.
        reprocess: what to do with ticks that have a run.
    """

    def __init__(
        self, uid: str, ticks: int, record: Record, *, order: Order | None = None, reprocess: Reprocess | None = None
    ) -> None:
        self.record: Final = record
        self._uid = uid
        self._ticks = ticks
        self._reprocess = reprocess or "None"
        numbers = range(ticks) if order != "NewestFirst" else reversed(range(ticks))
        # In order, and without a walk over those that are done with: a Backfill has up to 10,000 ticks.
        self._open = dict.fromkeys(number for number in numbers if number not in record.outcomes)
        self._runs: dict[int, dict[int, TickRun]] = {}
        self._running: set[int] = set()

    @property
    def is_finished(self) -> bool:
        """Whether every tick is done with."""
        return len(self.record.outcomes) == self._ticks

    @property
    def is_successful(self) -> bool:
        """Whether, of what is done with, nothing failed."""
        return not any(outcome is Outcome.FAILED for outcome in self.record.outcomes.values())

    @property
    def progress(self) -> str:
        """Ticks that are done with, of all."""
        return f"{len(self.record.outcomes)}/{self._ticks}"

    def counts(self) -> dict[str, int]:
        """Return the number of ticks by outcome, and of those whose run is under way."""
        counts = {RUNNING: len(self._running)} | {str(outcome): 0 for outcome in Outcome}
        for outcome in self.record.outcomes.values():
            counts[outcome] += 1
        return {word: count for word, count in counts.items() if count or word in (RUNNING, Outcome.COMPLETED)}

    def load_runs(self, runs: Iterable[TickRun]) -> None:
        """Take over all runs of all ticks, as a consistent list shows them. What is not in it does not exist."""
        self._runs.clear()
        self._running.clear()
        for run in runs:
            self.observe(run)
        for tick in self.record.started - self.record.outcomes.keys() - self._running:
            self._set_outcome(tick, Outcome.DELETED)

    def observe(self, run: TickRun) -> None:
        """Take over a run as it is now."""
        if not 0 <= run.tick < self._ticks:
            return
        self._runs.setdefault(run.tick, {})[run.number] = run
        if run.backfill != self._uid or run.tick in self.record.outcomes:
            return
        self.record.started.add(run.tick)
        if run.is_finished:
            self._set_outcome(run.tick, Outcome.COMPLETED if run.is_completed else Outcome.FAILED)
        else:
            self._running.add(run.tick)
            self._open.pop(run.tick, None)

    def remove_run(self, tick: int, number: int) -> None:
        """Learn that a run is gone."""
        run = self._runs.get(tick, {}).pop(number, None)
        if run is not None and run.backfill == self._uid and tick in self._running:
            self._set_outcome(tick, Outcome.DELETED)

    def advance(self, *, max_active: int | None, is_suspended: bool) -> list[Creation]:
        """Decide which runs to create now, and which ticks need none.

        What is created is told by `observe`, also when it was there already.

        Args:
            max_active: runs that may be under way at once.
            is_suspended: whether none may be started.
        """
        free = (max_active or DEFAULT_MAX_ACTIVE) - len(self._running)
        creations: list[Creation] = []
        if is_suspended:
            return creations
        for tick in list(self._open):
            if len(creations) >= free:
                break
            runs = self._runs.get(tick) or {}
            if any(not run.is_finished for run in runs.values()):
                # Left alone for now: when that run is over, it counts as the last one.
                if self._reprocess == "None":
                    self._set_outcome(tick, Outcome.SKIPPED)
            elif self._is_wanted(runs):
                creations.append(Creation(tick, max(runs, default=-1) + 1))
            else:
                self._set_outcome(tick, Outcome.SKIPPED)
        return creations

    def _is_wanted(self, runs: Mapping[int, TickRun]) -> bool:
        """Tell whether a tick gets a run; all of those that it has are over."""
        if not runs or self._reprocess == "All":
            return True
        return self._reprocess == "Failed" and not runs[max(runs)].is_completed

    def _set_outcome(self, tick: int, outcome: Outcome) -> None:
        self.record.outcomes[tick] = outcome
        self._running.discard(tick)
        self._open.pop(tick, None)
