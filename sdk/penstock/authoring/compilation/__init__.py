"""Compiling: a Python flow becomes a Flow, each of whose tasks is a Pod of its own.

The flow's function is called once, with symbols in the place of params and results. What it calls becomes tasks, what
it hands on becomes dependencies. What depends on data can't be told so, and is refused with its line.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from penstock.authoring.call import STORAGE
from penstock.authoring.compilation.identity import check_identity
from penstock.authoring.compilation.manifest import container_of, flow_name, hooks_task, outputs_of, pod_task, tasks_of
from penstock.authoring.compilation.params import FlowParam, read_params
from penstock.authoring.compilation.place import Place
from penstock.authoring.compilation.retry import duration
from penstock.authoring.compilation.source import source_of
from penstock.authoring.compilation.trace import MAX_NAME, CompileWarning, Trace, label
from penstock.authoring.function import FlowFunction

__all__ = ["CompileWarning", "compile_flow", "compile_flows", "flow_name"]

API_VERSION: Final = "penstock.dev/v1alpha1"
MAX_DESCRIPTION: Final = 1024
WORKSPACE: Final = "/workspace"


def compile_flow(
    flow: FlowFunction,
    *,
    image: str | None = None,
    storage: str | None = None,
    name: str | None = None,
    namespace: str | None = None,
    entrypoint: str | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make a Flow of a Python flow.

    Args:
        flow: the flow.
        image: image of the tasks that name none; it holds Python, penstock and, unless it comes otherwise, the code.
        storage: where big results go: `s3://bucket/prefix`, or a folder that all Pods share.
        name: name of the Flow; that of the Python flow if not given.
        namespace: its namespace.
        entrypoint: `module:name` under which Pods find the flow; found out if not given.
        env: environment variables of all tasks.

    Returns:
        The manifest, as plain data. Flows that it calls are Flows of their own: `compile_flows` makes those too.

    Raises:
        CompileError: the flow needs what only a run knows, or says what a Flow has no words for.
    """
    return _compile(flow, image, storage, name, namespace, entrypoint, env)[0]


