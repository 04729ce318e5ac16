"""Submitted task runs: they wait for their upstream runs and for a slot of the pool, and can be stopped."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from penstock.authoring.arguments.argument_futures import Failures, resolve_call
from penstock.authoring.backend import Call
from penstock.authoring.limits import enter_submitted
from penstock.authoring.runs.futures import SLOT, Future
from penstock.authoring.runs.runs import TaskRun
from penstock.authoring.runs.states import Cancelled, State
from penstock.errors import CancelledRunError
from penstock.local.calls.task_call import AsyncTaskCall, TaskCall
from penstock.local.interruption.interrupt import Interrupt
from penstock.local.lifecycle import task_lifecycle
from penstock.local.lifecycle.final_state import state_of_error
from penstock.local.lifecycle.lifecycle_step import Outcome, Sleep, Steps, perform_step, run_lifecycle_async
from penstock.local.session import Session
from penstock.local.threads.task_pool import TaskPool
from penstock.local.threads.timer import TIMER

if TYPE_CHECKING:
    import asyncio


class Phase(Enum):
    """The phase of a submitted task run."""

    WAITING = "waiting"
    """For other runs, for a slot, or for its next attempt."""
    RUNNING = "running"
    FINISHED = "finished"


class Submission:
    """A task run that runs concurrently with its caller.

    Args:
        run: the run.
        call: the arguments.
        session: the session of the flow run, if there is one.
        pool: the pool that runs it.
    """

    def __init__(self, run: TaskRun, call: Call, session: Session | None, pool: TaskPool) -> None:
        self.future: Future[Any] = Future(run)
        self._run = run
        self._call = call
        self._session = session
        self._pool = pool
        self._lock = threading.Lock()
        self._phase = Phase.WAITING
        self._missing = 0
        self._steps: Steps | None = None
        self._outcome: Outcome | None = None
        self._performer: TaskCall | AsyncTaskCall | None = None
        self._interrupt = Interrupt()
        self._stop: Callable[[], None] = self._interrupt.request_stop
        self._context = contextvars.copy_context()
        self._context.run(SLOT.set, pool)
        self._context.run(enter_submitted)
        if session is not None:
            session.outstanding.add(self)

    def start_after(self, futures: Iterable[Future[Any]]) -> None:
        """Run when the futures are done and a slot is free."""
        pending = [future for future in futures if not future.done()]
        if not pending:
            self._pool.enqueue(self)
            return
        self._missing = len(pending)
        for future in pending:
            future.add_done_callback(self._on_upstream_done)

    def cancel(self, reason: str) -> bool:
        """Do not start the run, if it has not started or waits for its next attempt.

        Returns:
            Whether it has finished now.
        """
        with self._lock:
            if self._phase is not Phase.WAITING:
                return self._phase is Phase.FINISHED
            self._phase = Phase.FINISHED
        state = Cancelled(message=reason, data=CancelledRunError(f"{self._run.name!r} was cancelled: {reason}"))
        self._run.enter_state(state)
        task_lifecycle.report_end(self._run, self._session)
        self._end()
        return True

    def stop(self, reason: str) -> None:
        """Cancel the run, or stop its function if it is running."""
        if not self.cancel(reason):
            self._stop()

    def run_job(self, done: Callable[[], None]) -> None:
        """Run until the end or the next delay. Called by the pool."""
        with self._lock:
            if self._phase is not Phase.WAITING:
                done()
                return
            self._phase = Phase.RUNNING
        if self._run.task.is_async:
            from penstock.local.threads.background_loop import LOOP  # noqa: PLC0415 - asyncio is needed for coroutines only

            LOOP.start_coroutine(self._work_async(done), self._context)
            return
        try:
            delay_s = self._context.run(self._advance)
        except BaseException as error:  # noqa: BLE001 - the future must finish
            self._crash(error)
            delay_s = None
        if delay_s is not None:
            with self._lock:
                self._phase = Phase.WAITING
            TIMER.call_later(delay_s, self._resume)
        done()

    def _resume(self) -> None:
        self._pool.enqueue(self)

    def _on_upstream_done(self, _: Future[Any]) -> None:
        with self._lock:
            self._missing -= 1
            is_ready = not self._missing
        if is_ready:
            self._pool.enqueue(self)

    def _begin(self) -> Steps:
        failures = Failures()
        call = resolve_call(self._call, failures)
        if failures:
            return task_lifecycle.skipped_steps(self._run, failures, self._session)
        kind = AsyncTaskCall if self._run.task.is_async else TaskCall
        self._performer = kind(self._run, call, self._session, self._interrupt, is_collected=True)
        return task_lifecycle.task_steps(self._run, self._performer.parameters, self._session)

    def _advance(self) -> float | None:
        """Continue in this thread until the end, or until a delay, which is returned in seconds."""
        if self._steps is None:
            self._steps = self._begin()
        while True:
            try:
                step = self._steps.send(self._outcome)
            except StopIteration:
                self._finish()
                return None
            self._outcome = Outcome()
            if isinstance(step, Sleep):
                return step.delay_s
            assert not isinstance(self._performer, AsyncTaskCall)
            self._outcome = perform_step(step, self._performer)

    async def _work_async(self, done: Callable[[], None]) -> None:
        import asyncio  # noqa: PLC0415 - needed for coroutines only

        task = asyncio.current_task()
        assert task is not None
        self._stop = lambda: self._cancel(task)
        try:
            steps = self._begin()
            assert not isinstance(self._performer, TaskCall)
            await run_lifecycle_async(steps, self._performer)
            self._finish()
        except BaseException as error:  # noqa: BLE001 - the future must finish
            self._crash(error)
        done()

    def _cancel(self, task: asyncio.Task[None]) -> None:
        from penstock.local.threads.background_loop import LOOP  # noqa: PLC0415 - asyncio is needed for coroutines only

        self._interrupt.request_stop()
        LOOP.call_in_loop(task.cancel)

    def _crash(self, error: BaseException) -> None:
        self._run.enter_state(state_of_error(error, "Task run"))
        task_lifecycle.report_end(self._run, self._session)
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            self._phase = Phase.FINISHED
        self._end()

    def _end(self) -> None:
        state: State[Any] = self._run.state
        session = self._session
        self._steps = self._performer = self._outcome = None
        self._call = Call((), {})
        if session is not None and not state.is_completed():
            session.failures.append(self._run)
        self.future.finish()
        if session is not None:
            # After the callbacks, so that they are done before the flow finishes.
            session.outstanding.discard(self)
