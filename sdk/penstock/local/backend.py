"""The local backend: runs flows and tasks in this process."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from penstock.authoring.arguments.argument_futures import Failures, read_call, resolve_call, upstream_of
from penstock.authoring.arguments.mapping import expand
from penstock.authoring.backend import Call
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.pods.pod_call import CALL
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.futures import Future, FutureList
from penstock.authoring.runs.runs import TAGS, FlowRun, TaskRun
from penstock.authoring.runs.states import State
from penstock.authoring.storage.home import home
from penstock.errors import NotOfferedError
from penstock.local.calls.flow_call import AsyncFlowCall, FlowCall
from penstock.local.calls.generator_call import iterate, iterate_async, iterated_flow, iterated_task
from penstock.local.calls.submission import Submission
from penstock.local.calls.task_call import AsyncTaskCall, TaskCall
from penstock.local.console import log, summary
from penstock.local.interruption.signals import ended_by_signals
from penstock.local.lifecycle import flow_lifecycle, task_lifecycle
from penstock.local.lifecycle.final_state import state_of_error
from penstock.local.lifecycle.lifecycle_step import Steps, run_lifecycle, run_lifecycle_async
from penstock.local.lifecycle.run_name import render_flow_run_name
from penstock.local.session import SESSION, Session, child_id, resumed_run
from penstock.local.threads.task_pool import MAX_COROUTINES, MAX_THREADS, CoroutinePool, ThreadPool

_THREADS: Final = ThreadPool(MAX_THREADS)
_COROUTINES: Final = CoroutinePool(MAX_COROUTINES)
"""The pools for tasks that are submitted outside of flows."""


class LocalBackend:
    """Runs flows and tasks in this process."""

    def __init__(self) -> None:
        self._flowless: set[Future[Any]] = set()
        """The futures of tasks that were submitted outside of flows."""
        self._counter = itertools.count()

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Run a flow, and return its result, or a coroutine of it for an async function."""
        flow.bind(call.args, call.kwargs)
        call, upstream = read_call(call)
        is_iterated = flow.is_generator and not call.return_state
        if flow.is_async:
            run = self._iterate_async_flow if is_iterated else self._call_async_flow
        else:
            run = self._iterate_flow if is_iterated else self._call_flow
        return run(flow, call, upstream)

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Run a task, and return its result, a coroutine of it, or the generator of it."""
        task.bind(call.args, call.kwargs)
        call, upstream = read_call(call)
        is_iterated = task.is_generator and not call.return_state
        if task.is_async:
            run = self._iterate_async if is_iterated else self._call_async_task
        else:
            run = self._iterate if is_iterated else self._call_task
        return run(task, call, upstream)

    def submit(self, task: TaskFunction, call: Call) -> Future[Any]:
        """Submit a task, and return its future immediately."""
        session = SESSION.get()
        task.bind(call.args, call.kwargs)
        call, upstream = read_call(call)
        run = self._new_task_run(task, session)
        if session is None:
            pool = _COROUTINES if task.is_async else _THREADS
        else:
            pool = session.coroutines if task.is_async else session.threads
        submission = Submission(run, call, session, pool)
        future = submission.future
        if session is None:
            self._flowless.add(future)
            future.add_done_callback(self._flowless.discard)
        submission.start_after(upstream)
        return future

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Submit a task for each item. Return the futures, or wait and return the states."""
        upstream = None if call.wait_for is None else upstream_of(call.wait_for)
        futures = FutureList(
            self.submit(task, Call(*arguments, wait_for=upstream))
            for arguments in expand(task.signature, call.args, call.kwargs)
        )
        if not call.return_state:
            return futures
        futures.wait()
        return [future.state for future in futures]

    def wait_for_flowless_tasks(self) -> None:
        """Wait for the tasks that were submitted outside of flows, before the process exits."""
        for future in list(self._flowless):
            future.wait()

    def pause(
        self, run: FlowRun, kind: type[Any] | None, *, timeout_s: float, key: str | None, message: str | None
    ) -> Any:
        """Wait for a person at the terminal. Return the value that was entered, or None for an approval."""
        from penstock.local.console.terminal import pause  # noqa: PLC0415 - few runs pause

        session = SESSION.get()
        assert session is not None
        assert session.run is run
        return pause(session, kind, timeout_s=timeout_s, key=key, message=message)

    def folder(self) -> Path:
        """Return the folder for files that the current run keeps."""
        session = SESSION.get()
        return home() if session is None else session.folder()

    def check_limits(self) -> None:
        """Refuse limits in Pods, each of which would have its own.

        Raises:
            NotOfferedError: this process is the Pod of a task.
        """
        if CALL in os.environ:
            raise NotOfferedError(
                "limits hold within one process, and in a cluster each run and task has its own: set `concurrency` on"
                " the Flow, or maxParallel on the mapped task"
            )

    def check_effect(self, what: str, advice: str) -> None:
        """Allow it: the flow runs."""

    def _call_task(self, task: TaskFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        session = SESSION.get()
        for future in upstream:
            future.wait()
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return _answer(run_lifecycle(task_lifecycle.skipped_steps(run, failures, session), None), call)
        performer = TaskCall(run, call_now, session, None, is_collected=True)
        try:
            state = run_lifecycle(task_lifecycle.task_steps(run, performer.parameters, session), performer)
        except BaseException as error:
            _crash(run, session, error)
            raise
        return _answer_of_task(state, call)

    async def _call_async_task(self, task: TaskFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        session = SESSION.get()
        await _await_all(upstream)
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return _answer(await run_lifecycle_async(task_lifecycle.skipped_steps(run, failures, session), None), call)
        performer = AsyncTaskCall(run, call_now, session, None, is_collected=True)
        try:
            state = await run_lifecycle_async(task_lifecycle.task_steps(run, performer.parameters, session), performer)
        except BaseException as error:
            _crash(run, session, error)
            raise
        return _answer_of_task(state, call)

    def _iterate(self, task: TaskFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        session = SESSION.get()
        for future in upstream:
            future.wait()
        run, call_now, steps = self._begin_iteration(task, call, session)
        return iterate(iterated_task(run, call_now, session), steps)

    async def _iterate_async(self, task: TaskFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        session = SESSION.get()
        await _await_all(upstream)
        run, call_now, steps = self._begin_iteration(task, call, session)
        async with contextlib.aclosing(
            cast("Any", iterate_async(iterated_task(run, call_now, session), steps))
        ) as elements:
            async for element in elements:
                yield element

    def _begin_iteration(self, task: TaskFunction, call: Call, session: Session | None) -> tuple[TaskRun, Call, Steps]:
        run = self._new_task_run(task, session)
        failures = Failures()
        call_now = resolve_call(call, failures)
        if failures:
            return run, call_now, task_lifecycle.skipped_steps(run, failures, session)
        return run, call_now, task_lifecycle.task_steps(run, task.bind(call_now.args, call_now.kwargs), session)

    def _call_flow(self, flow: FlowFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        for future in upstream:
            future.wait()
        session = _open_session(flow, call)
        if isinstance(session, State):
            return _answer(session, call)
        with ended_by_signals(), _summarized(session):
            state = run_lifecycle(flow_lifecycle.flow_steps(session), FlowCall(session))
        return _answer(state, call)

    async def _call_async_flow(self, flow: FlowFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        await _await_all(upstream)
        session = _open_session(flow, call)
        if isinstance(session, State):
            return _answer(session, call)
        with ended_by_signals(), _summarized(session):
            state = await run_lifecycle_async(flow_lifecycle.flow_steps(session), AsyncFlowCall(session))
        return _answer(state, call)

    def _iterate_flow(self, flow: FlowFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        for future in upstream:
            future.wait()
        session = _open_session(flow, call)
        if isinstance(session, State):
            return _answer(session, call)
        return self._elements_of(session)

    def _elements_of(self, session: Session) -> Generator[Any, None, Any]:
        with _summarized(session):
            return (yield from iterate(iterated_flow(session), flow_lifecycle.flow_steps(session)))

    async def _iterate_async_flow(self, flow: FlowFunction, call: Call, upstream: list[Future[Any]]) -> Any:
        await _await_all(upstream)
        session = _open_session(flow, call)
        if isinstance(session, State):
            _answer(session, call)
            return
        steps = flow_lifecycle.flow_steps(session)
        with _summarized(session):
            async with contextlib.aclosing(cast("Any", iterate_async(iterated_flow(session), steps))) as elements:
                async for element in elements:
                    yield element

    def _new_task_run(self, task: TaskFunction, session: Session | None) -> TaskRun:
        index = next(self._counter) if session is None else session.next_index(task.key)
        tags = task.options.tags | TAGS.get()
        return TaskRun(
            task, run_id=_new_id(), index=index, tags=tags, flow_run=None if session is None else session.run
        )


def _open_session(flow: FlowFunction, call: Call) -> Session | State[Any]:
    """Return the session of a flow run; or its state, if an upstream run failed and it cannot start."""
    failures = Failures()
    call = resolve_call(call, failures)
    parameters = flow.bind(call.args, call.kwargs)
    if failures:
        state = task_lifecycle.upstream_failed_state(flow.name, failures)
        for future in failures.futures:
            future.task_run.mark_observed()
        return state
    parent = SESSION.get()
    log.set_up()
    if parent is not None:
        run_id, name = child_id(parent, flow.key, parameters), None
    else:
        run_id, name = resumed_run(flow.key, parameters) or (_new_id(), None)
    run = FlowRun(
        flow,
        run_id=run_id,
        name=name or f"{flow.name}-{run_id.hex[:6]}",
        parameters=parameters,
        tags=TAGS.get(),
        parent=None if parent is None else parent.run,
    )
    if name is None and flow.options.flow_run_name is not None:
        run.name = render_flow_run_name(flow.options.flow_run_name, run)
    logger_of(run).info("Started: flow %r, process %d, %s", flow.name, os.getpid(), _now())
    session = Session(run, parent)
    found = session.stored_result()
    if found is not None:
        logger_of(run).info("Cached: it completed before its caller was retried or resumed")
        return found
    return session


def _crash(run: TaskRun, session: Session | None, error: BaseException) -> None:
    """Finish a run if a signal arrived between two steps, where it is not caught."""
    if not run.state.is_final():
        run.enter_state(state_of_error(error, "Task run"))
        task_lifecycle.report_end(run, session)


@contextlib.contextmanager
def _summarized(session: Session) -> Any:
    """Log the summary of the run; also if a signal arrives between two steps, where it is not caught."""
    try:
        yield
    except BaseException as error:
        if not session.run.state.is_final():
            session.run.enter_state(state_of_error(error, "Flow run"))
            session.close()
        raise
    finally:
        summary.log_summary(session)


def _answer_of_task(state: State[Any], call: Call) -> Any:
    """As `_answer`, but a task that returns a state gives it to its caller, as in Prefect."""
    return state if state.is_returned else _answer(state, call)


def _answer(state: State[Any], call: Call) -> Any:
    error = state.data
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        # The process or an outer run is being terminated: pass it on.
        raise error
    return state if call.return_state else state.result()


async def _await_all(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        await future.wait_async()


def _new_id() -> UUID:
    return UUID(bytes=os.urandom(16), version=4)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


BACKEND: Final = LocalBackend()
atexit.register(BACKEND.wait_for_flowless_tasks)
