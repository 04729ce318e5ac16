"""Limits the memory that the evaluation of one expression may take, by the address space of the process.

Every process that evaluates expressions of other people calls `limit_expression_memory` when it starts: the operator,
the command line, and a script that serves deployments.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.engine.expressions.memory_limit import set_memory_limit

_inside = threading.Lock()


def limit_expression_memory() -> None:
    """Limit the memory of every evaluation in this process."""
    set_memory_limit(limited_memory)


@contextmanager
def limited_memory(limit_bytes: int) -> Iterator[None]:
    """Let the process take no more than this many bytes beyond what it has.

    The limit holds for the whole process, so what runs inside must be short. One thread at a time is inside: another
    would take the first one's limit for that of the process, and set it again at its end. Beyond the limit an
    allocation fails with a MemoryError. Where the system is not Linux there is no limit.

    Args:
        limit_bytes: address space to grow by.
    """
    taken_bytes = _address_space_bytes()
    if taken_bytes is None:
        yield
        return
    import resource  # noqa: PLC0415 - Unix only

    with _inside:
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
    """Return the size of the process's address space; None where it is not known. See proc_pid_statm(5)."""
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
