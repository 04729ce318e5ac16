"""Stopping a function that runs in a thread.

An exception is set in the thread and raised at its next step of Python code. In a blocking C call (`time.sleep`, a
socket) it is raised only when the call returns. Only a separate process could be stopped sooner.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Final

INTERRUPT_AGAIN_S: Final = 0.5
"""The interval at which a function that has not ended is interrupted again."""


class StoppedError(BaseException):
    """The run is being stopped. Not an Exception, so that `except Exception` in a task does not catch it."""


class Interrupt:
    """Interrupts a function. The thread that runs the function enters it as a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self.is_requested = False

    def request_stop(self) -> None:
        """Stop the function, now or when it starts."""
        with self._lock:
            self.is_requested = True
        self.raise_in_thread()

    def raise_in_thread(self) -> None:
        """Raise StoppedError in the function if it is running now.

        Call it again until the function has ended: Python ignores exceptions in finalizers.
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
        is_interrupted = False
        while self._thread_id is not None:
            try:
                with self._lock:
                    # An exception that is set but not raised yet must not be raised after this block.
                    _set_exception(self._thread_id, None)
                    self._thread_id = None
            except StoppedError:
                is_interrupted = True
        if is_interrupted and error is None:
            raise StoppedError


def _set_exception(thread_id: int, exception: object | None) -> None:
    """Have a thread raise an exception at its next byte code; None clears one that has not been raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), exception)
