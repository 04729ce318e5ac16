"""Waits that Ctrl-C ends: a thread reads, and the one that gets the signals looks up in between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

POLL_INTERVAL_S: Final = 0.25
"""How late Ctrl-C may be."""


class _End:
    """What comes after the last item."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def read_in_thread(items: Iterable[T], stop: Callable[[], object]) -> Generator[T]:
    """Yield what is read from elsewhere, in a way that Ctrl-C can always end.

    A signal that comes between the interpreter's last look for one and a system call that waits does not end that
    wait: https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers. A read from a silent server
    would go on for minutes.

    Args:
        items: what to read; the read may wait for ever.
        stop: ends the read when nobody wants more of it.
    """
    read: queue.SimpleQueue[T | _End] = queue.SimpleQueue()

    def read_all() -> None:
        try:
            for item in items:
                read.put(item)
        except Exception as error:  # noqa: BLE001 - raised again, where the items are wanted
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
    """Wait for a thread to end, in a way that Ctrl-C can always end."""
    while thread.is_alive():
        thread.join(POLL_INTERVAL_S)
