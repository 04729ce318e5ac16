"""A Backfill as a state machine: which ticks get a run next, and the outcome of each.

Ticks are numbered from the oldest. From the stored record, the runs that exist and the spec the same decision follows,
whatever was held in memory before:

- The first run of a tick has the name that the Schedule gives it. Each further one is numbered, and the number is part
  of its name. So another creator of a run of the same tick at the same time gets a conflict, and reads the runs again.
- A tick with a run that has not finished gets no further run.
- A run that was created and no longer exists was deleted by a person. It is not created again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from penstock.api.backfill import DEFAULT_MAX_ACTIVE, Order, Reprocess
from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.state import FINAL_RUN_STATES, RunState, has_not_run


class Outcome(StrEnum):
    """The outcome of a tick."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    NOT_RUN = "NotRun"
    """Its run ended without having run: skipped by a concurrency limit, or cancelled while it waited."""
    SKIPPED = "Skipped"
    """It had a run already, and `reprocess` leaves such ticks as they are."""
    DELETED = "Deleted"
    """Its run was deleted."""


RUNNING: Final = "Running"
"""In the counts: ticks whose run has not finished."""


class TickRun(NamedTuple):
    """A run of a tick, as it is now."""

    tick: int
    """Number of the tick."""
    number: int
    """0 for the first run of the tick, then that of the repetition."""
    state: str | None
    """None: it has no status yet."""
    backfill: str
    """Uid of the Backfill that created it; empty for another creator."""
    has_started: bool = True
    """Whether a task of it was started. It matters once the run has finished."""

    @property
    def is_finished(self) -> bool:
        """Whether it has finished."""
        return self.state in FINAL_RUN_STATES

    @property
    def is_completed(self) -> bool:
        """Whether it has run and has finished successfully."""
        return self.state == RunState.COMPLETED

    @property
    def outcome(self) -> Outcome:
        """The outcome of its tick, once it has finished."""
        if has_not_run(self.state, has_started=self.has_started):
            return Outcome.NOT_RUN
        return Outcome.COMPLETED if self.is_completed else Outcome.FAILED


class Creation(NamedTuple):
    """A run to create."""

    tick: int
    number: int


@dataclass(slots=True)
class Record:
    """What is stored of a Backfill: all that does not follow from the runs.

    Args:
        started: ticks for which a run was created.
        outcomes: of the ticks that have finished.
    """

    started: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Record:
        """Read it from a Backfill's status.

        Raises:
            StoredStatusError: the status cannot be read.
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
    """Decides which runs one Backfill creates.

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
        # In order, and without those that have finished: a Backfill has up to 10,000 ticks.
        self._open = dict.fromkeys(number for number in numbers if number not in record.outcomes)
        self._runs: dict[int, dict[int, TickRun]] = {}
        self._running: set[int] = set()

    @property
    def is_finished(self) -> bool:
        """Whether every tick has an outcome."""
        return len(self.record.outcomes) == self._ticks

    @property
    def is_successful(self) -> bool:
        """Whether no tick failed or was not run so far."""
        return not any(outcome in (Outcome.FAILED, Outcome.NOT_RUN) for outcome in self.record.outcomes.values())

    @property
    def progress(self) -> str:
        """Finished ticks of all: `3/10`."""
        return f"{len(self.record.outcomes)}/{self._ticks}"

    def counts(self) -> dict[str, int]:
        """Return the number of ticks by outcome, and of those whose run has not finished."""
        counts = {RUNNING: len(self._running)} | {str(outcome): 0 for outcome in Outcome}
        for outcome in self.record.outcomes.values():
            counts[outcome] += 1
        return {word: count for word, count in counts.items() if count or word in (RUNNING, Outcome.COMPLETED)}

    def load_runs(self, runs: Iterable[TickRun]) -> None:
        """Replace what is known by all runs of all ticks, from a consistent list. Other runs do not exist."""
        self._runs.clear()
        self._running.clear()
        for run in runs:
            self.observe(run)
        for tick in self.record.started - self.record.outcomes.keys() - self._running:
            self._set_outcome(tick, Outcome.DELETED)

    def observe(self, run: TickRun) -> None:
        """Handle a run as it is now."""
        if not 0 <= run.tick < self._ticks:
            return
        self._runs.setdefault(run.tick, {})[run.number] = run
        if run.backfill != self._uid or run.tick in self.record.outcomes:
            return
        self.record.started.add(run.tick)
        if run.is_finished:
            self._set_outcome(run.tick, run.outcome)
        else:
            self._running.add(run.tick)
            self._open.pop(run.tick, None)

    def remove_run(self, tick: int, number: int) -> None:
        """Handle the deletion of a run."""
        run = self._runs.get(tick, {}).pop(number, None)
        if run is not None and run.backfill == self._uid and tick in self._running:
            self._set_outcome(tick, Outcome.DELETED)

    def advance(self, *, max_active: int | None, is_suspended: bool) -> list[Creation]:
        """Decide which runs to create now, and which ticks need none.

        Each run that is then created, or existed already, is to be passed to `observe`.

        Args:
            max_active: concurrent runs.
            is_suspended: whether no run may be started.
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
                # The tick waits: when that run has finished, it counts as the last one.
                if self._reprocess == "None":
                    self._set_outcome(tick, Outcome.SKIPPED)
            elif self._is_wanted(runs):
                creations.append(Creation(tick, max(runs, default=-1) + 1))
            else:
                self._set_outcome(tick, Outcome.SKIPPED)
        return creations

    def _is_wanted(self, runs: Mapping[int, TickRun]) -> bool:
        """Whether a tick gets a run. All the runs that it has have finished."""
        if not runs or self._reprocess == "All":
            return True
        return self._reprocess == "Failed" and not runs[max(runs)].is_completed

    def _set_outcome(self, tick: int, outcome: Outcome) -> None:
        self.record.outcomes[tick] = outcome
        self._running.discard(tick)
        self._open.pop(tick, None)
