"""Compilation of Python flows to Flows, in which each task runs in its own Pod.

The function of the flow is called with symbols in place of params and results. The tasks that it calls become tasks of
the Flow, and the values that it passes between them become dependencies. Code that depends on data cannot be compiled:
it is refused with its line.
"""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.authoring.arguments.field_default import is_field
from penstock.authoring.compilation.manifest import container_of, flow_name, hooks_task, outputs_of, pod_task, tasks_of
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.output import CompileWarning
from penstock.authoring.compilation.params import FlowParam, read_params
from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.compilation.program.helper_functions import HelperFunctions
from penstock.authoring.compilation.program.import_path import source_of
from penstock.authoring.compilation.program.one_pod import is_one_pod
from penstock.authoring.compilation.program.rewriting import computed_defaults
from penstock.authoring.compilation.refusal import compile_errors
from penstock.authoring.compilation.retry import duration_text
from penstock.authoring.compilation.symbols import SettledParamError
from penstock.authoring.compilation.trace import MAX_NAME, Trace, task_label
from penstock.authoring.function import FlowFunction
from penstock.authoring.pods.pod_call import STORAGE

__all__ = ["CompileWarning", "compile_flow", "compile_flows", "flow_name"]

API_VERSION: Final = "penstock.dev/v1alpha1"
ANNOTATION_SOURCE: Final = "penstock.dev/python-flow"
"""`module:name` of the Python flow: of two flows with one name, the second must not replace the first."""
MAX_DESCRIPTION: Final = 1024
WORKSPACE: Final = "/workspace"


@compile_errors()
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
    """Compile a Python flow to a Flow.

    Args:
        flow: the flow.
        image: default image of tasks; it contains Python, penstock and, unless it is fetched, the code.
        storage: where big results are stored: `s3://bucket/prefix`, or a folder that all Pods share.
        name: name of the Flow; defaults to the name of the Python flow.
        namespace: its namespace.
        entrypoint: `module:name` by which Pods import the flow; determined if not given.
        env: environment variables of all tasks.

    Returns:
        The manifest, as plain data. Flows that it calls are separate Flows: see `compile_flows`.

    Raises:
        CompileError: the flow depends on values that are known at run time only, or uses what a Flow does not support.
    """
    return _compile(flow, image, storage, name, namespace, entrypoint, env)[0]


@compile_errors()
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
    """Compile a Python flow and each flow that it calls. Arguments and errors are those of `compile_flow`.

    Returns:
        The manifests, as plain data; the one of the flow itself is last.
    """
    manifest, pending = _compile(flow, image, storage, name, namespace, entrypoint, env)
    made: dict[str, tuple[FlowFunction, dict[str, Any]]] = {flow_name(flow): (flow, manifest)}
    while pending:
        node = pending.pop()
        child = node.flow
        assert child is not None
        known, _ = made.get(flow_name(child), (child, {}))
        if known.fn is not child.fn:
            names = " and ".join(sorted({repr(known.name), repr(child.name)}))
            raise _location_of(child).compile_error(
                f"two flows become the Flow {flow_name(child)!r}: {names}",
                "rename one of them: capitals, spaces and underscores do not distinguish Flows",
            )
        if flow_name(child) not in made:
            compiled, further = _compile(child, image, storage, None, namespace, None, env)
            made[flow_name(child)] = child, compiled
            pending += further
        _check_params(node, made[flow_name(child)][1])
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
) -> tuple[dict[str, Any], list[Node]]:
    location = _location_of(flow)
    _check_options(flow, location)
    source = entrypoint or source_of(flow, location)
    body = _in_one_pod(flow, location, source) if is_one_pod(flow) else _in_tasks(flow, location, source, storage)
    _warn_of_computed_defaults(flow, body.params, location)
    fields: dict[str, Any] = {
        "description": (flow.options.description or "")[:MAX_DESCRIPTION],
        "params": [param.manifest for param in body.params.values()],
        "defaults": _defaults(flow, image, storage, env),
        "tasks": body.tasks,
        "finally": body.final,
        "outputs": body.outputs,
        "timeout": body.timeout,
        # As in one process: tasks that do not depend on a failed task still run.
        "failurePolicy": "Continue",
        "workspace": flow.options.workspace and dict(flow.options.workspace),
    }
    metadata: dict[str, Any] = {"name": _checked_name(name or flow_name(flow), location)}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["annotations"] = {ANNOTATION_SOURCE: source}
    if flow.options.version is not None:
        metadata["annotations"]["penstock.dev/flow-version"] = flow.options.version
    spec = {field: value for field, value in fields.items() if value}
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": metadata, "spec": spec}, body.children


def _warn_of_computed_defaults(flow: FlowFunction, params: Mapping[str, FlowParam], location: CodeLocation) -> None:
    made = {
        name: f"the result of `{each.default.default_factory.__qualname__}`"
        for name, each in flow.signature.parameters.items()
        if is_field(each.default) and not isinstance(each.default.default_factory, type | None)
    }
    for name, computation in {**made, **computed_defaults(inspect.unwrap(flow.fn))}.items():
        default = params[name].manifest.get("default") if name in params else None
        if default is not None:
            warnings.warn(
                f"{location}: the default of param {name!r} of flow {flow.name!r} is {computation}, which is"
                f" computed when the flow is compiled: it is {default!r} in each run; use None, and compute"
                " it in a task",
                CompileWarning,
                stacklevel=2,
            )


