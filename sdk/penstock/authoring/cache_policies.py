"""Cache policies: what two runs of a task must have in common for the second to use the result of the first.

A key always includes the name of the task and the location of its function: two tasks with the same inputs never share
a result by accident. To share results between tasks, use `cache_key_fn`, whose key is used unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.errors import OptionError

KeyFunction = Callable[[Any, Mapping[str, Any]], str | None]
"""Called with the `TaskRunContext` and the arguments by name; returns a key, or None for no caching."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The parts of a cache key. Combine policies by `INPUTS + RUN_ID`; exclude inputs by `INPUTS - "verbose"`."""

    parts: frozenset[str] = frozenset()
    """Some of `inputs`, `source`, `run` and `flow`."""
    excluded: frozenset[str] = frozenset()
    """Inputs that are not part of the key."""
    key_fns: tuple[KeyFunction, ...] = field(default=())

    @property
    def is_run_scoped(self) -> bool:
        """Whether results are shared only within one flow run."""
        return "run" in self.parts

    def __add__(self, other: CachePolicy) -> CachePolicy:
        """Combine two policies."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if not self.parts and not self.key_fns:
            return other
        if not other.parts and not other.key_fns:
            return self
        return CachePolicy(self.parts | other.parts, self.excluded | other.excluded, self.key_fns + other.key_fns)

    def __sub__(self, name: str) -> CachePolicy:
        """Exclude an input."""
        if not isinstance(name, str):
            return NotImplemented
        if "inputs" not in self.parts:
            raise OptionError(f"cannot exclude {name!r}: the policy does not include INPUTS")
        return CachePolicy(self.parts, self.excluded | {name}, self.key_fns)


def from_cache_key_fn(key_fn: KeyFunction) -> CachePolicy:
    """Return a policy that uses a function to compute the key.

    Args:
        key_fn: called with the `TaskRunContext` and the arguments by name; returns a key, or None for no caching.
    """
    return CachePolicy(key_fns=(key_fn,))


NO_CACHE: Final = CachePolicy()
"""No caching."""
INPUTS: Final = CachePolicy(frozenset({"inputs"}))
"""The same arguments, in any flow run."""
TASK_SOURCE: Final = CachePolicy(frozenset({"source"}))
"""The same source code of the task's function."""
RUN_ID: Final = CachePolicy(frozenset({"run"}))
"""The same flow run, including its retries and resumptions."""
FLOW_PARAMETERS: Final = CachePolicy(frozenset({"flow"}))
"""A flow run with the same parameters."""
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
"""The policy for persisted results, unless another one is given."""
