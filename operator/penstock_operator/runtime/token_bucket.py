"""A limit of how often something is done, with a reserve for bursts."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Holds tokens, which are taken one by one and come back at a steady rate.

    Args:
        burst: most tokens, and those at the beginning.
        per_s: tokens that come back in a second.
        clock: monotonic seconds.
    """

    def __init__(self, burst: int, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._tokens = float(burst)
        self._counted_at = clock()

    def take_token(self) -> None:
        """Take a token, also if there is none: then the next ones come later."""
        self._count()
        self._tokens -= 1.0

    @property
    def wait_s(self) -> float:
        """Seconds until there is a token; 0 if there is one."""
        self._count()
        return max(0.0, (1.0 - self._tokens) / self._per_s)

    def _count(self) -> None:
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._counted_at) * self._per_s)
        self._counted_at = now
