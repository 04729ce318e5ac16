"""One attempt of a task, in its Pod. Retries, timeouts and caches are the engine's."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from penstock.authoring.backend import Call
from penstock.authoring.function import Decorated
from penstock.authoring.options.option_reader import read_task_options
from penstock.authoring.pods.pod_call import EXIT_FAILED, EXIT_NOT_AGAIN, FAILURES
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import FLOW_RUN, TAGS, TaskRun
from penstock.authoring.runs.states import State
from penstock.authoring.task import Task
from penstock.errors import ResultError
from penstock.local.calls.task_call import AsyncTaskCall, TaskCall
from penstock.local.console import log
from penstock.local.interruption.signals import TerminatedError, ended_by_signals
from penstock.local.lifecycle import task_lifecycle
from penstock.local.lifecycle.lifecycle_step import run_lifecycle, run_lifecycle_async
from penstock.runner.arguments import Decoder, kept_place
from penstock.runner.closing_line import closing_line, is_long
from penstock.runner.json_values import compact
from penstock.runner.results import MAX_OUTPUTS_BYTES, encode, size
from penstock.runner.run_context import attempt, find_flow, find_object, flow_run_of
from penstock.runner.storage import storage

EXIT_OK: Final = 0
_SIZED: Final = (list, tuple, set, frozenset, range)
_ENGINE_OPTIONS: Final[Mapping[str, Any]] = {
    "retries": 0,
    "retry_condition_fn": None,
    "timeout_s": None,
    "cache_policy": None,
    "cache_key_fn": None,
    "refresh_cache": False,
    "persist_result": False,
}
"""Options that the engine implements, outside of the Pod."""


def run_task(call: Mapping[str, Any], values: Sequence[Any]) -> tuple[int, dict[str, Any] | None]:
    """Run a task once.

    Args:
        call: the call.
        values: the values of its slots.

    Returns:
        The container's exit code, and the outputs if the task completed.

    Raises:
        PenstockError: the code was not found, or arguments or results cannot be read or stored.
    """
    log.set_up()
    task = _task(call)
    flow = find_flow(call["of"])
    decoder = Decoder(values, str(values[call["run"][1]]), lambda: flow)
    decoder.check_lengths(call.get("lengths", ()))
    index = int(values[call["index"]]) if "index" in call else None
    parameters = {name: decoder.decode_template(template) for name, template in call["arguments"].items()}
    tags = frozenset(call.get("tags", ()))
    run = TaskRun(
        _for_one_attempt(task, call),
        run_id=UUID(bytes=os.urandom(16), version=4),
        index=index or 0,
        tags=tags,
        flow_run=flow_run_of(call, values, flow),
    )
    run.name = call["name"] if index is None else f"{call['name']}-{index}"
    run.run_count = attempt() - 1
    FLOW_RUN.set(run.flow_run)
    TAGS.set(tags)
    with ended_by_signals():
        state = _run_task_to_end(run, task.call_arguments(parameters))
    if state.is_completed():
        return EXIT_OK, _outputs(state.data, call, str(values[call["run"][1]]), index)
    code = _exit_code(state, task, run)
    error = state.data
    is_ended = isinstance(error, SystemExit) and not isinstance(error, TerminatedError)
    if is_ended or (isinstance(error, Exception) and is_long(error)):
        sys.stderr.write(f"{closing_line(error)}\n")
    return code, None


def _task(call: Mapping[str, Any]) -> Task[..., Any]:
    found = find_object(call["task"])
    if isinstance(found, Task):
        return found
    fn = found.fn if isinstance(found, Decorated) else found
    return Task[..., Any](fn, read_task_options(fn, {}))


def _for_one_attempt(task: Task[..., Any], call: Mapping[str, Any]) -> Task[..., Any]:
    changes: dict[str, Any] = {**_ENGINE_OPTIONS, "log_prints": call.get("log_prints")}
    # Empty if no attempt has failed: then the Pod does not have the annotation.
    if int(os.environ.get(FAILURES) or 0) < call.get("retries", 0):
        # Called after the last attempt only.
        changes["on_failure"] = ()
    return Task[..., Any](task.fn, replace(task.options, **changes))


def _run_task_to_end(run: TaskRun, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> State[Any]:
    call = Call(*arguments)
    if not run.task.is_async:
        performer = TaskCall(run, call, None, None, is_collected=True)
        return run_lifecycle(task_lifecycle.task_steps(run, performer.parameters, None), performer)
    import asyncio  # noqa: PLC0415 - needed for coroutines only

    async_performer = AsyncTaskCall(run, call, None, None, is_collected=True)
    return asyncio.run(
        run_lifecycle_async(task_lifecycle.task_steps(run, async_performer.parameters, None), async_performer)
    )


def _outputs(value: Any, call: Mapping[str, Any], run_id: str, index: int | None) -> dict[str, Any]:
    where = storage()
    outputs = encode(value, serializer=call.get("result_serializer"), storage=where, who=f"task {call['name']!r}")
    if "plain_for" in call and outputs.keys() - {"result"}:
        raise ResultError(
            f"{call['plain_for']} gets the result of task {call['name']!r}, which is not plain JSON that fits into"
            " outputs: pass such a value, or set run_as='pod' on that flow"
        )
    if call.get("counted"):
        if not isinstance(value, _SIZED):
            raise ResultError(
                f"task {call['name']!r} returned a {type(value).__name__}, but its result is mapped over: return a list"
            )
        outputs["count"] = len(value)
        if size(outputs) > MAX_OUTPUTS_BYTES:
            raise ResultError(f"the result of task {call['name']!r} uses all of the outputs: set a storage on the flow")
    if call.get("gathered") and where is not None and index is not None:
        where.write(kept_place(run_id, call["name"], index), compact(outputs).encode())
    return outputs


def _exit_code(state: State[Any], task: Task[..., Any], run: TaskRun) -> int:
    error = state.data
    if isinstance(error, TerminatedError):
        return int(error.code or EXIT_FAILED)
    if not state.is_failed():
        return EXIT_NOT_AGAIN
    condition = task.options.retry_condition_fn
    if condition is None:
        return EXIT_FAILED
    try:
        answer = condition(task, run, state)
        if inspect.isawaitable(answer):
            import asyncio  # noqa: PLC0415 - as above

            answer = asyncio.run(_awaited(answer))
    except Exception as raised:  # noqa: BLE001 - as in one process: no retry
        logger_of(run).error("retry_condition_fn raised %s: no retry", raised, exc_info=raised)
        return EXIT_NOT_AGAIN
    return EXIT_FAILED if answer else EXIT_NOT_AGAIN


async def _awaited(answer: Any) -> Any:
    return await answer
