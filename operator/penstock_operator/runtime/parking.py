"""Objects whose work failed unexpectedly: each is set aside and retried after a growing pause, and nothing else is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from penstock.engine.backoff import backed_off_s
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.bounded import BoundedMap

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0
FORGOTTEN_S: Final = 2 * LONGEST_PAUSE_S
"""A failure so long after the last one counts as the first."""
KNOWN: Final = 10_000
SHOWN_CHARACTERS: Final = 500


@dataclass(slots=True)
class _Failures:
    count: int = 0
    failed_at: float = 0.0
    retry_at: float = 0.0
    is_parked: bool = False


class Parking(Generic[K]):
    """The parked objects of one kind.

    Args:
        kind: as in `FlowRun`, for the log and the metrics.
        metrics: where they are counted.
        clock: monotonic seconds.
    """

    def __init__(self, kind: str, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind = kind
        self._errors = metrics.internal_errors.labels(kind)
        self._parked = metrics.parked_objects.labels(kind)
        self._clock = clock
        self._failures: BoundedMap[K, _Failures] = BoundedMap(KNOWN)

    def park(self, key: K, error: Exception) -> float:
        """Set an object aside because of an error; returns when it is to be retried, on the clock."""
        now = self._clock()
        known = self._failures.get(key)
        if known is None or now - known.failed_at > FORGOTTEN_S:
            self.forget_object(key)
            known = self._failures[key] = _Failures()
        if known.is_parked and known.retry_at > now:
            # Work that had begun before, or an event, has failed as well.
            self.count_error(key, error, "it is set aside already", is_first=False)
            return known.retry_at
        pause_s = backed_off_s(FIRST_PAUSE_S, factor=2.0, max_delay_s=LONGEST_PAUSE_S, turn=known.count)
        known.count, known.failed_at, known.retry_at = known.count + 1, now, now + pause_s
        if not known.is_parked:
            known.is_parked = True
            self._parked.inc()
        self.count_error(key, error, f"retrying in {pause_s:g} s", is_first=known.count == 1)
        return known.retry_at

    def count_error(self, key: K, error: Exception, consequence: str, *, is_first: bool = True) -> None:
        """Count and log an error about an object, without parking the object."""
        self._errors.inc()
        # The same traceback once: an object that cannot be worked on must not fill the log.
        trace = error if is_first else None
        logger.error(
            "Internal error while working on %s %s; %s: %s",
            self._kind,
            key,
            consequence,
            describe_error(error),
            exc_info=trace,
        )

    def retry_at(self, key: K) -> float | None:
        """Return until when an object is left alone, on the clock; None if it may be worked on."""
        known = self._failures.get(key)
        if known is None or not known.is_parked or known.retry_at <= self._clock():
            return None
        return known.retry_at

    def release(self, key: K) -> None:
        """Let an object be retried at once: what it is, or what it uses, has changed."""
        known = self._failures.get(key)
        if known is not None:
            known.retry_at = 0.0

    def succeed(self, key: K) -> None:
        """Note that an object was worked on without an error."""
        known = self._failures.get(key)
        if known is not None and known.is_parked:
            known.is_parked = False
            self._parked.dec()

    def forget_object(self, key: K) -> None:
        """Forget an object that does not exist any more, or has finished."""
        self.succeed(key)
        self._failures.pop(key, None)

    @property
    def parked(self) -> list[K]:
        """The objects that are parked."""
        return [key for key, known in self._failures.items() if known.is_parked]


def describe_error(error: Exception) -> str:
    """Return an exception's type and message in one line, for a condition."""
    text = " ".join(str(error).split())[:SHOWN_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
