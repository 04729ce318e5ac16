"""A server: runs of deployments whenever they are due, as an operator does it for Schedules.

What is due is decided by `penstock.engine.ticks`, as in a cluster. While no place is free, nothing is decided that
would need one: what becomes of such ticks is for `on_missed` to say, as if no operator had been there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from penstock.api.duration import duration_s
from penstock.engine.ticks.firing import Firing, Missed, Policies, decide
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import read_timetable
from penstock.engine.validation.validation import check_schedule, compile_tick_params, parse_schedule
from penstock.errors import InvalidSpecError
from penstock.local.ledger import LedgerFile

LOGGER: Final = logging.getLogger("penstock.serve")
STOP_GRACE: Final = timedelta(seconds=30)
"""How long a run that is to be replaced, or whose server ends, may take to end before it is killed."""
LONGEST_SLEEP: Final = timedelta(minutes=10)
"""A clock may be set: ticks are computed anew at least this often."""
UNLIMITED: Final = 1_000_000
"""Places, where nothing limits the runs that go on at once."""
PAD: Final = timedelta(milliseconds=10)
"""After the tick, so that a clock that is read a moment early does not find it missing."""


class Process(Protocol):
    """A run that goes on."""

    @property
    def sentinel(self) -> int:
        """Ready when it has ended."""

    @property
    def exit_code(self) -> int | None:
        """None while it goes on."""

    def stop(self) -> None:
        """Have it end."""

    def kill(self) -> None:
        """End it."""


Launch = Callable[[str, Mapping[str, Any]], Process]
"""Starts a run of this name with these parameters."""


class Clock(Protocol):
    """Time, and what happens meanwhile."""

    def now(self) -> datetime:
        """Return the present, aware."""

    def wait(self, sentinels: Sequence[int], until: datetime) -> None:
        """Return at that time, or sooner: when one of these is ready, or a signal has come."""

    @property
    def signals(self) -> int:
        """How often the process was told to end."""


class Served:
    """One Schedule of a deployment.

    Args:
        body: the Schedule, as it would be in a cluster.
        launch: starts a run.
        limit: how many of its runs go on at once at most.
        file: where it remembers what was decided.
        now: the time.

    Raises:
        InvalidSpecError: it can't work.
    """

    def __init__(
        self, body: Mapping[str, Any], launch: Launch, *, limit: int | None, file: LedgerFile, now: datetime
    ) -> None:
        spec = parse_schedule(body)
        if problems := check_schedule(spec):
            raise InvalidSpecError(problems)
        self.name: str = body["metadata"]["name"]
        self.timetable = read_timetable(spec)
        self.policies = Policies.from_spec(spec)
        longest = timedelta(seconds=duration_s(spec.jitter) if spec.jitter is not None else 0)
        self.jitter = Jitter(self.timetable, longest, self.name)
        self.limit = limit
        self.runs: list[Run] = []
        self._launch = launch
        self._params = compile_tick_params(spec.run_template.spec.params)
        self._file = file
        self.ledger = file.read(now)
        file.write(self.ledger)

    def decide(self, now: datetime) -> Firing:
        """Decide what becomes of the ticks that are due."""
        return decide(
            self.timetable,
            self.jitter,
            self.policies,
            ledger=self.ledger,
            created=(),
            has_active=bool(self.runs),
            now=now,
        )

    def keep(self, firing: Firing) -> None:
        """Take a decision for carried out."""
        if firing.ledger != self.ledger:
            self.ledger = firing.ledger
            self._file.write(self.ledger)
        for missed in firing.missed:
            LOGGER.warning("%s: %s", self.name, _describe(missed, self))

    def start(self, tick: datetime) -> Run:
        """Start the run of a tick."""
        roots = tick_roots(self.timetable, tick)
        name = f"{self.name}-{int(tick.timestamp()) // 60}"
        run = Run(self, name, self._launch(name, {key: each.evaluate(roots) for key, each in self._params.items()}))
        self.runs.append(run)
        LOGGER.info("%s: started, due %s", name, self.show(tick))
        return run

    def due(self, now: datetime) -> datetime | None:
        """Return when to look again because of the clock; None: never."""
        tick = self.timetable.next(now)
        return None if tick is None else self.jitter.due(tick) + PAD

    def show(self, tick: datetime) -> str:
        """Write a tick in the schedule's zone."""
        return tick.astimezone(self.timetable.zone).strftime("%Y-%m-%d %H:%M %Z")

    def close(self) -> None:
        """Let another process serve it."""
        self._file.close()


