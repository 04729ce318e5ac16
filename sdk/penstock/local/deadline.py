"""Time limits for functions that are no coroutines.

On the main thread an alarm signal ends even a call that blocks. Elsewhere the function runs in a thread of its own,
and who waits for it stops waiting in time, whether or not the function does.
"""

from __future__ import annotations

import contextvars
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from penstock.local.interrupt import Interrupt
from penstock.local.run_clock import CLOCK
from penstock.local.threads import THREADS

_RECHECK_S: Final = 0.05
"""How soon to look again at a clock that stands still."""
_TICK_S: Final = 0.25
"""How soon an alarm rings again."""


class DeadlineError(BaseException):
    """The time of some run is up. No Exception, so that `except Exception` in a function does not swallow it.

    Attributes:
        is_due: whether it has yet to be raised; again, if Python ignored it in a finaliser.
    """

    def __init__(self) -> None:
        super().__init__("the time is up")
        self.is_due = True


class OverdueError(Exception):
    """A function took too long.

    Args:
        limit_s: the limit that was exceeded, in seconds.
        gone: set when the function has really ended; None if it has.
    """

    def __init__(self, limit_s: float, gone: threading.Event | None = None) -> None:
        super().__init__(f"exceeded timeout of {limit_s:g} second(s)")
        self.gone = gone


def call_within(limit_s: float, function: Callable[[], Any], interrupt: Interrupt) -> Any:
    """Call a function for so long at most.

    Args:
        limit_s: the limit, in seconds.
        function: what to call.
        interrupt: stops the function.

    Raises:
        OverdueError: the time was up first.
    """
    if threading.current_thread() is threading.main_thread():
        return _call_with_alarm(limit_s, function)
    return _call_in_thread(limit_s, function, interrupt)


def _call_with_alarm(limit_s: float, function: Callable[[], Any]) -> Any:
    alarm = _Alarm(limit_s)
    try:
        return function()
    except DeadlineError as caught:
        if caught is alarm.error:
            raise OverdueError(limit_s) from caught
        raise
    finally:
        alarm.end()


class _Alarm:
    """An alarm signal that raises in the main thread when a time is up, and lets those of others through.

    It ticks until it is ended: a signal that arrives just before a call blocks does not end that call, the next one
    does.
    """

    def __init__(self, limit_s: float) -> None:
        self.error = DeadlineError()
        self._limit_s = limit_s
        self._began, self._began_real = CLOCK.now(), time.monotonic()
        self._outer_handler = signal.getsignal(signal.SIGALRM)
        self._outer_left_s, self._outer_interval_s = signal.getitimer(signal.ITIMER_REAL)
        self._is_outer_told = not self._outer_left_s
        signal.signal(signal.SIGALRM, self._ring)
        first_s = min(limit_s, self._outer_left_s) if self._outer_left_s else limit_s
        signal.setitimer(signal.ITIMER_REAL, first_s, _TICK_S)

    def end(self) -> None:
        """Give the alarm back to whose it was."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._outer_handler)
        if self._outer_left_s:
            left_s = max(self._outer_left_s - (time.monotonic() - self._began_real), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, left_s, self._outer_interval_s)

    def _ring(self, signal_number: int, frame: FrameType | None) -> None:
        left_s = self._limit_s - (CLOCK.now() - self._began)
        if left_s <= 0 and self.error.is_due:
            self.error.is_due = False
            raise self.error
        # The clock stood still; or it is the alarm of somebody further out: a flow around this task, a test runner.
        if not self._is_outer_told and time.monotonic() - self._began_real >= self._outer_left_s:
            self._is_outer_told = not self._outer_interval_s
            if callable(self._outer_handler):
                self._outer_handler(signal_number, frame)
        if 0 < left_s < _TICK_S and not CLOCK.is_stopped:
            signal.setitimer(signal.ITIMER_REAL, left_s, _TICK_S)


def _call_in_thread(limit_s: float, function: Callable[[], Any], interrupt: Interrupt) -> Any:
    context = contextvars.copy_context()
    outcome: list[tuple[Any, BaseException | None]] = []
    gone = threading.Event()

    def body() -> None:
        try:
            with interrupt:
                value = context.run(function)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            outcome.append((None, error))
        else:
            outcome.append((value, None))
        finally:
            gone.set()

    THREADS.start(body)
    deadline = CLOCK.now() + limit_s
    while not gone.wait(max(deadline - CLOCK.now(), _RECHECK_S if CLOCK.is_stopped else 0)):
        if CLOCK.now() < deadline:
            continue
        interrupt.strike()
        raise OverdueError(limit_s, gone)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value
