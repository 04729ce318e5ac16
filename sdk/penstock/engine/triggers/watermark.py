"""Which events have been handled, in constant space however many there were.

Events have a time and come mostly in its order. A time up to which all have been handled, and the names of the last
ones after it, distinguish new events from old ones, also after a restart. An event that comes later than `KEPT` others
of a later time counts as handled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.engine.timestamp import epoch, rfc3339

KEPT: Final = 64


@dataclass(slots=True)
class Watermark:
    """Events that have been handled.

    Args:
        since: all events up to this time have been, in seconds since the epoch.
        later: the later ones that have been, with their times.
    """

    since: float
    later: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_status(cls, since: str, seen: Sequence[Mapping[str, Any]]) -> Watermark:
        """Read it from a status.

        Raises:
            StoredStatusError: a time is invalid.
        """
        return cls(epoch(since), {one["id"]: epoch(one["time"]) for one in seen})

    def to_status(self) -> dict[str, Any]:
        """Return it as fields of a status."""
        return {
            "since": rfc3339(self.since),
            "seen": [{"id": event, "time": rfc3339(time)} for event, time in self.later.items()],
        }

    def is_new(self, event: str, time: float) -> bool:
        """Whether an event has not been handled."""
        return time > self.since and event not in self.later

    def mark_done(self, event: str, time: float) -> None:
        """Record that an event has been handled."""
        if not self.is_new(event, time):
            return
        self.later[event] = time
        while len(self.later) > KEPT:
            oldest = min(self.later, key=lambda one: self.later[one])
            self.since = max(self.since, self.later.pop(oldest))
            self.later = {one: time for one, time in self.later.items() if time > self.since}