class _Body(NamedTuple):
    """The parts of a Flow that come from the function of a flow."""

    params: dict[str, FlowParam]
    tasks: list[dict[str, Any]]
    final: list[dict[str, Any]]
    outputs: dict[str, Any] | None
    timeout: str | None
    children: list[Node]
    """The calls of flows that become separate Flows."""


def _in_one_pod(flow: FlowFunction, location: CodeLocation, source: str) -> _Body:
    params = read_params(flow, location)
    name = task_label(flow.name)
    task = pod_task(flow, location, name=name, source=source, params=params)
    outputs = {
        "result": f"$(tasks.{name}.outputs.?result.orValue(null))",
        "tasks": f"$(tasks.{name}.outputs.?tasks.orValue({{}}))",
    }
    return _Body(params, [task], [], outputs, None, [])


def _in_tasks(flow: FlowFunction, location: CodeLocation, source: str, storage: str | None) -> _Body:
    trace = _traced(flow, location, storage)
    # First, because it marks the nodes whose results are returned.
    outputs = outputs_of(trace)
    tasks = tasks_of(trace, flow_source=source)
    hooks = hooks_task(flow, location, name=trace.unique_name("hooks"), source=source)
    children = [node for node in trace.nodes if node.flow is not None and not is_one_pod(node.flow)]
    timeout = None if flow.options.timeout_s is None else duration_text(flow.options.timeout_s)
    return _Body(trace.params, tasks, [] if hooks is None else [hooks], outputs, timeout, children)


def _traced(flow: FlowFunction, location: CodeLocation, storage: str | None) -> Trace:
    functions = HelperFunctions(flow)
    is_storage_of_run = flow.options.workspace is not None and not (storage or flow.options.storage)
    settled: dict[str, CodeLocation] = {}
    while True:
        trace = Trace(flow, location, functions, is_storage_of_run=is_storage_of_run, settled=settled)
        try:
            trace.call_flow_function()
            break
        except SettledParamError as found:
            settled[found.name] = found.location
    again = Trace(flow, location, functions, settled=settled)
    again.call_flow_function()
    for name, where in settled.items():
        warnings.warn(
            f"{where}: param {name!r} of flow {flow.name!r} is needed while the flow is compiled, so it is always its"
            " default, and runs cannot set it: use .map() or a task if they should",
            CompileWarning,
            stacklevel=2,
        )
    for one, other in itertools.zip_longest(trace.nodes, again.nodes):
        if one is None or other is None or one.comparable() != other.comparable():
            node = one or other
            raise node.location.compile_error(
                f"the call of {node.name!r} differs between two calls of flow {flow.name!r}: its function depends on"
                " the time or on chance",
                "do that in a task, or make it a param",
            )
    if not trace.nodes:
        raise location.compile_error(
            f"flow {flow.name!r} calls no task, so there is nothing to run",
            "call tasks in it, or run it in one container with @flow(run_as='pod')",
        )
    return trace


def _check_params(node: Node, child: dict[str, Any]) -> None:
    """Refuse params of a child run that its Flow does not have."""
    known = {param["name"] for param in child["spec"].get("params", ())}
    for name in node.params:
        if name not in known:
            raise node.location.compile_error(
                f"the param {name!r} of flow {node.name!r} is fixed to its default when it is compiled",
                "omit it; or use .map() in that flow instead of a loop over it",
            )


def _defaults(
    flow: FlowFunction, image: str | None, storage: str | None, env: Mapping[str, str] | None
) -> dict[str, Any]:
    defaults = container_of(flow.options)
    if image is not None:
        defaults["image"] = image
    variables = {**(flow.options.env or {}), **(env or {})} if not is_one_pod(flow) else dict(env or {})
    where = storage or flow.options.storage
    if where is None and flow.options.workspace is not None:
        where = f"{flow.options.workspace.get('mountPath', WORKSPACE)}/.penstock"
    if where is not None:
        variables[STORAGE] = where
    if variables:
        defaults["env"] = [{"name": key, "value": value} for key, value in variables.items()]
    return defaults


def _check_options(flow: FlowFunction, location: CodeLocation) -> None:
    """Refuse options that a Flow does not support."""
    options = flow.options
    if is_one_pod(flow):
        return
    if options.flow_run_name is not None:
        raise location.compile_error(
            f"flow_run_name of flow {flow.name!r} is not supported, because the run has its name before its function is"
            " called",
            "omit it, and name a run when you create it, with `penstock run --name`; or run the flow in one container"
            " with @flow(run_as='pod')",
        )
    if flow.is_generator:
        raise location.compile_error(
            f"flow {flow.name!r} is a generator, whose elements are made one by one in one process",
            "return a list, or run it in one container with @flow(run_as='pod')",
        )
    if options.retries:
        raise location.compile_error(
            f"retries={options.retries} of flow {flow.name!r} is not supported, because its function does not run in a"
            " Pod",
            "set retries on the tasks, use `penstock retry`, or run it in one container with @flow(run_as='pod')",
        )
    if options.on_running:
        raise location.compile_error(
            f"on_running of flow {flow.name!r} is not supported, because its function does not run in a Pod",
            "do it in a first task, or run it in one container with @flow(run_as='pod')",
        )


def _checked_name(name: str, location: CodeLocation) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) or len(name) > MAX_NAME:
        raise location.compile_error(
            f"invalid name of a Flow: {name!r}", f"use lower-case letters, digits and hyphens: {task_label(name)}"
        )
    return name


def _location_of(flow: FlowFunction) -> CodeLocation:
    code = inspect.unwrap(flow.fn).__code__
    return CodeLocation(code.co_filename, code.co_firstlineno)
