"""The Flow of a trace, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from penstock.authoring.compilation.arguments import escape
from penstock.authoring.compilation.caching import cache_field
from penstock.authoring.compilation.json_expressions import express_value
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.params import FlowParam
from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.compilation.program.import_path import source_of
from penstock.authoring.compilation.program.one_pod import is_one_pod
from penstock.authoring.compilation.retry import duration_text, retry_field
from penstock.authoring.compilation.trace import Trace, task_label
from penstock.authoring.function import FlowFunction
from penstock.authoring.limits import tag_limits
from penstock.authoring.options.options import FlowOptions, TaskOptions
from penstock.authoring.options.serializers import COMPRESSED, Serializer
from penstock.authoring.pods.pod_call import ATTEMPT, CALL, FAILURES, MARK, VALUES

COMMAND: Final = ["python", "-m", "penstock.runner"]
LABEL_ATTEMPT: Final = "penstock.dev/attempt"
ANNOTATION_FAILURES: Final = "penstock.dev/failures"
"""As in penstock.api.names, which is slow to import."""
MAX_EXPRESSION: Final = 4000
MAX_CALL: Final = 32768
"""Maximum length of an environment variable of a Flow, in characters."""
HOOKS: Final = {
    "on_completion": ("Completed",),
    "on_failure": ("Failed", "TimedOut"),
    "on_crashed": ("Crashed",),
    "on_cancellation": ("Cancelled",),
}
"""Hooks of a flow, and the states of a run for which they are called."""
FINISHED: Final = ["Completed", "Failed", "Cancelled", "Skipped"]
"""All final states of a task."""


def tasks_of(trace: Trace, *, flow_source: str) -> list[dict[str, Any]]:
    """Return the tasks of a traced flow.

    Raises:
        RefusedError: a task cannot be expressed in a Flow.
    """
    return [_task(node, trace.flow, flow_source) for node in trace.nodes]


def outputs_of(trace: Trace) -> dict[str, Any] | None:
    """Return the outputs of a traced flow: what its function returned, under the name `result`.

    Raises:
        RefusedError: the result cannot be expressed.
    """
    if trace.returned is None:
        return None
    what = f"what flow {trace.flow.name!r} returns"
    return {"result": express_value(trace.returned, lambda node: node.expect_success(), trace.location, what)}


def pod_task(
    flow: FlowFunction, location: CodeLocation, *, name: str, source: str, params: Mapping[str, FlowParam]
) -> dict[str, Any]:
    """Return the only task of a flow that runs in one container."""
    expressions = ["run.name", "run.uid", *(param.expression for param in params.values())]
    call = {
        "flow": source,
        "name": name,
        "run": [0, 1],
        # The flow itself converts them.
        "arguments": {param: {MARK: "value", "slot": slot} for slot, param in enumerate(params, start=2)},
    }
    return {
        "name": name,
        "command": list(COMMAND),
        "args": [source],
        "env": _env(call, expressions, flow.options.env, location),
    }


def hooks_task(flow: FlowFunction, location: CodeLocation, *, name: str, source: str) -> dict[str, Any] | None:
    """Return the finally task that calls a flow's hooks; None if it has none.

    Args:
        flow: the flow.
        location: where it stands.
        name: name of the finally task.
        source: where the Pod imports the flow from.
    """
    states = [state for hook, covered in HOOKS.items() if getattr(flow.options, hook) for state in covered]
    if not states:
        return None
    call = {"hooks": source, "name": name, "run": [0, 1], "state": 2}
    expressions = ["run.name", "run.uid", "run.state", "run.message", "run.failures"]
    return {
        "name": name,
        "when": f"run.state in {json.dumps(states)}",
        # The result of a hook does not affect the state of the run.
        "allowFailed": 1,
        "command": list(COMMAND),
        "args": [source],
        "env": _env(call, expressions, None, location),
    }


def _task(node: Node, flow: FlowFunction, flow_source: str) -> dict[str, Any]:
    task: dict[str, Any] = {"name": node.name}
    _add_dependencies(task, node)
    if node.is_tolerated:
        task["allowFailed"] = 1 if node.fan_out is None else "100%"
    if node.approval is not None:
        timeout_s = node.approval["timeout"]
        return {
            **task,
            "approval": {"message": _text(node.approval["message"]), "timeout": duration_text(timeout_s)},
        }
    if node.flow is not None and not is_one_pod(node.flow):
        return {**task, **_child(node, node.flow)}
    called = node.task or node.flow
    assert called is not None
    source = source_of(called, node.location)
    if node.fan_out is not None:
        task["forEach"] = node.fan_out.for_each
        if flow.options.max_workers is not None:
            task["maxParallel"] = min(flow.options.max_workers, 2000)
    cache = None if node.task is None else cache_field(node)
    if cache is not None:
        task["cache"] = cache
    env = _env(_call(node, flow, source, flow_source), node.slots.expressions, called.options.env, node.location)
    task |= {"command": list(COMMAND), "args": [source], "env": env}
    # A flow in one container handles its retries and timeout itself.
    if isinstance(called.options, TaskOptions):
        task |= _settings(called.options, node.location, f"task {called.name!r}")
        if called.options.retries:
            env += [_field(ATTEMPT, "labels", LABEL_ATTEMPT), _field(FAILURES, "annotations", ANNOTATION_FAILURES)]
    return task | container_of(called.options)


def _add_dependencies(task: dict[str, Any], node: Node) -> None:
    needed = [other.name for other, is_success_needed in node.needs.items() if is_success_needed]
    awaited = [other.name for other, is_success_needed in node.needs.items() if not is_success_needed]
    if needed:
        task["dependsOn"] = needed
    if awaited:
        task["dependsOnStates"] = [{"task": name, "states": list(FINISHED)} for name in awaited]


def _child(node: Node, flow: FlowFunction) -> dict[str, Any]:
    fields: dict[str, Any] = {"flow": {"name": flow_name(flow)}}
    if node.params:
        fields["flow"]["params"] = node.params
    return fields


def _call(node: Node, flow: FlowFunction, source: str, flow_source: str) -> dict[str, Any]:
    options = (node.task or node.flow).options  # type: ignore[union-attr]  # one of them is there
    call: dict[str, Any] = {"task" if node.task is not None else "flow": source, "name": node.name}
    call["of"] = flow_source
    call["run"] = [node.slots.add_expression("run.name"), node.slots.add_expression("run.uid")]
    if node.fan_out is not None:
        call["index"] = node.slots.add_expression("index")
    call["arguments"] = node.arguments
    if node.lengths:
        call["lengths"] = node.lengths
    if node.tags:
        _check_limits(node)
        call["tags"] = sorted(node.tags)
    if node.task is not None and node.task.options.retries:
        call["retries"] = node.task.options.retries
    log_prints = flow.options.log_prints if options.log_prints is None else options.log_prints
    if log_prints is not None:
        call["log_prints"] = log_prints
    if (serializer := options.result_serializer or flow.options.result_serializer) is not None:
        call["result_serializer"] = _serializer_name(serializer, node)
    for name, flag in (("gathered", node.is_gathered), ("counted", node.is_counted)):
        if flag:
            call[name] = True
    if node.plain_for is not None:
        call["plain_for"] = node.plain_for
    return call


def _check_limits(node: Node) -> None:
    if limits := tag_limits(node.tags):
        raise node.location.compile_error(
            f"{limits[0]!r} limits {node.name!r} within one process, but each task runs in its own Pod",
            "set `concurrency` on the Flow, or maxParallel on the mapped task",
        )


def _serializer_name(serializer: str | Serializer, node: Node) -> str:
    if not isinstance(serializer, str):
        raise node.location.compile_error(
            f"result_serializer={serializer!r} of {node.name!r} is not supported in a Flow", "use 'json' or 'pickle'"
        )
    # The operator reads outputs, so they are not compressed.
    return serializer.removeprefix(COMPRESSED)


def _env(
    call: dict[str, Any], expressions: list[str], others: Mapping[str, str] | None, location: CodeLocation
) -> list[dict[str, Any]]:
    text = json.dumps(call, separators=(",", ":"), ensure_ascii=False).replace("$", "\\u0024")
    if len(text) > MAX_CALL:
        raise location.compile_error(
            f"the arguments of {call['name']!r} have {len(text)} characters; the limit of a Flow is {MAX_CALL}",
            "read them in a task, or make them a param",
        )
    env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in (others or {}).items()]
    env.append({"name": CALL, "value": text})
    for number, part in enumerate(_parts(expressions, call["name"], location)):
        env.append({"name": f"{VALUES}_{number}" if number else VALUES, "value": f"$([{', '.join(part)}])"})
    return env


def _parts(expressions: list[str], name: str, location: CodeLocation) -> list[list[str]]:
    """Split expressions into lists that do not exceed the maximum length of an expression."""
    parts: list[list[str]] = [[]]
    left = MAX_EXPRESSION
    for expression in expressions:
        if len(expression) > MAX_EXPRESSION:
            raise location.compile_error(f"the expression of an argument of {name!r} is too long", "use a shorter path")
        if len(expression) + 2 > left:
            parts.append([])
            left = MAX_EXPRESSION
        parts[-1].append(expression)
        left -= len(expression) + 2
    return parts


def _field(variable: str, kind: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{kind}['{key}']"}}}


def _settings(options: TaskOptions, location: CodeLocation, who: str) -> dict[str, Any]:
    """Return the fields for retries and timeout."""
    settings: dict[str, Any] = {}
    retry = retry_field(options, location, who)
    if retry is not None:
        settings["retry"] = retry
    if options.timeout_s is not None:
        settings["timeout"] = duration_text(options.timeout_s)
    return settings


def container_of(options: TaskOptions | FlowOptions) -> dict[str, Any]:
    """Return the fields of the container, without its environment."""
    fields = {
        "image": options.image,
        "resources": options.resources,
        "serviceAccountName": options.service_account_name,
        "podTemplate": options.pod_template,
    }
    return {name: value for name, value in fields.items() if value is not None}


def flow_name(flow: FlowFunction) -> str:
    """Return the name of the Flow that a flow becomes."""
    return task_label(flow.name)


def _text(text: str) -> str:
    escaped: str = escape(text)
    return escaped
