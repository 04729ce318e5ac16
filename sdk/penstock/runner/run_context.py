"""The context of a call in its Pod: its flow, flow run and attempt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from penstock.authoring.flow import Flow
from penstock.authoring.function import Decorated
from penstock.authoring.options.option_reader import read_flow_options
from penstock.authoring.pods import entrypoint
from penstock.authoring.pods.pod_call import ATTEMPT
from penstock.authoring.runs.runs import FlowRun
from penstock.authoring.runs.states import Running


def find_object(source: str) -> Any:
    """Import and return the object of `module:name`; for a static method, its function.

    Raises:
        CommandError: it does not exist in this image.
        Exception: raised by the module when it is imported.
    """
    module, _, name = source.partition(":")
    found = entrypoint.find(entrypoint.import_module(module), name)
    return found.__func__ if isinstance(found, staticmethod) else found


def find_flow(source: str) -> Flow[..., Any]:
    """Return a flow, or a flow of the function with that name. Raises as `find_object`."""
    found = find_object(source)
    if isinstance(found, Flow):
        return found
    fn = found.fn if isinstance(found, Decorated) else found
    return Flow[..., Any](fn, read_flow_options(fn, {}))


def flow_run_of(call: Mapping[str, Any], values: Sequence[Any], flow: Flow[..., Any]) -> FlowRun:
    """Return the run in the cluster as a FlowRun."""
    name, uid = (str(values[slot]) for slot in call["run"])
    run = FlowRun(flow, run_id=uuid_of(uid), name=name, parameters={}, tags=frozenset(), parent=None)
    run.run_count = 1
    run.enter_state(Running())
    return run


def uuid_of(text: str) -> UUID:
    """Return an id as a UUID; another text gives a UUID that is derived from it."""
    try:
        return UUID(text)
    except ValueError:
        import hashlib  # noqa: PLC0415 - ids of runs are UUIDs

        return UUID(hashlib.sha256(text.encode()).hexdigest()[:32], version=4)


def attempt() -> int:
    """Return the number of the attempt, from 1."""
    return int(os.environ.get(ATTEMPT, "1"))
