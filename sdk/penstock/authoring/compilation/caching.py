"""Cache policies as keys that the operator makes."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from penstock.authoring.cache_keys import task_input_hash
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.retry import duration
from penstock.authoring.function import TaskFunction

YEARS_S: Final = 10 * 365 * 24 * 3600
"""How long a result is kept that never expires."""


def cache_of(node: Node) -> dict[str, Any] | None:
    """Return the field `cache` of a task; None if each run makes its result anew.

    Raises:
        CompileError: no expression makes such a key.
    """
    task = node.task
    assert task is not None
    options = task.options
    parts, excluded = _policy(node, task)
    if not parts:
        return None
    if "run" not in parts and node.scope.is_storage_of_run:
        raise node.place.refuse(
            f"the cache_policy of task {task.name!r} lets other runs use its results, but they go with this run's"
            " workspace",
            "give the flow a storage that stays, or add RUN_ID to the policy",
        )
    facts: list[str] = []
    if "inputs" in parts:
        if excluded & node.arguments.keys() and node.slots.expressions:
            raise node.place.refuse(
                f"the cache_policy of task {task.name!r} leaves out an input",
                "in a Flow all inputs count, or none: INPUTS, or a policy without it",
            )
        # The call itself is part of what the operator compares; its values are what is missing.
        facts += node.slots.expressions
    if "source" in parts:
        facts.append(f'"{hashlib.sha256(task.source.encode()).hexdigest()[:16]}"')
    facts += [expression for part, expression in (("run", "run.uid"), ("flow", "params")) if part in parts]
    expires_s = YEARS_S if options.cache_expiration_s is None else options.cache_expiration_s
    return {"key": f"$([{', '.join(facts)}])", "ttl": duration(expires_s)} if expires_s > 0 else None


def _policy(node: Node, task: TaskFunction) -> tuple[frozenset[str], frozenset[str]]:
    """Return what goes into the key, and which inputs do not."""
    options = task.options
    if options.refresh_cache:
        raise node.place.refuse(
            f"refresh_cache=True of task {task.name!r} has no counterpart in a Flow",
            "leave the cache out, or change what its key is made of",
        )
    if options.cache_key_fn is task_input_hash:
        return frozenset({"inputs", "source"}), frozenset()
    policy = options.cache_policy
    if options.cache_key_fn is not None or (policy is not None and policy.key_fns):
        raise node.place.refuse(
            f"cache_key_fn of task {task.name!r} would be called by the operator, which runs no code of yours",
            "use a cache_policy: INPUTS, TASK_SOURCE, FLOW_PARAMETERS, or a sum of them",
        )
    return (frozenset(), frozenset()) if policy is None else (policy.parts, policy.excluded)
