"""SIGINT for the programs of tests, which may be started where it is ignored."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Programs that are started inside can be interrupted.

    A shell has what it starts in the background ignore SIGINT, and so do its children and theirs:
    https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_11.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        # A signal that is handled has its default in a new program.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
