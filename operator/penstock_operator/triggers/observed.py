"""The events of a trigger that wait to be handled: in order, and bounded however many there are."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Final, NamedTuple

from penstock.engine.keys import ObjectKey

MOST: Final = 500


class ObservedEvent(NamedTuple):
    """The end of a run or a change of an object that may be an event."""

    uid: str
    """Of the run or object."""
    key: ObjectKey
    order: float
    """Of an object: its version. Of a run: when it ended, in seconds since the epoch."""
    flow: str | None = None
    """Name of a run's Flow, if that is known."""


class ObservedEvents:
    """Events, the earliest first.

    Of more than a bound the latest are dropped, and so are all further ones that are as late, until `reopen`, whose
    caller lists them. What is handled is always earlier than what was dropped.

    Args:
        most: events that are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heap: list[tuple[float, int, ObservedEvent]] = []
        self._known: set[ObservedEvent] = set()
        self._positions = itertools.count()
        self._dropped_from = math.inf
        """Events of this order and later ones have been dropped."""

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def must_be_listed(self) -> bool:
        """Whether all that was kept has been taken, and events were dropped."""
        return self._dropped_from < math.inf and not self._heap

    def add(self, event: ObservedEvent) -> None:
        """Add an event, unless it is there."""
        if event.order >= self._dropped_from or event in self._known:
            return
        self.put_back(event)
        # Twice as many for a moment: so the cost of dropping is spread over as many additions.
        if len(self._heap) >= 2 * self._most:
            self._drop_latest()

    def put_back(self, event: ObservedEvent) -> None:
        """Add an event that was taken and could not be handled."""
        if event not in self._known:
            self._known.add(event)
            heapq.heappush(self._heap, (event.order, next(self._positions), event))

    def take_event(self) -> ObservedEvent:
        """Remove the earliest event.

        Raises:
            IndexError: there is none.
        """
        _, _, event = heapq.heappop(self._heap)
        self._known.discard(event)
        return event

    def reopen(self) -> None:
        """Accept all events again: those that were dropped are about to be listed."""
        self._dropped_from = math.inf

    def drop_all(self) -> None:
        """Drop all events: those that were dropped before could not be listed, and come first."""
        self._heap.clear()
        self._known.clear()
        self._dropped_from = -math.inf

    def _drop_latest(self) -> None:
        smallest = heapq.nsmallest(self._most + 1, self._heap)
        last = smallest[-1][0]
        # Events of one order are kept or dropped together.
        kept = [one for one in smallest if one[0] < last]
        self._dropped_from = last
        if not kept:
            kept = [one for one in self._heap if one[0] == last]
            self._dropped_from = math.nextafter(last, math.inf)
        self._heap = kept
        heapq.heapify(self._heap)
        self._known = {event for _, _, event in kept}
