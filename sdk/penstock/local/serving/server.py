"""The server of `serve`: creates runs of deployments on their schedules, as the operator does for Schedules.

Due ticks are decided by `penstock.engine.ticks`, as in a cluster. While the limit of concurrent runs is reached, ticks
are not handled: they count as missed, and `on_missed` applies, as if no operator had been running.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from penstock.api.duration import duration_s
from penstock.engine.ticks.due_and_missed import Firing, Missed, Policies, decide
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import read_timetable
from penstock.engine.validation.validation import check_schedule, compile_tick_params, parse_schedule
from penstock.errors import InvalidSpecError
from penstock.local.serving.requested import AskedRun, Process, Requested
from penstock.local.serving.served_state import ServedStateFile

LOGGER: Final = logging.getLogger("penstock.serve")
STOP_GRACE: Final = timedelta(seconds=30)
"""How long a run may take to stop before it is killed, when it is replaced or the server ends."""
LONGEST_SLEEP: Final = timedelta(minutes=10)
"""Ticks are computed again at least this often, because the clock may be changed."""
UNLIMITED: Final = 1_000_000
"""The number of free slots if there is no limit."""
PAD: Final = timedelta(milliseconds=10)
"""Added to each tick, so that a clock that is read slightly early does not miss it."""


Launch = Callable[[str, Mapping[str, Any]], Process]
"""Starts a run, from its name and parameters."""


class Clock(Protocol):
    """The time, and waiting for events."""

    def now(self) -> datetime:
        """Return the current time, with its zone."""

    def wait(self, sentinels: Sequence[int], until: datetime) -> None:
        """Wait until that time, or until one of the sentinels is ready or a signal arrives."""

    @property
    def signals(self) -> int:
        """How many termination signals the process has received."""


class Served:
    """One Schedule of a deployment.

    Args:
        body: the Schedule, as it would be in a cluster.
        launch: starts a run.
        limit: maximum number of its concurrent runs; None for no limit.
        file: its stored state.
        now: the current time.

    Raises:
        InvalidSpecError: it is invalid.
    """

    def __init__(
        self, body: Mapping[str, Any], launch: Launch, *, limit: int | None, file: ServedStateFile, now: datetime
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
        self.ledger = file.read_ledger(now)
        file.write_ledger(self.ledger)

    def decide_ticks(self, now: datetime) -> Firing:
        """Decide which due ticks get a run."""
        return decide(
            self.timetable,
            self.jitter,
            self.policies,
            ledger=self.ledger,
            created=(),
            has_active=bool(self.runs),
            now=now,
        )

    def record_firing(self, firing: Firing) -> None:
        """Store a decision, and log missed ticks."""
        if firing.ledger != self.ledger:
            self.ledger = firing.ledger
            self._file.write_ledger(self.ledger)
        for missed in firing.missed:
            LOGGER.warning("%s: %s", self.name, _describe(missed, self))

    def start_run(self, tick: datetime) -> Run:
        """Start the run of a tick."""
        roots = tick_roots(self.timetable, tick)
        name = f"{self.name}-{int(tick.timestamp()) // 60}"
        run = Run(self, name, self._launch(name, {key: each.evaluate(roots) for key, each in self._params.items()}))
        self.runs.append(run)
        LOGGER.info("%s: started, scheduled for %s", name, self.show_tick(tick))
        return run

    def next_wake(self, now: datetime) -> datetime | None:
        """Return when its next tick is handled; None if there is none."""
        tick = self.timetable.next(now)
        return None if tick is None else self.jitter.due(tick) + PAD

    def show_tick(self, tick: datetime) -> str:
        """Return a tick as text, in the time zone of the schedule."""
        return tick.astimezone(self.timetable.zone).strftime("%Y-%m-%d %H:%M %Z")

    def close(self) -> None:
        """Release its stored state, so that another process can serve it."""
        self._file.close()


class Run:
    """An active run.

    Args:
        served: its schedule or deployment.
        name: its name.
        process: its process.
        asked: who asked for it, if anyone did.
    """

    def __init__(self, served: Served | Requested, name: str, process: Process, asked: AskedRun | None = None) -> None:
        self.served = served
        self.name = name
        self.process = process
        self.asked = asked
        self.killed_at: datetime | None = None
        """When it will be killed, if it is being stopped."""

    def stop(self, now: datetime) -> None:
        """Stop it, unless it is being stopped already."""
        if self.killed_at is None:
            self.killed_at = now + STOP_GRACE
            self.process.stop()


class Server:
    """Creates runs of deployments on their schedules.

    Args:
        served: the schedules.
        clock: the time.
        limit: maximum number of concurrent runs of all schedules; None for no limit.
        requested: the deployments whose runs can be asked for.
    """

    def __init__(
        self, served: Sequence[Served], clock: Clock, *, limit: int | None = None, requested: Sequence[Requested] = ()
    ) -> None:
        self._served = tuple(served)
        self._requested = tuple(requested)
        self._clock = clock
        self._limit = limit

    @property
    def runs(self) -> list[Run]:
        """The active runs."""
        everything: list[Served | Requested] = [*self._served, *self._requested]
        return [run for served in everything for run in served.runs]

    def serve(self) -> None:
        """Serve until the process is terminated, or no schedule has further ticks and no runs can be asked for."""
        while not self._clock.signals:
            now = self._clock.now()
            self._collect_ended(now)
            for served in self._served:
                self._reconcile(served, now)
            for requested in self._requested:
                self._start_requested(requested, now)
            wakes = [due for served in self._served if (due := served.next_wake(now)) is not None]
            wakes += [due for each in self._requested if (due := each.next_wake(now)) is not None]
            if (
                not self._requested
                and not wakes
                and not self.runs
                and not any(served.ledger.queued for served in self._served)
            ):
                LOGGER.info("Shutting down: no schedule has further ticks")
                return
            self._wait(now, wakes)
        self._shut_down()

    def _reconcile(self, served: Served, now: datetime) -> None:
        firing = served.decide_ticks(now)
        if firing.stops_active:
            for run in served.runs:
                run.stop(now)
        slots = 0 if firing.stops_active and served.runs else self._free_slots(served)
        if firing.fire[slots:]:
            firing = firing.up_to_failure(firing.fire[slots], served.ledger)
        # Stored first: if the process dies in between, a run is missing, but never started twice.
        served.record_firing(firing)
        for tick in firing.fire:
            served.start_run(tick)

    def _start_requested(self, requested: Requested, now: datetime) -> None:
        requested.take_requests()
        for asked in [each for each in requested.waiting if each.is_due(now)]:
            if self._free_slots(requested) and (process := requested.start_process(asked)) is not None:
                requested.runs.append(Run(requested, asked.name, process, asked))
        for asked in requested.waiting:
            asked.report_waiting()

    def _free_slots(self, served: Served | Requested) -> int:
        """Return how many more runs of a schedule or deployment may start now."""
        most = [limit - len(runs) for limit, runs in ((self._limit, self.runs), (served.limit, served.runs)) if limit]
        return max(0, min(most)) if most else UNLIMITED

    def _collect_ended(self, now: datetime) -> None:
        """Remove the runs that have ended, and kill those that exceed the grace period."""
        for run in self.runs:
            code = run.process.exit_code
            if code is not None:
                run.served.runs.remove(run)
                level = logging.INFO if code == 0 else logging.WARNING
                LOGGER.log(level, "%s: %s", run.name, _ending_of(code))
                if run.asked is not None:
                    state = run.process.take_state()
                    run.asked.report_end(code=code, state=None if state is None else base64.b64encode(state).decode())
            elif run.killed_at is not None and run.killed_at <= now:
                run.process.kill()

    def _wait(self, now: datetime, wakes: Sequence[datetime]) -> None:
        kills = [run.killed_at for run in self.runs if run.killed_at is not None]
        until = min([*wakes, *kills, now + LONGEST_SLEEP])
        inboxes = [] if self._clock.signals else [requested.inbox.fileno() for requested in self._requested]
        self._clock.wait([*(run.process.sentinel for run in self.runs), *inboxes], until)

    def _shut_down(self) -> None:
        """Stop the active runs; kill them at a second signal, or after the grace period."""
        runs = self.runs
        LOGGER.info("Shutting down%s", f": stopping {len(runs)} run{'s' if len(runs) > 1 else ''}" if runs else "")
        for run in runs:
            run.stop(self._clock.now())
        while True:
            now = self._clock.now()
            self._collect_ended(now)
            if not self.runs:
                return
            if self._clock.signals > 1:
                for run in self.runs:
                    run.process.kill()
            self._wait(now, ())


def _ending_of(code: int) -> str:
    if code == 0:
        return "completed"
    return f"ended by signal {-code}" if code < 0 else f"did not complete (exit code {code})"


def _describe(missed: Missed, served: Served) -> str:
    what = f"the tick {served.show_tick(missed.tick)}"
    if missed.count > 1:
        what = f"about {missed.count} ticks, the last {served.show_tick(missed.tick)},"
    return f"{what} did not get a run: {missed.reason}"


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
