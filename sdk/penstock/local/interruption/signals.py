"""Termination of the process: a signal raises in the flow, so that it ends as Crashed and its hooks run."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from penstock.local.interruption.deadline import DeadlineError
from penstock.local.interruption.interrupt import StoppedError
from penstock.local.threads.timer import TIMER

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_S: Final = 0.01


class TerminatedError(SystemExit):
    """The process was terminated. Its exit code is 128 plus the number of the signal, as in shells."""

    def __str__(self) -> str:
        """Return the name of the signal."""
        return "signal SIGTERM"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have SIGTERM raise TerminatedError in the main thread, unless the program has a handler of its own.

    The exception is lost where Python ignores exceptions: in a finalizer, or in the callback of a weak reference, of
    which asyncio has one for each of its tasks. Then the signal is sent again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, _raise)
    hook = sys.unraisablehook
    sys.unraisablehook = _hook_before(hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(signal_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError(128 + signal_number)


def _hook_before(hook: Callable[[UnraisableHookArgs], Any]) -> Callable[[UnraisableHookArgs], Any]:
    def send_again(ignored: UnraisableHookArgs) -> None:
        if issubclass(ignored.exc_type, TerminatedError):
            number = signal.SIGTERM
        elif issubclass(ignored.exc_type, KeyboardInterrupt):
            number = signal.SIGINT
        else:
            if isinstance(ignored.exc_value, DeadlineError):
                ignored.exc_value.is_due = True
            elif not issubclass(ignored.exc_type, StoppedError):
                hook(ignored)
            return
        # From another thread: here it would be raised, and ignored, in the same place.
        TIMER.call_later(_AGAIN_S, lambda: signal.pthread_kill(threading.main_thread().ident or 0, number))

    return send_again
