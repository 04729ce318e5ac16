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


class DeadlineError(BaseException):
    """The time of some run is up. No Exception, so that `except Exception` in a function does not swallow it."""


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
    error = DeadlineError()
    began, began_real = CLOCK.now(), time.monotonic()
    outer_handler = signal.getsignal(signal.SIGALRM)
    outer_left_s, outer_interval_s = signal.getitimer(signal.ITIMER_REAL)

    def on_alarm(signal_number: int, frame: FrameType | None) -> None:
        left_s = limit_s - (CLOCK.now() - began)
        if left_s <= 0:
            raise error
        # The clock stood still; or it is the alarm of somebody further out: a flow around this task, a test runner.
        if callable(outer_handler) and outer_left_s and time.monotonic() - began_real >= outer_left_s:
            outer_handler(signal_number, frame)
        signal.setitimer(signal.ITIMER_REAL, max(left_s, _RECHECK_S) if CLOCK.is_stopped else left_s)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, min(limit_s, outer_left_s) if outer_left_s else limit_s)
    try:
        return function()
    except DeadlineError as caught:
        if caught is error:
            raise OverdueError(limit_s) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer_handler)
        if outer_left_s:
            left_s = max(outer_left_s - (time.monotonic() - began_real), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, left_s, outer_interval_s)


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
