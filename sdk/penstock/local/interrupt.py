"""Stopping a function that runs in a thread, as far as Python can.

An exception is set in the thread, which gets it at its next step of Python code. A function that waits inside of one
long C call (`time.sleep`, a socket) gets it when that call returns: nothing in Python can do better, short of a
process.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Final

STRIKE_AGAIN_S: Final = 0.5
"""How soon to strike again at what has not ended."""


class StoppedError(BaseException):
    """The run is being stopped. No Exception, so that `except Exception` in a task does not keep it running."""


class Interrupt:
    """A handle on the function that a job is running. Threads enter it around the function."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self.is_requested = False

    def request(self) -> None:
        """Stop the function, now if one runs, else when one starts."""
        with self._lock:
            self.is_requested = True
        self.strike()

    def strike(self) -> None:
        """Stop the function that runs now; one that starts later is not affected.

        To be repeated until it has ended: an exception that arrives in a finaliser is ignored by Python.
        """
        with self._lock:
            if self._thread_id is not None:
                _set_exception(self._thread_id, ctypes.py_object(StoppedError))

    def __enter__(self) -> None:
        with self._lock:
            if self.is_requested:
                raise StoppedError
            self._thread_id = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_struck = False
        while self._thread_id is not None:
            try:
                with self._lock:
                    # What was set and has not arrived must not hit what follows this block.
                    _set_exception(self._thread_id, None)
                    self._thread_id = None
            except StoppedError:
                is_struck = True
        if is_struck and error is None:
            raise StoppedError


def _set_exception(thread_id: int, exception: object | None) -> None:
    """Have a thread raise an exception at its next byte code; None takes back one that has not arrived."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), exception)
