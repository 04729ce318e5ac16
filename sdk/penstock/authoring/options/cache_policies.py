"""Cache policies: what two runs of a task must have in common for the second to use the result of the first.

A key always includes the name of the task and the location of its function: two tasks with the same inputs never share
a result by accident. To share results between tasks, use `cache_key_fn`, whose key is used unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    folder: str | None = None
    """Where results are stored; None for the folder of the task, flow or user."""

    def __post_init__(self) -> None:
        """Let a class of the user's own compute keys: `compute_key(task_ctx, inputs, flow_parameters)`."""
        if hasattr(self, "compute_key"):
            object.__setattr__(self, "key_fns", (self._computed_key,))

    def _computed_key(self, context: Any, inputs: Mapping[str, Any]) -> str | None:
        flow_run = context.flow_run
        compute: Any = getattr(self, "compute_key")  # noqa: B009 - classes of users define it
        key: str | None = compute(
            task_ctx=context, inputs=dict(inputs), flow_parameters={} if flow_run is None else flow_run.parameters
        )
        return key

    @classmethod
    def from_cache_key_fn(cls, cache_key_fn: KeyFunction) -> CachePolicy:
        """Return a policy that uses a function to compute the key. See `from_cache_key_fn`."""
        return from_cache_key_fn(cache_key_fn)

    def configure(self, key_storage: Any = None, lock_manager: Any = None, isolation_level: Any = None) -> CachePolicy:
        """Return the policy with a folder for its results.

        Args:
            key_storage: a folder, or a LocalFileSystem.
            lock_manager: refused.
            isolation_level: refused, unless it is READ_COMMITTED, which all policies are.

        Raises:
            OptionError: the value is not offered.
        """
        if lock_manager is not None or getattr(isolation_level, "name", isolation_level) == "SERIALIZABLE":
            raise OptionError(
                "a cache policy has no locks: use transaction(key=..., isolation_level=IsolationLevel.SERIALIZABLE);"
                " in a cluster, a run waits for another one with its key by itself"
            )
        folder = (
            self.folder if key_storage is None else str(Path(getattr(key_storage, "basepath", key_storage)).absolute())
        )
        return CachePolicy(self.parts, self.excluded, self.key_fns, folder)

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
        return CachePolicy(
            self.parts | other.parts,
            self.excluded | other.excluded,
            self.key_fns + other.key_fns,
            self.folder or other.folder,
        )

    def __sub__(self, name: str) -> CachePolicy:
        """Exclude an input."""
        if not isinstance(name, str):
            return NotImplemented
        if "inputs" not in self.parts:
            raise OptionError(f"cannot exclude {name!r}: the policy does not include INPUTS")
        return CachePolicy(self.parts, self.excluded | {name}, self.key_fns, self.folder)


def from_cache_key_fn(key_fn: KeyFunction) -> CachePolicy:
    """Return a policy that uses a function to compute the key.

    Args:
        key_fn: called with the `TaskRunContext` and the arguments by name; returns a key, or None for no caching.
    """
    return CachePolicy(key_fns=(key_fn,))


def Inputs(exclude: list[str] | None = None) -> CachePolicy:
    """Return `INPUTS`, without some inputs."""
    return CachePolicy(frozenset({"inputs"}), frozenset(exclude or ()))


def TaskSource() -> CachePolicy:
    """Return `TASK_SOURCE`."""
    return TASK_SOURCE


def RunId() -> CachePolicy:
    """Return `RUN_ID`."""
    return RUN_ID


def FlowParameters() -> CachePolicy:
    """Return `FLOW_PARAMETERS`."""
    return FLOW_PARAMETERS


def CacheKeyFnPolicy(cache_key_fn: KeyFunction) -> CachePolicy:
    """Return a policy that uses a function to compute the key. See `from_cache_key_fn`."""
    return from_cache_key_fn(cache_key_fn)


def CompoundCachePolicy(policies: Sequence[CachePolicy]) -> CachePolicy:
    """Return the sum of some policies."""
    return sum(policies, NO_CACHE)


NO_CACHE: Final = CachePolicy()
"""No caching."""
NONE: Final = NO_CACHE
"""An older name of NO_CACHE."""
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
