"""Calls of flows and tasks, carried out in this process."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from penstock.authoring.backend import Call
from penstock.authoring.context import logger_of
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.futures import Future, FutureList
from penstock.authoring.home import home
from penstock.authoring.mapping import expand
from penstock.authoring.runs import TAGS, FlowRun, TaskRun
from penstock.authoring.states import State
from penstock.authoring.upstream import Failures, find_futures, resolve
from penstock.local import flow_life, log, summary, task_life
from penstock.local.final_state import state_of_error
from penstock.local.flow_call import AsyncFlowCall, FlowCall
from penstock.local.iteration import iterate, iterate_async
from penstock.local.run_name import render
from penstock.local.session import SESSION, Session, child_id, resumed_run
from penstock.local.signals import ended_by_signals
from penstock.local.step import Steps, drive, drive_async
from penstock.local.submission import Submission
from penstock.local.task_call import AsyncTaskCall, TaskCall, resolve_call
from penstock.local.task_pool import MAX_COROUTINES, MAX_THREADS, LoopLane, ThreadLane

_THREADS: Final = ThreadLane(MAX_THREADS)
_COROUTINES: Final = LoopLane(MAX_COROUTINES)
"""Of tasks that are submitted outside of flows."""


class LocalBackend:
    """Carries out flows and tasks in this process."""

    def __init__(self) -> None:
        self._loose: set[Future[Any]] = set()
        """Of tasks that were submitted outside of flows."""
        self._counter = itertools.count()

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Run a flow, and return its result, or a coroutine of it for an async function."""
        return self._call_async_flow(flow, call) if flow.is_async else self._call_flow(flow, call)

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Run a task, and return its result, a coroutine of it, or the generator of it."""
        is_iterated = task.is_generator and not call.return_state
        if task.is_async:
            return self._iterate_async(task, call) if is_iterated else self._call_async_task(task, call)
        return self._iterate(task, call) if is_iterated else self._call_task(task, call)

    def submit(self, task: TaskFunction, call: Call) -> Future[Any]:
        """Have a task run, and return at once."""
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        run = self._new_task_run(task, session)
        if session is None:
            lane = _COROUTINES if task.is_async else _THREADS
        else:
            lane = session.coroutines if task.is_async else session.threads
        submission = Submission(run, call, session, lane)
        future = submission.future
        if session is None:
            self._loose.add(future)
            future.add_done_callback(self._loose.discard)
        submission.start_after(_futures_of(call))
        return future

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Have a task run for each item; return the futures, or once all are over their states."""
        upstream = None if call.wait_for is None else list(call.wait_for)
        futures = FutureList(
            self.submit(task, Call(*arguments, wait_for=upstream))
            for arguments in expand(task.signature, call.args, call.kwargs)
        )
        if not call.return_state:
            return futures
        futures.wait()
        return [future.state for future in futures]

    def wait_for_loose(self) -> None:
        """Wait for the tasks that were submitted outside of flows: the process ends after them."""
        for future in list(self._loose):
            future.wait()

    def pause(
        self, run: FlowRun, kind: type[Any] | None, *, timeout_s: float, key: str | None, message: str | None
    ) -> Any:
        """Wait for the person at the terminal, and return the value of that type, or None for an approval."""
        from penstock.local.terminal import pause  # noqa: PLC0415 - most runs don't

        session = SESSION.get()
        assert session is not None
        assert session.run is run
        return pause(session, kind, timeout_s=timeout_s, key=key, message=message)

    def folder(self) -> Path:
        """Return the folder for what the run that this code is in keeps."""
        session = SESSION.get()
        return home() if session is None else session.folder()

    def _call_task(self, task: TaskFunction, call: Call) -> Any:
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        for future in _futures_of(call):
            future.wait()
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return _answer(drive(task_life.skip(run, failures, session), None), call)
        performer = TaskCall(run, call_now, session, None, is_collected=True)
        try:
            state = drive(task_life.live(run, performer.parameters, session), performer)
        except BaseException as error:
            _crash(run, session, error)
            raise
        return _answer(state, call)

    async def _call_async_task(self, task: TaskFunction, call: Call) -> Any:
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        await _await_all(_futures_of(call))
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return _answer(await drive_async(task_life.skip(run, failures, session), None), call)
        performer = AsyncTaskCall(run, call_now, session, None, is_collected=True)
        try:
            state = await drive_async(task_life.live(run, performer.parameters, session), performer)
        except BaseException as error:
            _crash(run, session, error)
            raise
        return _answer(state, call)

    def _iterate(self, task: TaskFunction, call: Call) -> Any:
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        for future in _futures_of(call):
            future.wait()
        run, call_now, steps = self._begin_iteration(task, call, session)
        return iterate(run, call_now, steps, session)

    async def _iterate_async(self, task: TaskFunction, call: Call) -> Any:
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        await _await_all(_futures_of(call))
        run, call_now, steps = self._begin_iteration(task, call, session)
        async with contextlib.aclosing(cast("Any", iterate_async(run, call_now, steps, session))) as elements:
            async for element in elements:
                yield element

    def _begin_iteration(self, task: TaskFunction, call: Call, session: Session | None) -> tuple[TaskRun, Call, Steps]:
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return run, call_now, task_life.skip(run, failures, session)
        return run, call_now, task_life.live(run, task.bind(call_now.args, call_now.kwargs), session)

    def _call_flow(self, flow: FlowFunction, call: Call) -> Any:
        parameters = flow.bind(call.args, call.kwargs)
        for future in _futures_of(call):
            future.wait()
        session = _open_session(flow, call, parameters)
        if isinstance(session, State):
            return _answer(session, call)
        with ended_by_signals(), _ended(session):
            state = drive(flow_life.live(session), FlowCall(session))
        return _answer(state, call)

    async def _call_async_flow(self, flow: FlowFunction, call: Call) -> Any:
        parameters = flow.bind(call.args, call.kwargs)
        await _await_all(_futures_of(call))
        session = _open_session(flow, call, parameters)
        if isinstance(session, State):
            return _answer(session, call)
        with ended_by_signals(), _ended(session):
            state = await drive_async(flow_life.live(session), AsyncFlowCall(session))
        return _answer(state, call)

    def _new_task_run(self, task: TaskFunction, session: Session | None) -> TaskRun:
        index = next(self._counter) if session is None else session.next_index(task.key)
        tags = task.options.tags | TAGS.get()
        return TaskRun(
            task, run_id=_new_id(), index=index, tags=tags, flow_run=None if session is None else session.run
        )


