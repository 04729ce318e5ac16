"""How long to wait before a request is retried."""

from __future__ import annotations

import random
from collections.abc import Callable

from penstock.engine.backoff import backed_off_s

BASE_S = 0.1
FACTOR = 2.0
CAP_S = 30.0


class Backoff:
    """Growing, capped and jittered pauses, so that many clients that failed together do not retry together.

    Args:
        base_s: the first pause, seconds, before jitter.
        cap_s: no pause is longer than this, seconds, unless the server asks for more.
        random_share: returns a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        base_s: float = BASE_S,
        cap_s: float = CAP_S,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random_share = random_share
        self.failures = 0

    def reset(self) -> None:
        """Start again with short pauses: something succeeded."""
        self.failures = 0

    def next_s(self, at_least_s: float | None = None) -> float:
        """Count a failure and return the pause before the next try, seconds.

        Args:
            at_least_s: what the server asked for (`Retry-After`); jitter comes on top of it, never off it.
        """
        bound_s = backed_off_s(self._base_s, factor=FACTOR, max_delay_s=self._cap_s, turn=self.failures)
        self.failures += 1
        pause_s = bound_s * (0.5 + 0.5 * self._random_share())
        return pause_s if at_least_s is None else at_least_s + pause_s
