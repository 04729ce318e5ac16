"""The life cycle of a flow run: parameters, attempts, retries, and the end of its tasks.

It decides which steps follow; `lifecycle_step` runs them.
"""

from __future__ import annotations

from typing import Any

from penstock.authoring.options.options import Hook
from penstock.authoring.options.retry_delays import retry_delay_s
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.states import Failed, Retrying, Running, State
from penstock.errors import ParameterError
from penstock.local.interruption.deadline import OverdueError
from penstock.local.lifecycle.final_state import describe, state_of_error, state_of_flow_return
from penstock.local.lifecycle.lifecycle_step import Attempt, Ending, EndTasks, Outcome, Sleep, Steps
from penstock.local.lifecycle.task_lifecycle import call_hooks
from penstock.local.lifecycle.validation import validate_parameters
from penstock.local.session import Session


def flow_steps(session: Session) -> Steps:
    """Yield the steps of a flow run, up to its final state.

    Args:
        session: the session of the run, which is pending.

    Yields:
        The steps.

    Returns:
        The final state.
    """
    run = session.run
    options = run.flow.options
    if options.validate_parameters:
        try:
            run.parameters = validate_parameters(run.flow, run.parameters)
        except ParameterError as error:
            return (yield from _finish(session, Failed(message=str(error), data=error)))
    while True:
        run.run_count += 1
        session.begin_attempt()
        run.enter_state(Running())
        outcome: Outcome | None = None
        if options.on_running and (ended_by := (yield from call_hooks(options.on_running, run.flow, run, run.state))):
            outcome = Outcome(error=ended_by)
        outcome = outcome or (yield Attempt())
        assert outcome is not None
        ended = yield EndTasks(_ending_after(outcome.error))
        if ended is not None and ended.error is not None:
            outcome = Outcome(error=ended.error)
            yield EndTasks(Ending.STOP)
        state = _state_of(outcome)
        if not (state.is_failed() and run.run_count <= options.retries):
            break
        delay_s = retry_delay_s(
            options.retry_delays_s, jitter=0, run_id=str(run.id), name=run.flow_name, index=None, attempt=run.run_count
        )
        run.enter_state(Retrying(message=state.message))
        logger_of(run).warning(
            "%s; attempt %d of %d in %.3g s", state.message, run.run_count + 1, options.retries + 1, delay_s
        )
        slept = yield Sleep(delay_s)
        if slept is not None and slept.error is not None:
            state = state_of_error(slept.error, "Flow run")
            break
    return (yield from _finish(session, state))


def _ending_after(error: BaseException | None) -> Ending:
    if error is None:
        return Ending.WAIT
    return Ending.DRAIN if isinstance(error, Exception) and not isinstance(error, OverdueError) else Ending.STOP


def _state_of(outcome: Outcome) -> State[Any]:
    if outcome.error is not None:
        return state_of_error(outcome.error, "Flow run")
    return state_of_flow_return(outcome.value)


def _finish(session: Session, state: State[Any]) -> Steps:
    run, options = session.run, session.run.flow.options
    run.enter_state(state)
    _warn_of_failures(session)
    session.store_result(state)
    session.close()
    hooks: tuple[Hook, ...] = ()
    if state.is_completed():
        hooks = options.on_completion
    elif state.is_failed():
        hooks = options.on_failure
    elif state.is_crashed():
        hooks = options.on_crashed
    elif state.is_cancelled():
        hooks = options.on_cancellation
    if hooks and (ended_by := (yield from call_hooks(hooks, run.flow, run, state))):
        raise ended_by
    return state


def _warn_of_failures(session: Session) -> None:
    """Warn of failed task runs whose results the flow did not read: it may be Completed in spite of them."""
    unseen = [run for run in session.failures if not run.is_observed and not run.upstream_failures]
    if not unseen or not session.run.state.is_completed():
        return
    shown = ", ".join(
        f"{run.name} ({run.state.name}{_why(run.state)})" for run in sorted(unseen, key=lambda run: run.name)[:5]
    )
    more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""  # noqa: PLR2004 - as many as are shown
    logger_of(session.run).warning(
        "%d task run%s did not complete, and the flow did not check: %s%s. The flow is Completed nevertheless;"
        " call result() on the futures, or return them, to make it fail",
        len(unseen),
        "" if len(unseen) == 1 else "s",
        shown,
        more,
    )


def _why(state: State[Any]) -> str:
    return f": {describe(state.data)}" if isinstance(state.data, BaseException) else ""