def _open_session(flow: FlowFunction, call: Call, parameters: dict[str, Any]) -> Session | State[Any]:
    """Make the session of a flow run; or return the state of one that can't start, because what it needs failed."""
    failures = Failures()
    parameters = {name: resolve(value, failures) for name, value in parameters.items()}
    if call.wait_for is not None:
        resolve(list(call.wait_for), failures)
    if failures:
        state = task_life.upstream_state(flow.name, failures)
        for future in failures.futures:
            future.task_run.observe()
        return state
    parent = SESSION.get()
    log.set_up()
    if parent is not None:
        run_id, name = child_id(parent, flow.key, parameters), None
    else:
        run_id, name = resumed_run(flow.key, parameters) or (_new_id(), None)
    if name is None:
        wanted = flow.options.flow_run_name
        name = f"{flow.name}-{run_id.hex[:6]}" if wanted is None else render("flow_run_name", wanted, parameters)
    run = FlowRun(
        flow,
        run_id=run_id,
        name=name,
        parameters=parameters,
        tags=TAGS.get(),
        parent=None if parent is None else parent.run,
    )
    logger_of(run).info("Begins: flow %r, process %d, %s", flow.name, os.getpid(), _now())
    return Session(run, parent)


def _crash(run: TaskRun, session: Session | None, error: BaseException) -> None:
    """End a run if a signal came in between its steps, where no outcome catches it."""
    if not run.state.is_final():
        run.enter(state_of_error(error, "Task run"))
        task_life.tell(run, session)


@contextlib.contextmanager
def _ended(session: Session) -> Any:
    """Tell how the run ended; also if something got in between its steps, where no outcome catches it."""
    try:
        yield
    except BaseException as error:
        if not session.run.state.is_final():
            session.run.enter(state_of_error(error, "Flow run"))
            session.close()
        raise
    finally:
        summary.tell(session)


def _answer(state: State[Any], call: Call) -> Any:
    error = state.data
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        # The process is told to end, or what is around this run: nothing here may keep that from happening.
        raise error
    return state if call.return_state else state.result()


def _futures_of(call: Call) -> list[Future[Any]]:
    found: list[Future[Any]] = []
    for value in call.args:
        found += find_futures(value)
    for value in call.kwargs.values():
        found += find_futures(value)
    if call.wait_for is not None:
        found += find_futures(list(call.wait_for))
    return found


async def _await_all(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        await future.wait_async()


def _new_id() -> UUID:
    return UUID(bytes=os.urandom(16), version=4)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


BACKEND: Final = LocalBackend()
atexit.register(BACKEND.wait_for_loose)
