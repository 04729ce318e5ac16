"""Cache keys: computed by a policy for a task run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.authoring.cache_policies import CachePolicy
from penstock.authoring.runs import TaskRunContext
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
    from penstock.authoring.fingerprint import fingerprint  # noqa: PLC0415 - a flow that caches nothing starts faster

    try:
        return fingerprint(facts)
    except ResultError as error:
        raise ResultError(
            f"cannot compute the cache key of task {task.name!r}: {error}; exclude that input"
            " (cache_policy=INPUTS - 'its name') or set cache_key_fn"
        ) from error


def task_input_hash(context: TaskRunContext, arguments: Mapping[str, Any]) -> str:
    """Return a key from source and arguments: for `cache_key_fn=task_input_hash`."""
    from penstock.authoring.fingerprint import fingerprint  # noqa: PLC0415 - as above

    return fingerprint({"task": context.task.key, "source": context.task.source, "inputs": dict(arguments)})
