"""Timeouts for functions that are not coroutines.

In the main thread an alarm signal interrupts even a blocking call. In other threads the function runs in a thread of
its own, and the caller stops waiting at the timeout, even if the function has not ended.
"""

from __future__ import annotations

import contextvars
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from penstock.local.interruption.interrupt import Interrupt
from penstock.local.interruption.timeout_clock import TIMEOUT_CLOCK
from penstock.local.threads.worker_threads import THREADS

if TYPE_CHECKING:
    import asyncio

_RECHECK_S: Final = 0.05
"""How often a clock that is stopped is read again."""
_TICK_S: Final = 0.25
"""The interval at which an alarm is repeated."""


class DeadlineError(BaseException):
    """A run has reached its timeout. Not an Exception, so that `except Exception` does not catch it.

    Attributes:
        is_due: whether it must still be raised; set again if Python ignored it in a finalizer.
    """

    def __init__(self) -> None:
        super().__init__("timeout")
        self.is_due = True


class OverdueError(Exception):
    """A function took too long.

    Args:
        limit_s: the limit that was exceeded, in seconds.
        gone: set when the function has ended; None if it has ended already.
    """

    def __init__(self, limit_s: float, gone: threading.Event | None = None) -> None:
        super().__init__(f"exceeded timeout of {limit_s:g} second(s)")
        self.gone = gone


def call_within(limit_s: float, function: Callable[[], Any], interrupt: Interrupt) -> Any:
    """Call a function with a timeout.

    Args:
        limit_s: the limit, in seconds.
        function: what to call.
        interrupt: stops the function.

    Raises:
        OverdueError: the function did not end within the limit.
    """
    if threading.current_thread() is threading.main_thread():
        return _call_with_alarm(limit_s, function)
    return _call_in_thread(limit_s, function, interrupt)


def check_in_time(limit: asyncio.Timeout, limit_s: float | None) -> None:
    """Refuse the late result of a coroutine that blocked the event loop, or caught its cancellation.

    Args:
        limit: the timeout of the running coroutine.
        limit_s: the same in seconds; None for no limit.

    Raises:
        OverdueError: the time has passed.
    """
    import asyncio  # noqa: PLC0415 - code that awaits has loaded it

    due = limit.when()
    if limit_s is not None and due is not None and asyncio.get_running_loop().time() >= due:
        raise OverdueError(limit_s)


def _call_with_alarm(limit_s: float, function: Callable[[], Any]) -> Any:
    alarm = _Alarm(limit_s)
    try:
        value = function()
    except DeadlineError as caught:
        if caught is alarm.error:
            raise OverdueError(limit_s) from caught
        raise
    finally:
        alarm.restore_outer()
    if not alarm.error.is_due:
        # It caught the error. A coroutine that catches its cancellation is late as well.
        raise OverdueError(limit_s)
    return value


class _Alarm:
    """An alarm signal that raises in the main thread at the timeout, and forwards alarms of outer handlers.

    It repeats until it is removed: a signal that arrives just before a call blocks does not interrupt that call, but
    the next signal does.
    """

    def __init__(self, limit_s: float) -> None:
        self.error = DeadlineError()
        self._limit_s = limit_s
        self._began, self._began_real = TIMEOUT_CLOCK.now(), time.monotonic()
        self._outer_handler = signal.getsignal(signal.SIGALRM)
        self._outer_left_s, self._outer_interval_s = signal.getitimer(signal.ITIMER_REAL)
        self._is_outer_notified = not self._outer_left_s
        signal.signal(signal.SIGALRM, self._on_alarm)
        first_s = min(limit_s, self._outer_left_s) if self._outer_left_s else limit_s
        signal.setitimer(signal.ITIMER_REAL, first_s, _TICK_S)

    def restore_outer(self) -> None:
        """Restore the outer alarm."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._outer_handler)
        if self._outer_left_s:
            left_s = max(self._outer_left_s - (time.monotonic() - self._began_real), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, left_s, self._outer_interval_s)

    def _on_alarm(self, signal_number: int, frame: FrameType | None) -> None:
        left_s = self._limit_s - (TIMEOUT_CLOCK.now() - self._began)
        if left_s <= 0 and self.error.is_due:
            self.error.is_due = False
            raise self.error
        # The clock was stopped; or the alarm is that of an outer handler: of the flow, or of a test runner.
        if not self._is_outer_notified and time.monotonic() - self._began_real >= self._outer_left_s:
            self._is_outer_notified = not self._outer_interval_s
            if callable(self._outer_handler):
                self._outer_handler(signal_number, frame)
        if 0 < left_s < _TICK_S and not TIMEOUT_CLOCK.is_stopped:
            signal.setitimer(signal.ITIMER_REAL, left_s, _TICK_S)


def _call_in_thread(limit_s: float, function: Callable[[], Any], interrupt: Interrupt) -> Any:
    context = contextvars.copy_context()
    outcome: list[tuple[Any, BaseException | None]] = []
    gone = threading.Event()

    def body() -> None:
        try:
            with interrupt:
                value = context.run(function)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            outcome.append((None, error))
        else:
            outcome.append((value, None))
        finally:
            gone.set()

    THREADS.start_function(body)
    deadline = TIMEOUT_CLOCK.now() + limit_s
    while not gone.wait(max(deadline - TIMEOUT_CLOCK.now(), _RECHECK_S if TIMEOUT_CLOCK.is_stopped else 0)):
        if TIMEOUT_CLOCK.now() < deadline:
            continue
        interrupt.raise_in_thread()
        raise OverdueError(limit_s, gone)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value
