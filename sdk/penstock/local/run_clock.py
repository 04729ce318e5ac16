"""The clock of timeouts: it stands still while a run waits for a person."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class RunClock:
    """Seconds that count for timeouts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops = 0
        self._stopped_at = 0.0
        self._stood_s = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still now."""
        return self._stops > 0

    def now(self) -> float:
        """Return the time, from any beginning."""
        with self._lock:
            return (self._stopped_at if self._stops else time.monotonic()) - self._stood_s

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still."""
        with self._lock:
            if not self._stops:
                self._stopped_at = time.monotonic()
            self._stops += 1
        try:
            yield
        finally:
            with self._lock:
                self._stops -= 1
                if not self._stops:
                    self._stood_s += time.monotonic() - self._stopped_at


CLOCK: Final = RunClock()
