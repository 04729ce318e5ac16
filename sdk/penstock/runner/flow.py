"""A whole flow in one Pod: `@flow(run_as="pod")`. It runs as in any process; its outputs tell of its tasks."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from penstock.authoring.call import EXIT_FAILED, EXIT_NOT_AGAIN
from penstock.authoring.flow import Flow
from penstock.errors import ResultError
from penstock.local.session import SESSION, Session
from penstock.local.signals import TerminatedError
from penstock.runner.arguments import Decoder
from penstock.runner.results import MAX_OUTPUTS_BYTES, encode, size
from penstock.runner.storage import storage
from penstock.runner.surroundings import find_flow

EXIT_OK: Final = 0


def run_flow(call: Mapping[str, Any], values: Sequence[Any]) -> tuple[int, dict[str, Any] | None]:
    """Run a flow.

    Args:
        call: the call.
        values: what is in its slots.

    Returns:
        The container's exit code, and the outputs if the flow completed.

    Raises:
        PenstockError: the code is not there, or arguments or results can't be had or kept.
    """
    name, uid = (str(values[slot]) for slot in call["run"])
    decoder = Decoder(values, uid, lambda: find_flow(call["of"]))
    parameters = {key: decoder.decode(template) for key, template in call["arguments"].items()}
    sessions: list[Session] = []
    flow = _watched(find_flow(call["flow"]), name, sessions)
    args, kwargs = flow.arguments(parameters)
    try:
        state = flow(*args, return_state=True, **kwargs)
        if flow.is_async:
            import asyncio  # noqa: PLC0415 - flows without coroutines don't pay for it

            state = asyncio.run(state)
    except TerminatedError as ended:
        return int(ended.code or EXIT_FAILED), None
    except SystemExit:
        return EXIT_NOT_AGAIN, None
    if not state.is_completed():
        return EXIT_FAILED, None
    outputs = encode(
        state.data, serializer=flow.options.result_serializer, storage=storage(), who=f"flow {flow.name!r}"
    )
    if "plain_for" in call and outputs.keys() - {"result"}:
        raise ResultError(
            f"{call['plain_for']} needs plain JSON that fits into outputs, and {flow.name!r} returned more"
        )
    return EXIT_OK, outputs | _summary(sessions, MAX_OUTPUTS_BYTES - size(outputs))


def _watched(flow: Flow[..., Any], name: str, sessions: list[Session]) -> Flow[..., Any]:
    """Return the flow under the run's name, whose function leaves its session where its tasks can be counted."""
    fn = flow.fn

    def note() -> None:
        session = SESSION.get()
        assert session is not None
        sessions[:] = [session]

    if flow.is_async:

        @functools.wraps(fn)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            note()
            return await fn(*args, **kwargs)
    else:

        @functools.wraps(fn)
        def watched(*args: Any, **kwargs: Any) -> Any:
            note()
            return fn(*args, **kwargs)

    options = replace(flow.options, flow_run_name=name.replace("{", "{{").replace("}", "}}"))
    return Flow[..., Any](watched, options)


def _summary(sessions: list[Session], room_bytes: int) -> dict[str, Any]:
    """Count the runs of each task by their states, as many tasks as there is room for."""
    if not sessions:
        return {}
    rows = sessions[0].tally.rows(sessions[0].run.flow_name)
    tasks: dict[str, Any] = {}
    for position, row in enumerate(rows):
        told = {**tasks, row.name: dict(row.states)}
        left = len(rows) - position - 1
        if size({"tasks": {**told, "(others)": left}}) > room_bytes:
            return {"tasks": {**tasks, "(others)": left + 1}} if tasks else {}
        tasks = told
    return {"tasks": tasks} if tasks else {}
