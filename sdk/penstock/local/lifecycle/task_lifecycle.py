"""The life cycle of a task run: attempts, retries, stored results and hooks.

It decides which steps follow; `lifecycle_step` runs them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

from penstock.authoring.arguments.argument_futures import Failures
from penstock.authoring.loggers import TASK_LOGGER
from penstock.authoring.options.options import Hook
from penstock.authoring.options.retry_delays import retry_delay_s
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.context_attributes import is_result_kept
from penstock.authoring.runs.runs import TaskRun
from penstock.authoring.runs.states import CACHED, Completed, Retrying, Running, Skipped, State
from penstock.authoring.transactions import TRANSACTION, Transaction
from penstock.errors import ResultError, UpstreamFailedError
from penstock.local.lifecycle.final_state import describe, state_of_error, state_of_task_return
from penstock.local.lifecycle.lifecycle_step import Attempt, Invoke, Outcome, Sleep, Step, Steps
from penstock.local.lifecycle.run_name import render_run_name

if TYPE_CHECKING:
    from penstock.local.lifecycle.persistence import Persistence
    from penstock.local.session import Session

MAX_LINES: Final = 20
"""How many runs of a task with the same final state are logged one by one; more would hide other lines."""
_ATTEMPT: Final = Attempt()


def task_steps(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Steps:
    """Yield the steps of a task run, up to its final state.

    Args:
        run: the run, which is pending.
        parameters: its arguments by name, resolved.
        session: the session of its flow run, if there is one.

    Yields:
        The steps.

    Returns:
        The final state.
    """
    options = run.task.options
    run.parameters = parameters
    prepared = _prepare(run, parameters, session)
    if isinstance(prepared, State):
        return (yield from _finish(run, prepared, session))
    persistence = prepared
    while True:
        run.run_count += 1
        if run.run_count == 1:
            run.began_time = time.time()
        run.enter_state(Running())
        if options.on_running and (ended_by := (yield from call_hooks(options.on_running, run.task, run, run.state))):
            state = state_of_error(ended_by, "Task run")
            break
        outcome = yield _ATTEMPT if persistence is None else Attempt(is_kept=True)
        assert outcome is not None
        state = _state_of(outcome, persistence, run)
        if not (state.is_failed() and run.run_count <= options.retries):
            break
        if options.retry_condition_fn is not None and not (yield from _is_retry_wanted(run, state)):
            break
        slept = yield from _wait_for_retry(run, state, session)
        if slept.error is not None:
            state = state_of_error(slept.error, "Task run")
            break
    return (yield from _finish(run, state, session))


def _prepare(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Persistence | State[Any] | None:
    """Name the run and return where its result is stored; or its final state, if it needs no attempt."""
    try:
        if run.task.options.task_run_name is not None:
            run.name = render_run_name("task_run_name", run.task.options.task_run_name, run)
        if not is_result_kept(run):
            return None
        from penstock.local.lifecycle.persistence import persistence_of  # noqa: PLC0415 - most tasks store nothing

        persistence = persistence_of(run, parameters, session)
    except Exception as error:  # noqa: BLE001 - functions of the user compute the name and the key
        return state_of_error(error, "Task run")
    if persistence is not None and persistence.is_reusable:
        found = persistence.stored.read_result()
        if found is not None:
            return Completed(name=CACHED, data=found.value)
    return persistence


def skipped_steps(run: TaskRun, failures: Failures, session: Session | None) -> Steps:
    """Yield the steps of a task run that cannot start, because an upstream run did not complete.

    Yields:
        The steps.

    Returns:
        The final state.
    """
    run.upstream_failures = tuple(future.task_run for future in failures.futures)
    return (yield from _finish(run, upstream_failed_state(run.name, failures), session))


def upstream_failed_state(name: str, failures: Failures) -> State[Any]:
    """Return the state of a run that did not start, because an upstream run did not complete."""
    if failures.futures:
        upstream = failures.futures[0].task_run
        reason, cause = f"task run {upstream.name!r} is {upstream.state.name}", upstream.state.exception()
    else:
        reason, cause = f"a state among its arguments is {failures.states[0].name}", failures.states[0].exception()
    if isinstance(cause, UpstreamFailedError) and isinstance(cause.__cause__, UpstreamFailedError):
        # Of a chain of skipped runs, the first one says enough.
        cause = cause.__cause__
    error = UpstreamFailedError(f"{name!r} did not start: {reason}" + (f" ({describe(cause)})" if cause else ""))
    error.__cause__ = cause
    return Skipped(message=f"UpstreamFailed: {reason}", data=error)


def call_hooks(
    hooks: tuple[Hook, ...], subject: Any, run: Any, state: State[Any]
) -> Generator[Step, Outcome | None, BaseException | None]:
    """Call hooks in order. An exception of a hook is logged and has no other effect.

    Yields:
        The hooks.

    Returns:
        The exception that terminates the process, if it was raised while a hook ran.
    """
    for hook in hooks:
        outcome = yield Invoke(hook, (subject, run, state))
        error = None if outcome is None else outcome.error
        if error is not None:
            if not isinstance(error, Exception):
                return error
            name = getattr(hook, "__name__", repr(hook))
            logger_of(run).error("Hook %r raised %s", name, describe(error), exc_info=error)
    return None


def _state_of(outcome: Outcome, persistence: Persistence | None, run: TaskRun) -> State[Any]:
    if outcome.error is not None:
        return state_of_error(outcome.error, "Task run")
    state = state_of_task_return(outcome.value)
    if persistence is not None and state.is_completed():
        try:
            persistence.stored.write_result(state.data, expiration_s=run.task.options.cache_expiration_s)
        except ResultError as error:
            logger_of(run).warning("%s", error)
    return state


def _is_retry_wanted(run: TaskRun, state: State[Any]) -> Generator[Step, Outcome | None, bool]:
    condition = run.task.options.retry_condition_fn
    assert condition is not None
    answer = yield Invoke(condition, (run.task, run, state))
    assert answer is not None
    if answer.error is not None:
        logger_of(run).error("retry_condition_fn raised %s: no retry", describe(answer.error), exc_info=answer.error)
        return False
    return bool(answer.value)


def _wait_for_retry(
    run: TaskRun, state: State[Any], session: Session | None
) -> Generator[Step, Outcome | None, Outcome]:
    options = run.task.options
    delay_s = retry_delay_s(
        options.retry_delays_s,
        jitter=options.retry_jitter,
        run_id=str(run.id if session is None else session.run.id),
        name=run.task.name,
        index=run.index,
        attempt=run.run_count,
    )
    run.enter_state(Retrying(message=state.message))
    logger_of(run).warning(
        "%s; attempt %d of %d in %.3g s", state.message, run.run_count + 1, options.retries + 1, delay_s
    )
    return (yield Sleep(delay_s)) or Outcome()


def _finish(run: TaskRun, state: State[Any], session: Session | None) -> Steps:
    run.enter_state(state)
    options = run.task.options
    if state.is_completed() and (options.on_commit or options.on_rollback):
        around = TRANSACTION.get()
        transaction = around or Transaction()
        transaction.add_ended(run)
        if around is None:
            transaction.commit()
    report_end(run, session)
    hooks = options.on_completion if state.is_completed() else options.on_failure if state.is_failed() else ()
    if hooks and (ended_by := (yield from call_hooks(hooks, run.task, run, state))):
        raise ended_by
    return run.state


def report_end(run: TaskRun, session: Session | None) -> None:
    """Log the final state of a task run, and count it."""
    state = run.state
    level = logging.INFO
    is_last_line = False
    if session is not None:
        count = session.tally.count_run(
            flow=session.run.flow_name,
            task=run.task.name,
            state=state.name,
            attempts=run.run_count,
            duration_s=time.time() - run.began_time,
        )
        is_last_line = count == MAX_LINES
        if count > MAX_LINES:
            level = logging.DEBUG
    if level == logging.INFO and not state.is_completed():
        level = logging.WARNING if state.is_skipped() or state.is_cancelled() else logging.ERROR
    if not TASK_LOGGER.isEnabledFor(level):
        return
    error = state.data if isinstance(state.data, Exception) and state.is_failed() else None
    logger_of(run, state_name=state.name).log(
        level, "%s", state.name if state.message is None else f"{state.name}: {state.message}", exc_info=error
    )
    if is_last_line:
        TASK_LOGGER.info("Further runs of task %r that are %s are logged at level DEBUG", run.task.name, state.name)
