"""The clock for timeouts: it is stopped while a run is paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class TimeoutClock:
    """Measures the time that counts against timeouts, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops = 0
        self._stopped_at = 0.0
        self._total_stopped_s = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped now."""
        return self._stops > 0

    def now(self) -> float:
        """Return the time in seconds, from an arbitrary start."""
        with self._lock:
            return (self._stopped_at if self._stops else time.monotonic()) - self._total_stopped_s

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for the `with` block."""
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
                    self._total_stopped_s += time.monotonic() - self._stopped_at


TIMEOUT_CLOCK: Final = TimeoutClock()
