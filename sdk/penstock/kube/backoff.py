"""How long to wait before a request is retried."""

from __future__ import annotations

import random
from collections.abc import Callable

from penstock.engine.backoff import backed_off_s

BASE_S = 0.1
FACTOR = 2.0
CAP_S = 30.0
UNANSWERED_CAP_S = 1.0
"""A server that does not answer is not spared by long pauses, and its return is noticed this late at most."""


class Backoff:
    """Growing, capped and jittered pauses, so that many clients that failed together do not retry together.

    Refusals and missing answers are counted apart: a server that was away and returns is asked again soon, also if its
    first answer is a refusal.

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
        self._unanswered = 0

    def reset(self) -> None:
        """Start again with short pauses: something succeeded."""
        self.failures = self._unanswered = 0

    def next_s(self, at_least_s: float | None = None) -> float:
        """Count a refusal and return the pause before the next try, seconds.

        Args:
            at_least_s: what the server asked for (`Retry-After`); jitter comes on top of it, never off it.
        """
        self._unanswered = 0
        pause_s = self._pause_s(self.failures, self._cap_s)
        self.failures += 1
        return pause_s if at_least_s is None else at_least_s + pause_s

    def next_unanswered_s(self) -> float:
        """Count a request without an answer and return the pause before the next try, seconds."""
        pause_s = self._pause_s(self._unanswered, min(self._cap_s, UNANSWERED_CAP_S))
        self._unanswered += 1
        return pause_s

    def _pause_s(self, turn: int, cap_s: float) -> float:
        bound_s = backed_off_s(self._base_s, factor=FACTOR, max_delay_s=cap_s, turn=turn)
        return bound_s * (0.5 + 0.5 * self._random_share())
