"""A bound for the memory that one computation may take.

`[big].map(x, x + x)` and its like grow without end within a few characters, and CEL's library bounds iterations and
depth, not memory. Who may create a Flow must not be able to end the operator that serves everyone: so the kernel is
asked to refuse, which the library answers with a clean error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LIMIT_BYTES: Final = 64 * 2**20


@contextmanager
def limited_memory(limit_bytes: int = LIMIT_BYTES) -> Iterator[None]:
    """Let the process take no more than this many bytes beyond what it has.

    Holds for the whole process while it lasts, so what runs inside must be short and must hold the interpreter's lock,
    as the evaluation of an expression does. Beyond the limit an allocation fails: a MemoryError. Where the system is
    not Linux there is no limit.

    Args:
        limit_bytes: address space to grow by.
    """
    taken_bytes = _address_space_bytes()
    if taken_bytes is None:
        yield
        return
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit_bytes += taken_bytes
    if soft != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int | None:
    """Return the size of the process's address space; None where it can't be known. See proc_pid_statm(5)."""
    if sys.platform != "linux":
        return None
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.read(file, 64).split(maxsplit=1)[0]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(file)
