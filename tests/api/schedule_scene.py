"""A controller of Schedules in this process, against a real API server, by a clock that the test sets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from penstock.engine.keys import ObjectKey
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.errors import NotLeaderError
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import SCHEDULES
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.schedules.controller import ScheduleController
from penstock_operator.schedules.runs import ScheduleRuns
from tests.api.scene import DEADLINE_S, Seen


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        # Half an hour from any tick, for the API server has a clock of its own.
        self._begun = self.now.replace(second=0, microsecond=0) - timedelta(minutes=30)

    def __call__(self) -> float:
        return self.now.timestamp()

    @property
    def hourly(self) -> str:
        """A cron expression, due at each `hour`."""
        return f"{self._begun.minute} * * * *"

    def hour(self, hours: int, **more: int) -> datetime:
        """Return a tick: the next is 1, the one after it 2, and so on; `more` as for `timedelta`."""
        return self._begun + timedelta(hours=hours, **more)


class Controlling:
    """Controls the Schedules of a namespace from the start of the block to its end.

    Args:
        connection: the way to the API server.
        namespace: which.
        clock: what it goes by.
        dies_after: the kind of write, as in `POST flowruns`, after which it may write nothing more.
    """

    def __init__(self, connection: Connection, namespace: str, clock: Clock, *, dies_after: str = "") -> None:
        self.metrics = Metrics()
        self.ended: list[tuple[str, Shutdown]] = []
        """The runs that it ended early, by name."""
        self._connection = connection
        self._namespace = namespace
        self._clock = clock
        self._dies_after = dies_after
        self._is_dead = False
        self._is_ready = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=f"schedules-{namespace}")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(DEADLINE_S), "the watches did not open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        expected = NotLeaderError if self._dies_after else ()
        assert [failure for failure in self._failures if not isinstance(failure, expected)] == []

    def reconcile(self, name: str = "tick") -> None:
        """Have a Schedule reconciled: timers go by the time that really passes, not by the test's clock."""
        key = ObjectKey(self._namespace, name)
        self._loop.call_soon_threadsafe(lambda: self._controller.queue.add(key))

    def turn_to(self, moment: datetime, name: str = "tick") -> None:
        """Set the clock, and have a Schedule reconciled."""
        self._clock.now = moment
        self.reconcile(name)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with ApiClient(self._connection, metrics=self.metrics) as client:
            writer = _Mortal(client, self._dies_after)
            recorder = EventRecorder(writer, instance="test")
            runs = ScheduleRuns()
            self._controller = _Busy(
                client,
                runs=runs,
                end_run=lambda key, _, shutdown: self.ended.append((key.name, shutdown)),
                metrics=self.metrics,
                resource=SCHEDULES,
                kind="Schedule",
                writer=writer,
                recorder=recorder,
                fail=self._failures.append,
                clock=self._clock,
            )
            reading: set[asyncio.Task[None]] = set()

            async def read(name: str) -> None:
                schedule = await client.get(SCHEDULES, self._namespace, name, kind=Schedule)
                if schedule is not None:
                    self._controller.on_object(EventType.MODIFIED, schedule)

            def on_event(event: EventType, item: Seen) -> None:
                if event is EventType.DELETED:
                    self._controller.on_object(event, Schedule(item.metadata))
                else:
                    task = asyncio.create_task(read(item.metadata.name))
                    reading.add(task)
                    task.add_done_callback(reading.discard)

            watches = [
                *runs.reflectors(client, [self._namespace]),
                Reflector(
                    client, SCHEDULES, kind=Seen, on_event=on_event, namespace=self._namespace, keep_objects=True
                ),
            ]
            tasks = []
            for watch in watches:
                tasks.append(asyncio.create_task(watch.run()))
                await watch.synced.wait()
            tasks.append(asyncio.create_task(self._controller.work()))
            self._is_ready.set()
            await self._stop.wait()
            # A request that is cancelled leaves its connection behind: let what is in progress end first.
            self._controller.is_stopping = True
            await self._controller.idle.wait()
            await asyncio.gather(*reading, recorder.flush(), return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *reading, return_exceptions=True)


class _Busy(ScheduleController):
    """A controller that can be stopped between two reconciles."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_stopping = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._reconciles = 0

    async def reconcile(self, key: ObjectKey, item: Schedule) -> None:
        await self._unless_stopping(super().reconcile, key, item)

    async def store(self, key: ObjectKey) -> None:
        await self._unless_stopping(super().store, key)

    async def _unless_stopping(self, act: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        if self.is_stopping:
            return
        self._reconciles += 1
        self.idle.clear()
        try:
            await act(*arguments)
        finally:
            self._reconciles -= 1
            if not self._reconciles:
                self.idle.set()


class _Mortal(Writer):
    """A Writer that may write nothing more after a kind of write."""

    def __init__(self, client: ApiClient, dies_after: str) -> None:
        self._is_dead = False
        self._dies_after = dies_after
        super().__init__(client, work_in_flight=8, may_write=lambda: not self._is_dead)

    async def create(self, resource: Any, *arguments: Any, **options: Any) -> Any:
        return await self._watched(super().create, "POST", resource, *arguments, **options)

    async def delete(self, resource: Any, *arguments: Any, **options: Any) -> Any:
        return await self._watched(super().delete, "DELETE", resource, *arguments, **options)

    async def _watched(
        self, write: Callable[..., Any], verb: str, resource: Any, *arguments: Any, **options: Any
    ) -> Any:
        reply = await write(resource, *arguments, **options)
        self._is_dead = self._is_dead or f"{verb} {resource.plural}" == self._dies_after
        return reply
