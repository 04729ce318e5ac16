"""A whole flow in one Pod: `@flow(run_as="pod")`. It runs as in any process; its outputs count its task runs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from penstock.authoring.flow import Flow
from penstock.authoring.options.serializers import base_name
from penstock.authoring.pods.pod_call import EXIT_FAILED, EXIT_NOT_AGAIN
from penstock.errors import ResultError
from penstock.local.interruption.signals import TerminatedError
from penstock.local.session import SESSION, Session
from penstock.runner.arguments import Decoder
from penstock.runner.closing_line import closing_line
from penstock.runner.results import MAX_OUTPUTS_BYTES, encode, size
from penstock.runner.run_context import find_flow
from penstock.runner.storage import storage

EXIT_OK: Final = 0


def run_flow(call: Mapping[str, Any], values: Sequence[Any]) -> tuple[int, dict[str, Any] | None]:
    """Run a flow.

    Args:
        call: the call.
        values: the values of its slots.

    Returns:
        The container's exit code, and the outputs if the flow completed.

    Raises:
        PenstockError: the code was not found, or arguments or results cannot be read or stored.
    """
    name, uid = (str(values[slot]) for slot in call["run"])
    decoder = Decoder(values, uid, lambda: find_flow(call["of"]))
    parameters = {key: decoder.decode_template(template) for key, template in call["arguments"].items()}
    sessions: list[Session] = []
    flow = _watched(find_flow(call["flow"]), name, sessions)
    args, kwargs = flow.call_arguments(parameters)
    try:
        state = flow(*args, return_state=True, **kwargs)
        if flow.is_async:
            import asyncio  # noqa: PLC0415 - needed for coroutines only

            state = asyncio.run(state)
    except TerminatedError as ended:
        return int(ended.code or EXIT_FAILED), None
    except SystemExit as ended:
        print(closing_line(ended), file=sys.stderr, flush=True)
        return EXIT_NOT_AGAIN, None
    if not state.is_completed():
        # The last line of the log is the message of the failure.
        error = state.data
        print(closing_line(error) if isinstance(error, Exception) else state.message, file=sys.stderr, flush=True)
        return EXIT_FAILED, None
    outputs = encode(
        state.data, serializer=base_name(flow.options.result_serializer), storage=storage(), who=f"flow {flow.name!r}"
    )
    if "plain_for" in call and outputs.keys() - {"result"}:
        raise ResultError(
            f"{call['plain_for']} must be plain JSON that fits into outputs, but {flow.name!r} returned something else"
        )
    return EXIT_OK, outputs | _summary(sessions, MAX_OUTPUTS_BYTES - size(outputs))


def _watched(flow: Flow[..., Any], name: str, sessions: list[Session]) -> Flow[..., Any]:
    """Return the flow with a function that adds its session to `sessions`, and the name of the run if it has none."""
    fn = flow.fn

    def note() -> None:
        session = SESSION.get()
        assert session is not None
        sessions[:] = [session]

    if flow.is_async:

        @functools.wraps(fn)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            note()
            returned = fn(*args, **kwargs)
            return [each async for each in returned] if flow.is_generator else await returned
    else:

        @functools.wraps(fn)
        def watched(*args: Any, **kwargs: Any) -> Any:
            note()
            returned = fn(*args, **kwargs)
            return list(returned) if flow.is_generator else returned

    options = flow.options
    if options.flow_run_name is None:
        options = replace(options, flow_run_name=name.replace("{", "{{").replace("}", "}}"))
    return Flow[..., Any](watched, options)


def _summary(sessions: list[Session], left_bytes: int) -> dict[str, Any]:
    """Return the counts of task runs by state, for as many tasks as fit."""
    if not sessions:
        return {}
    rows = sessions[0].tally.task_rows(sessions[0].run.flow_name)
    tasks: dict[str, Any] = {}
    for position, row in enumerate(rows):
        extended = {**tasks, row.name: dict(row.states)}
        left = len(rows) - position - 1
        if size({"tasks": {**extended, "(others)": left}}) > left_bytes:
            return {"tasks": {**tasks, "(others)": left + 1}} if tasks else {}
        tasks = extended
    return {"tasks": tasks} if tasks else {}
