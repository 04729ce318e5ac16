"""Cache policies as key expressions of the field `cache`."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from penstock.authoring.caching.cache_keys import task_input_hash
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.retry import duration_text
from penstock.authoring.function import TaskFunction

YEARS_S: Final = 10 * 365 * 24 * 3600
"""The ttl of results that never expire."""


def cache_field(node: Node) -> dict[str, Any] | None:
    """Return the field `cache` of a task; None if results are not cached.

    Raises:
        RefusedError: the policy cannot be expressed.
    """
    task = node.task
    assert task is not None
    options = task.options
    parts, excluded = _policy(node, task)
    if not parts:
        return None
    if "run" not in parts and node.scope.is_storage_of_run:
        raise node.location.compile_error(
            f"the cache_policy of task {task.name!r} shares results with other runs, but stores them in the workspace"
            " of one run",
            "set a permanent storage on the flow, or add RUN_ID to the policy",
        )
    facts: list[str] = []
    if "inputs" in parts:
        if excluded & node.arguments.keys() and node.slots.expressions:
            raise node.location.compile_error(
                f"the cache_policy of task {task.name!r} excludes an input",
                "a Flow uses all inputs or none: use INPUTS, or a policy without it",
            )
        # The operator adds the call itself to the key; only the values are missing.
        facts += node.slots.expressions
    if "source" in parts:
        facts.append(f'"{hashlib.sha256(task.source.encode()).hexdigest()[:16]}"')
    facts += [expression for part, expression in (("run", "run.uid"), ("flow", "params")) if part in parts]
    expires_s = YEARS_S if options.cache_expiration_s is None else options.cache_expiration_s
    return {"key": f"$([{', '.join(facts)}])", "ttl": duration_text(expires_s)} if expires_s > 0 else None


def _policy(node: Node, task: TaskFunction) -> tuple[frozenset[str], frozenset[str]]:
    """Return the parts of the key, and the inputs that are excluded."""
    options = task.options
    if options.refresh_cache:
        raise node.location.compile_error(
            f"refresh_cache=True of task {task.name!r} is not supported in a Flow",
            "omit the cache, or change its key",
        )
    if options.result_storage_key is not None:
        raise node.location.compile_error(
            f"result_storage_key of task {task.name!r} is not supported: the operator does not name results",
            "use a cache_policy, and storage= on the flow",
        )
    if options.cache_key_fn is task_input_hash:
        return frozenset({"inputs", "source"}), frozenset()
    policy = options.cache_policy
    if options.cache_key_fn is not None or (policy is not None and policy.key_fns):
        raise node.location.compile_error(
            f"cache_key_fn of task {task.name!r} is not supported: the operator does not run your code",
            "use a cache_policy: INPUTS, TASK_SOURCE, FLOW_PARAMETERS, or a sum of them",
        )
    return (frozenset(), frozenset()) if policy is None else (policy.parts, policy.excluded)
