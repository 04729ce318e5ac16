"""Cache keys: computed by a policy for a task run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.authoring.options.cache_policies import INPUTS, TASK_SOURCE, CachePolicy
from penstock.authoring.runs.runs import TaskRunContext
from penstock.errors import ResultError


def compute_key(policy: CachePolicy, context: TaskRunContext) -> str | None:
    """Return the cache key of a task run; None for no caching.

    Args:
        policy: the parts of the key.
        context: the task run and its arguments.

    Raises:
        ResultError: an input cannot be part of a key.
    """
    if not policy.parts and not policy.key_fns:
        return None
    task, flow_run = context.task, context.flow_run
    from penstock.authoring.caching.fingerprint import (  # noqa: PLC0415 - a flow that caches nothing starts faster
        fingerprint,
        fingerprint_of_definition,
    )

    facts: dict[str, Any] = {"task": task.key, "definition": fingerprint_of_definition(task.fn)}
    if "inputs" in policy.parts:
        facts["inputs"] = _inputs(context, policy.excluded)
    if "source" in policy.parts:
        facts["source"] = task.source
    if "run" in policy.parts:
        facts["run"] = str(context.task_run.id if flow_run is None else flow_run.id)
    if "flow" in policy.parts:
        facts["flow"] = flow_run and (flow_run.parameters, getattr(flow_run.flow.fn, "__self__", None))
    for position, key_fn in enumerate(policy.key_fns):
        key = key_fn(context, context.parameters)
        if not key:
            return None
        facts[f"key {position}"] = key
    try:
        return fingerprint(facts)
    except ResultError as error:
        raise ResultError(
            f"cannot compute the cache key of task {task.name!r}: {error}; exclude that input"
            " (cache_policy=INPUTS - 'its name') or set cache_key_fn"
        ) from error


def task_input_hash(context: TaskRunContext, arguments: Mapping[str, Any]) -> str | None:
    """Return a key from source and arguments: for `cache_key_fn=task_input_hash`."""
    return compute_key(INPUTS + TASK_SOURCE, TaskRunContext(context.task_run, arguments))


def _inputs(context: TaskRunContext, excluded: frozenset[str]) -> dict[str, Any]:
    """Return the arguments that are part of a key; of a bound method also its object."""
    inputs = {name: value for name, value in context.parameters.items() if name not in excluded}
    of = getattr(context.task.fn, "__self__", None)
    return inputs if of is None or "self" in excluded else {**inputs, "self": of}
