"""Stopping a function that runs in a thread, as far as Python can.

An exception is set in the thread, which gets it at its next step of Python code. A function that waits inside of one
long C call (`time.sleep`, a socket) gets it when that call returns: nothing in Python can do better, short of a
process.
"""

from __future__ import annotations

import ctypes
import threading
import time
from types import TracebackType
from typing import Final

_DELIVERY_S: Final = 0.001


class StoppedError(BaseException):
    """The run is being stopped. No Exception, so that `except Exception` in a task does not keep it running."""


class Interrupt:
    """A handle on the function that a job is running. Threads enter it around the function."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._pending = 0
        self.is_requested = False

    def request(self) -> None:
        """Stop the function, now if one runs, else when one starts."""
        with self._lock:
            self.is_requested = True
            if self._thread_id is not None:
                self._pending += 1
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread_id), ctypes.py_object(StoppedError)
                )

    def __enter__(self) -> None:
        with self._lock:
            if self.is_requested:
                raise StoppedError
            self._thread_id = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._thread_id = None
            pending, self._pending = self._pending, 0
        if pending and not isinstance(error, StoppedError):
            # It was set, and has not arrived: what follows this block must not be hit by it.
            while True:
                time.sleep(_DELIVERY_S)
