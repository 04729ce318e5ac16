"""Cache keys: what a policy makes of a task run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.authoring.cache_policies import CachePolicy
from penstock.authoring.fingerprint import fingerprint
from penstock.authoring.runs import TaskRunContext
from penstock.errors import ResultError


def compute_key(policy: CachePolicy, context: TaskRunContext) -> str | None:
    """Return the cache key of a task run; None if its result is not to be shared.

    Args:
        policy: what goes into the key.
        context: the task run and its arguments.

    Raises:
        ResultError: an input can't be part of a key.
    """
    if not policy.parts and not policy.key_fns:
        return None
    task, flow_run = context.task, context.flow_run
    facts: dict[str, Any] = {"task": task.key}
    if "inputs" in policy.parts:
        facts["inputs"] = {name: value for name, value in context.parameters.items() if name not in policy.excluded}
    if "source" in policy.parts:
        facts["source"] = task.source
    if "run" in policy.parts:
        facts["run"] = str(context.task_run.id if flow_run is None else flow_run.id)
    if "flow" in policy.parts:
        facts["flow"] = None if flow_run is None else flow_run.parameters
    for position, key_fn in enumerate(policy.key_fns):
        key = key_fn(context, context.parameters)
        if key is None:
            return None
        facts[f"key {position}"] = key
    try:
        return fingerprint(facts)
    except ResultError as error:
        raise ResultError(
            f"task {task.name!r} has no cache key, because {error}; leave that out of the key"
            " (cache_policy=INPUTS - 'its name') or give cache_key_fn"
        ) from error


def task_input_hash(context: TaskRunContext, arguments: Mapping[str, Any]) -> str:
    """Be the `cache_key_fn` of a task whose result follows from its source and arguments."""
    return fingerprint({"task": context.task.key, "source": context.task.source, "inputs": dict(arguments)})
