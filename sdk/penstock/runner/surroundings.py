"""What a call is surrounded by in its Pod: the run that it belongs to, and the flow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from penstock.authoring import entrypoint
from penstock.authoring.call import ATTEMPT
from penstock.authoring.flow import Flow
from penstock.authoring.function import Decorated
from penstock.authoring.option_reader import read_flow_options
from penstock.authoring.runs import FlowRun
from penstock.authoring.states import Running


def find(source: str) -> Any:
    """Return what `module:name` names, and a static method without its class.

    Raises:
        CommandError: there is no such thing in this image.
        Exception: that of the module.
    """
    module, _, name = source.partition(":")
    found = entrypoint.find(entrypoint.import_module(module), name)
    return found.__func__ if isinstance(found, staticmethod) else found


def find_flow(source: str) -> Flow[..., Any]:
    """Return a flow, or make one of the function that is there. Raises as `find`."""
    found = find(source)
    if isinstance(found, Flow):
        return found
    fn = found.fn if isinstance(found, Decorated) else found
    return Flow[..., Any](fn, read_flow_options(fn, {}))


def flow_run_of(call: Mapping[str, Any], values: Sequence[Any], flow: Flow[..., Any]) -> FlowRun:
    """Return the run in the cluster, as code inside of it sees it."""
    name, uid = (str(values[slot]) for slot in call["run"])
    run = FlowRun(flow, run_id=uuid_of(uid), name=name, parameters={}, tags=frozenset(), parent=None)
    run.run_count = 1
    run.enter(Running())
    return run


def uuid_of(text: str) -> UUID:
    """Return an id as a UUID, or one that follows from it."""
    try:
        return UUID(text)
    except ValueError:
        import hashlib  # noqa: PLC0415 - ids of runs are UUIDs

        return UUID(hashlib.sha256(text.encode()).hexdigest()[:32], version=4)


def attempt() -> int:
    """Return the number of the attempt, from 1."""
    return int(os.environ.get(ATTEMPT, "1"))
