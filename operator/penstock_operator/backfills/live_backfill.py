"""A Backfill that has not finished, as it is kept in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from penstock.api.backfill import BackfillSpec
from penstock.engine.ticks.backfill import BackfillMachine, Record, TickRun
from penstock.engine.ticks.backfill_ticks import Ticks, past_ticks, read_clocks, write_clocks
from penstock.engine.timestamp import epoch
from penstock.engine.validation.validation import check_backfill, parse_backfill, parse_schedule
from penstock.errors import InvalidSpecError, PenstockError
from penstock.kube.kinds.backfill import Backfill
from penstock.kube.kinds.schedule import Schedule
from penstock_operator.runs.live_run import RunEnd


class NotNowError(PenstockError):
    """A Backfill has to wait.

    Args:
        reason: CamelCase word for programs.
        message: text for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(slots=True)
class LiveBackfill:
    """A Backfill that has not finished.

    Attributes:
        uid: its uid.
        schedule: name of its Schedule.
        clocks: the Schedule's clock fields when this Backfill began, as they are stored.
        ticks: the ticks, oldest first.
        machine: decides.
        runs: which tick each known run is for, by its name.
        changes: ended or new runs that the machine has not handled yet.
        is_loaded: whether the machine knows the runs that exist.
        started_at: when the first run was created, as it is stored.
        completed_at: when the last tick was finished, likewise.
    """

    uid: str
    schedule: str
    clocks: str
    ticks: Ticks
    machine: BackfillMachine
    runs: dict[str, TickRun] = field(default_factory=dict)
    changes: list[RunEnd | tuple[str, TickRun]] = field(default_factory=list)
    is_loaded: bool = False
    started_at: str | None = None
    completed_at: str | None = None

    def observe_run(self, name: str, run: TickRun) -> None:
        """Record a run as it is now."""
        self.runs[name] = run
        self.machine.observe(run)

    def forget_run(self, name: str) -> None:
        """Record that a run was deleted."""
        run = self.runs.pop(name)
        self.machine.remove_run(run.tick, run.number)


def parse_valid_backfill(backfill: Backfill) -> BackfillSpec:
    """Parse the spec of a Backfill.

    Raises:
        InvalidSpecError: the spec is invalid.
    """
    spec = parse_backfill({"spec": backfill.spec})
    problems = check_backfill(spec)
    if problems:
        raise InvalidSpecError(problems)
    return spec


async def begin_backfill(backfill: Backfill, spec: BackfillSpec, schedule: Schedule) -> LiveBackfill:
    """Find the ticks of a Backfill, and read what is stored of it.

    Args:
        backfill: the Backfill.
        spec: its spec.
        schedule: its Schedule as it is now.

    Raises:
        InvalidSpecError: the Backfill is invalid.
        NotNowError: the Schedule is invalid.
        StoredStatusError: the status could not be read.
    """
    stored, metadata = backfill.status, backfill.metadata
    try:
        schedule_spec = parse_schedule({"spec": schedule.spec})
        clocks = stored.timing or write_clocks(schedule_spec)
        frozen = read_clocks(clocks, schedule_spec)
        created_at = datetime.fromtimestamp(epoch(metadata.creation_timestamp or ""), tz=UTC)
        # In a thread: finding 10,000 ticks takes a second, and everything else shares the loop.
        ticks = Ticks(await asyncio.to_thread(past_ticks, spec, frozen, created_at))
    except InvalidSpecError as error:
        if any(problem.path in ("spec.from", "spec.to") for problem in error.problems):
            raise
        message = f"waiting: Schedule {spec.schedule.name} is invalid: {error}"
        raise NotNowError("ScheduleInvalid", message) from error
    record = Record.from_status(msgspec.to_builtins(stored))
    return LiveBackfill(
        metadata.uid,
        spec.schedule.name,
        clocks,
        ticks,
        BackfillMachine(metadata.uid, len(ticks), record, order=spec.order, reprocess=spec.reprocess),
        started_at=stored.start_time,
        completed_at=stored.completion_time,
    )