class Run:
    """A run that goes on.

    Args:
        served: whose it is.
        name: its name.
        process: what carries it out.
    """

    def __init__(self, served: Served, name: str, process: Process) -> None:
        self.served = served
        self.name = name
        self.process = process
        self.killed_at: datetime | None = None
        """When it is killed, if it is being stopped."""

    def stop(self, now: datetime) -> None:
        """Have it end, if it is not ending already."""
        if self.killed_at is None:
            self.killed_at = now + STOP_GRACE
            self.process.stop()


class Server:
    """Serves deployments.

    Args:
        served: what.
        clock: the time.
        limit: how many runs go on at once at most.
    """

    def __init__(self, served: Sequence[Served], clock: Clock, *, limit: int | None = None) -> None:
        self._served = tuple(served)
        self._clock = clock
        self._limit = limit

    @property
    def runs(self) -> list[Run]:
        """The runs that go on."""
        return [run for served in self._served for run in served.runs]

    def serve(self) -> None:
        """Serve until the process is told to end, or nothing is due ever again."""
        while not self._clock.signals:
            now = self._clock.now()
            self._collect(now)
            for served in self._served:
                self._look_at(served, now)
            wakes = [due for served in self._served if (due := served.due(now)) is not None]
            if not wakes and not self.runs and not any(served.ledger.queued for served in self._served):
                LOGGER.info("Nothing is due any more")
                return
            self._wait(now, wakes)
        self._end()

    def _look_at(self, served: Served, now: datetime) -> None:
        firing = served.decide(now)
        if firing.stops_active:
            for run in served.runs:
                run.stop(now)
        places = 0 if firing.stops_active and served.runs else self._places(served)
        if firing.fire[places:]:
            firing = firing.up_to_failure(firing.fire[places], served.ledger)
        # Kept first: a process that dies in between leaves a run out, and never starts it twice.
        served.keep(firing)
        for tick in firing.fire:
            served.start(tick)

    def _places(self, served: Served) -> int:
        """Return how many more runs of a deployment may go on."""
        most = [limit - len(runs) for limit, runs in ((self._limit, self.runs), (served.limit, served.runs)) if limit]
        return max(0, min(most)) if most else UNLIMITED

    def _collect(self, now: datetime) -> None:
        """Take leave of the runs that have ended, and kill those that should have."""
        for run in self.runs:
            code = run.process.exit_code
            if code is not None:
                run.served.runs.remove(run)
                level = logging.INFO if code == 0 else logging.WARNING
                LOGGER.log(level, "%s: %s", run.name, _ended(code))
            elif run.killed_at is not None and run.killed_at <= now:
                run.process.kill()

    def _wait(self, now: datetime, wakes: Sequence[datetime]) -> None:
        kills = [run.killed_at for run in self.runs if run.killed_at is not None]
        until = min([*wakes, *kills, now + LONGEST_SLEEP])
        self._clock.wait([run.process.sentinel for run in self.runs], until)

    def _end(self) -> None:
        """End the runs that go on: they are told to, and at the second signal, or when it takes too long, killed."""
        runs = self.runs
        LOGGER.info("Ends%s", f", and {len(runs)} run{'s' if len(runs) > 1 else ''} with it" if runs else "")
        for run in runs:
            run.stop(self._clock.now())
        while True:
            now = self._clock.now()
            self._collect(now)
            if not self.runs:
                return
            if self._clock.signals > 1:
                for run in self.runs:
                    run.process.kill()
            self._wait(now, ())


def _ended(code: int) -> str:
    if code == 0:
        return "completed"
    return f"ended by signal {-code}" if code < 0 else f"did not complete (exit code {code})"


def _describe(missed: Missed, served: Served) -> str:
    what = f"the tick {served.show(missed.tick)}"
    if missed.count > 1:
        what = f"about {missed.count} ticks, the last {served.show(missed.tick)},"
    return f"{what} got no run: {missed.reason}"


def utc_now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)