def compile_flows(
    flow: FlowFunction,
    *,
    image: str | None = None,
    storage: str | None = None,
    name: str | None = None,
    namespace: str | None = None,
    entrypoint: str | None = None,
    env: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Make a Flow of a Python flow and of each flow that it calls. Arguments and errors as for `compile_flow`.

    Returns:
        The manifests, as plain data; the flow's own is the last.
    """
    manifest, pending = _compile(flow, image, storage, name, namespace, entrypoint, env)
    made: dict[str, tuple[FlowFunction, dict[str, Any]]] = {flow_name(flow): (flow, manifest)}
    while pending:
        child = pending.pop()
        known, _ = made.get(flow_name(child), (child, {}))
        if known.fn is not child.fn:
            raise _place(child).refuse(f"two flows are called {child.name!r}", "give one of them another name")
        if flow_name(child) not in made:
            compiled, further = _compile(child, image, storage, None, namespace, None, env)
            made[flow_name(child)] = child, compiled
            pending += further
    own, *others = [each for _, each in made.values()]
    return [*others, own]


def _compile(
    flow: FlowFunction,
    image: str | None,
    storage: str | None,
    name: str | None,
    namespace: str | None,
    entrypoint: str | None,
    env: Mapping[str, str] | None,
) -> tuple[dict[str, Any], list[FlowFunction]]:
    place = _place(flow)
    _check_options(flow, place)
    source = entrypoint or source_of(flow, place)
    body = _in_one_pod(flow, place, source) if flow.options.run_as == "pod" else _in_tasks(flow, place, source, storage)
    fields: dict[str, Any] = {
        "description": (flow.options.description or "")[:MAX_DESCRIPTION],
        "params": [param.manifest for param in body.params.values()],
        "defaults": _defaults(flow, image, storage, env),
        "tasks": body.tasks,
        "finally": body.final,
        "outputs": body.outputs,
        "timeout": body.timeout,
        # As in one process: what does not depend on a task that failed goes on.
        "failurePolicy": "Continue",
        "workspace": flow.options.workspace and dict(flow.options.workspace),
    }
    metadata: dict[str, Any] = {"name": _checked_name(name or flow_name(flow), place)}
    if namespace is not None:
        metadata["namespace"] = namespace
    if flow.options.version is not None:
        metadata["annotations"] = {"penstock.dev/flow-version": flow.options.version}
    spec = {field: value for field, value in fields.items() if value}
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": metadata, "spec": spec}, body.children


class _Body(NamedTuple):
    """What the function of a flow comes to."""

    params: dict[str, FlowParam]
    tasks: list[dict[str, Any]]
    final: list[dict[str, Any]]
    outputs: dict[str, Any] | None
    timeout: str | None
    children: list[FlowFunction]
    """The flows that it calls, which are Flows of their own."""


def _in_one_pod(flow: FlowFunction, place: Place, source: str) -> _Body:
    params = read_params(flow, place)
    name = label(flow.name)
    task = pod_task(flow, place, name=name, source=source, params=params)
    outputs = {
        "result": f"$(tasks.{name}.outputs.?result.orValue(null))",
        "tasks": f"$(tasks.{name}.outputs.?tasks.orValue({{}}))",
    }
    return _Body(params, [task], [], outputs, None, [])


def _in_tasks(flow: FlowFunction, place: Place, source: str, storage: str | None) -> _Body:
    trace = _traced(flow, place, storage)
    # What is returned is wanted, which the tasks then know.
    outputs = outputs_of(trace)
    tasks = tasks_of(trace, flow_source=source)
    hooks = hooks_task(flow, place, name=trace.unique("hooks"), source=source)
    children = [node.flow for node in trace.nodes if node.flow is not None and node.flow.options.run_as != "pod"]
    timeout = None if flow.options.timeout_s is None else duration(flow.options.timeout_s)
    return _Body(trace.params, tasks, [] if hooks is None else [hooks], outputs, timeout, children)


def _traced(flow: FlowFunction, place: Place, storage: str | None) -> Trace:
    check_identity(flow)
    is_storage_of_run = flow.options.workspace is not None and not (storage or flow.options.storage)
    trace, again = Trace(flow, place, is_storage_of_run=is_storage_of_run), Trace(flow, place)
    trace.run()
    again.run()
    for one, other in itertools.zip_longest(trace.nodes, again.nodes):
        if one is None or other is None or one.written() != other.written():
            node = one or other
            raise node.place.refuse(
                f"{node.name!r} is called otherwise each time that flow {flow.name!r} is called, for its function goes"
                " by the clock or by chance",
                "do that in a task, or take it as a param",
            )
    if not trace.nodes:
        raise place.refuse(
            f"flow {flow.name!r} calls no task, so there is nothing to run",
            "call tasks in it, or run it in one container with @flow(run_as='pod')",
        )
    return trace


def _defaults(
    flow: FlowFunction, image: str | None, storage: str | None, env: Mapping[str, str] | None
) -> dict[str, Any]:
    defaults = container_of(flow.options)
    if image is not None:
        defaults["image"] = image
    variables = {**(flow.options.env or {}), **(env or {})} if flow.options.run_as != "pod" else dict(env or {})
    where = storage or flow.options.storage
    if where is None and flow.options.workspace is not None:
        where = f"{flow.options.workspace.get('mountPath', WORKSPACE)}/.penstock"
    if where is not None:
        variables[STORAGE] = where
    if variables:
        defaults["env"] = [{"name": key, "value": value} for key, value in variables.items()]
    return defaults


def _check_options(flow: FlowFunction, place: Place) -> None:
    """Refuse what a Flow has no words for."""
    options = flow.options
    for problem, advice in _problems(flow):
        if problem:
            raise place.refuse(f"{problem} of flow {flow.name!r} has no counterpart in the cluster", advice)
    if options.run_as == "pod":
        return
    if options.retries:
        raise place.refuse(
            f"retries={options.retries} of flow {flow.name!r} would run its function again, which no Pod runs",
            "give the tasks retries, use `penstock retry`, or run it as one container with @flow(run_as='pod')",
        )
    if options.on_running:
        raise place.refuse(
            f"on_running of flow {flow.name!r} would be called as its function begins, which no Pod runs",
            "do it in a first task, or use @flow(run_as='pod')",
        )


def _problems(flow: FlowFunction) -> Iterator[tuple[str, str]]:
    if flow.options.flow_run_name is not None:
        yield "flow_run_name", "whoever creates a run names it: `penstock run --name`; leave it out here"


def _checked_name(name: str, place: Place) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) or len(name) > MAX_NAME:
        raise place.refuse(f"a Flow can't be called {name!r}", f"use small letters, digits and hyphens: {label(name)}")
    return name


def _place(flow: FlowFunction) -> Place:
    """Return where a flow's function stands."""
    code = inspect.unwrap(flow.fn).__code__
    return Place(code.co_filename, code.co_firstlineno)
