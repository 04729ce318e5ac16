"""The end of the process, as a flow sees it: SIGTERM raises, so that the flow ends as Crashed and its hooks run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(SystemExit):
    """The process was told to end. It exits with the code that shells give to it: 128 and the signal's number."""

    def __str__(self) -> str:
        """Say by what."""
        return "signal SIGTERM"


@contextmanager
def raising_on_terminate() -> Iterator[None]:
    """Have SIGTERM raise TerminatedError in the main thread, unless the program has a handler of its own."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(signal_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError(128 + signal_number)
