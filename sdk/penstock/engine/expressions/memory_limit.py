"""The memory limit of one evaluation. The process hands it in: the engine itself changes no limit of the process.

`[big].map(x, x + x)` and its like grow exponentially within a few characters. CEL's library limits iterations and
depth, but not memory. An expression of one user must not end the operator that serves all, so every process that
evaluates expressions calls `set_memory_limit` when it starts. The implementation is in `penstock.memory_limit`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

LIMIT_BYTES: Final = 64 * 2**20
"""Memory that one evaluation may allocate."""

MemoryLimit = Callable[[int], AbstractContextManager[None]]
"""Takes a number of bytes. Inside the context an allocation beyond them raises a MemoryError."""

_limit: MemoryLimit | None = None


def set_memory_limit(limit: MemoryLimit | None) -> MemoryLimit | None:
    """Have every evaluation of this process run inside a limit; None for no limit.

    Returns:
        The limit that it replaces.
    """
    global _limit
    before, _limit = _limit, limit
    return before


def limited_evaluation() -> AbstractContextManager[None]:
    """Return the context in which an expression is evaluated."""
    return nullcontext() if _limit is None else _limit(LIMIT_BYTES)
