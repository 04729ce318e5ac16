"""When each Flow last succeeded: in the metrics at once, in its status at most every ten seconds.

And whether it is overdue: whether no run has succeeded for longer than its `expectSuccessWithin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from penstock.api.duration import duration_s
from penstock.engine.keys import ObjectKey
from penstock.engine.timestamp import epoch, rfc3339
from penstock.kube.conditions import Condition, condition
from penstock.kube.kinds.flow import Flow
from penstock_operator.flow_metrics import FlowMetrics
from penstock_operator.runtime.bounded import BoundedMap
from penstock_operator.runtime.workqueue import WorkQueue

PAUSE_S: Final = 10.0
"""Between two writes of the same Flow."""
OVERDUE: Final = "Overdue"
"""The condition that says whether a Flow has not succeeded for too long."""

UNREAD: Final = 1_000
"""Flows that have not been read whose success is remembered."""


class Successes:
    """The last success of each Flow.

    Args:
        metrics: where it is exposed.
        clock: monotonic seconds.

    Attributes:
        to_store: the Flows whose status is to say it.
    """

    def __init__(self, metrics: FlowMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.to_store: WorkQueue[ObjectKey] = WorkQueue(clock=clock)
        self._metrics = metrics
        self._clock = clock
        self._succeeded_at: dict[ObjectKey, float] = {}
        self._expect_within_s: dict[ObjectKey, float | None] = {}
        self._unread: BoundedMap[ObjectKey, float] = BoundedMap(UNREAD)
        """The last success of Flows that have not been read yet, or that were deleted while a run went on."""
        self._stored_at: dict[ObjectKey, float] = {}
        """When the status was last written, on the clock."""

    def add_flow(self, key: ObjectKey, item: Flow) -> None:
        """Expose a Flow as it is now.

        Args:
            key: which.
            item: with its spec.
        """
        known = item.status.last_success_time or item.metadata.creation_timestamp
        at = epoch(known) if known else 0.0
        latest = max(self._succeeded_at.get(key, 0.0), self._unread.pop(key, 0.0))
        self._succeeded_at[key] = max(at, latest)
        if latest > at:
            self._store_later(key)
        within = item.spec.get("expectSuccessWithin")
        try:
            self._expect_within_s[key] = None if within is None else duration_s(within)
        except ValueError:
            # The schema refuses it, unless the CRD is of another version.
            self._expect_within_s[key] = None
        self._expose(key)

    def record_success(self, key: ObjectKey, at: float) -> None:
        """Record that a run completed.

        Args:
            key: its Flow.
            at: when, seconds since the epoch.
        """
        if at <= self._succeeded_at.get(key, 0.0):
            return
        if key not in self._expect_within_s:
            # A run may complete before its Flow is read, as after a take-over.
            self._unread[key] = max(at, self._unread.get(key, 0.0))
            return
        self._succeeded_at[key] = at
        self._expose(key)
        self._store_later(key)

    def overdue_at(self, key: ObjectKey) -> float | None:
        """Return from when a Flow is overdue unless a run succeeds, seconds since the epoch; None: never."""
        within_s = self._expect_within_s.get(key)
        return None if within_s is None else self._succeeded_at[key] + within_s

    def overdue_condition(
        self, key: ObjectKey, stored: Iterable[Condition], *, generation: int, now: float
    ) -> Condition | None:
        """Return the condition `Overdue` of a Flow; None if it expects nothing.

        Args:
            key: which.
            stored: its conditions.
            generation: of its spec.
            now: seconds since the epoch.
        """
        overdue_at = self.overdue_at(key)
        if overdue_at is None:
            return None
        if now < overdue_at:
            verdict, reason, message = "False", "SucceededInTime", "a run has succeeded within spec.expectSuccessWithin"
        else:
            since = rfc3339(int(self._succeeded_at[key]))
            verdict, reason = "True", "NoSuccess"
            message = f"no run has succeeded since {since}, for longer than spec.expectSuccessWithin"
        return condition(stored, OVERDUE, verdict, reason=reason, message=message, generation=generation, now=now)

    def take_success(self, key: ObjectKey) -> float | None:
        """Return what is to be stored of a Flow, and begin its pause."""
        self._stored_at[key] = self._clock()
        return self._succeeded_at.get(key)

    def forget_flow(self, key: ObjectKey) -> None:
        """Forget a deleted Flow."""
        self.to_store.forget_key(key)
        for known in (self._succeeded_at, self._expect_within_s, self._stored_at):
            known.pop(key, None)
        self._metrics.remove_flow(key)

    def _store_later(self, key: ObjectKey) -> None:
        self.to_store.add_at(key, self._stored_at.get(key, float("-inf")) + PAUSE_S)

    def _expose(self, key: ObjectKey) -> None:
        self._metrics.add_flow(
            key, succeeded_at=self._succeeded_at[key], expect_within_s=self._expect_within_s.get(key)
        )
