"""Cache policies: what two runs of a task must have in common for the second to use the first one's result.

A key always holds the task's name and where its function stands: two tasks with the same inputs never share a result
by accident. Who wants them to share gives a `cache_key_fn`, whose key is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.errors import OptionError

KeyFunction = Callable[[Any, Mapping[str, Any]], str | None]
"""Makes a key of a `TaskRunContext` and the arguments by name; None if the result is not to be shared."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What goes into a cache key. Policies are added (`INPUTS + RUN_ID`), inputs taken out (`INPUTS - "verbose"`)."""

    parts: frozenset[str] = frozenset()
    """Of inputs, source, run and flow."""
    excluded: frozenset[str] = frozenset()
    """Inputs that don't count."""
    key_fns: tuple[KeyFunction, ...] = field(default=())

    @property
    def is_run_scoped(self) -> bool:
        """Whether only runs of the same flow run can share."""
        return "run" in self.parts

    def __add__(self, other: CachePolicy) -> CachePolicy:
        """Ask for what both ask for."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if not self.parts and not self.key_fns:
            return other
        if not other.parts and not other.key_fns:
            return self
        return CachePolicy(self.parts | other.parts, self.excluded | other.excluded, self.key_fns + other.key_fns)

    def __sub__(self, name: str) -> CachePolicy:
        """Leave an input out."""
        if not isinstance(name, str):
            return NotImplemented
        if "inputs" not in self.parts:
            raise OptionError(f"the policy has no inputs that {name!r} could be taken from")
        return CachePolicy(self.parts, self.excluded | {name}, self.key_fns)


def from_cache_key_fn(key_fn: KeyFunction) -> CachePolicy:
    """Make a policy of a function of the run's context and parameters, which returns a key or None."""
    return CachePolicy(key_fns=(key_fn,))


NO_CACHE: Final = CachePolicy()
"""Never use another run's result."""
INPUTS: Final = CachePolicy(frozenset({"inputs"}))
"""The same arguments, in any flow run."""
TASK_SOURCE: Final = CachePolicy(frozenset({"source"}))
"""The same text of the task's function."""
RUN_ID: Final = CachePolicy(frozenset({"run"}))
"""The same flow run, its retries and resumptions included."""
FLOW_PARAMETERS: Final = CachePolicy(frozenset({"flow"}))
"""A flow run with the same parameters."""
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
"""What holds for persisted results unless another policy is given."""
