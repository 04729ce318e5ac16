"""Blocking reads that Ctrl-C can interrupt: a thread reads, and the main thread wakes up regularly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

POLL_INTERVAL_S: Final = 0.25
"""Maximum delay of Ctrl-C."""


class _End:
    """Marks the end of the items."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def read_in_thread(items: Iterable[T], stop: Callable[[], object]) -> Generator[T]:
    """Yield items from a blocking read, such that Ctrl-C always interrupts it.

    A signal that arrives just before a blocking system call does not interrupt that call:
    https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers. A read from a silent server
    would then block for minutes.

    Args:
        items: the items to read; the read may block forever.
        stop: ends the read when no more items are wanted.
    """
    read: queue.SimpleQueue[T | _End] = queue.SimpleQueue()

    def read_all() -> None:
        try:
            for item in items:
                read.put(item)
        except Exception as error:  # noqa: BLE001 - raised again in the consuming thread
            read.put(_End(error))
        else:
            read.put(_End(None))

    threading.Thread(target=read_all, daemon=True).start()
    try:
        while True:
            try:
                got = read.get(timeout=POLL_INTERVAL_S)
            except queue.Empty:
                continue
            if not isinstance(got, _End):
                yield got
            elif got.error is None:
                return
            else:
                raise got.error
    finally:
        stop()


def join_thread(thread: threading.Thread) -> None:
    """Wait for a thread, such that Ctrl-C always interrupts the wait."""
    while thread.is_alive():
        thread.join(POLL_INTERVAL_S)
