"""Which events are done with, kept in a few words however many there were.

Events come with a time, mostly in its order. A time up to which all are done with, and the last ones after it by name,
tell a new event from an old one, also after a restart. An event that comes later than `KEPT` others of a later time
counts as done with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.engine.timestamp import epoch, rfc3339

KEPT: Final = 64


@dataclass(slots=True)
class Watermark:
    """Events that are done with.

    Args:
        since: those up to this time are, in seconds since the epoch.
        later: those after it that are, with their times.
    """

    since: float
    later: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_status(cls, since: str, seen: Sequence[Mapping[str, Any]]) -> Watermark:
        """Read it from a status.

        Raises:
            StoredStatusError: a time can't be read.
        """
        return cls(epoch(since), {one["id"]: epoch(one["time"]) for one in seen})

    def to_status(self) -> dict[str, Any]:
        """Return it as fields of a status."""
        return {
            "since": rfc3339(self.since),
            "seen": [{"id": event, "time": rfc3339(time)} for event, time in self.later.items()],
        }

    def is_new(self, event: str, time: float) -> bool:
        """Tell whether an event is not done with."""
        return time > self.since and event not in self.later

    def mark_done(self, event: str, time: float) -> None:
        """Learn that an event is done with."""
        if not self.is_new(event, time):
            return
        self.later[event] = time
        while len(self.later) > KEPT:
            oldest = min(self.later, key=lambda one: self.later[one])
            self.since = max(self.since, self.later.pop(oldest))
            self.later = {one: time for one, time in self.later.items() if time > self.since}
