"""Jitter: how long after its tick a run is created, so that the Schedules of a cluster do not all fire at once."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from penstock.engine.ticks.timetable import Timetable

_SHARES: Final = 2**64


class Jitter:
    """The delays of one Schedule. Each follows from the tick, so that a restarted operator computes the same delay.

    Args:
        timetable: the ticks.
        longest: the longest delay.
        seed: what distinguishes the Schedule from others: its uid.
    """

    def __init__(self, timetable: Timetable, longest: timedelta, seed: str) -> None:
        self._timetable = timetable
        self._longest = longest
        self._seed = seed

    def due(self, tick: datetime) -> datetime:
        """Return when the run of a tick is due: before the next tick, so that runs keep the order of ticks."""
        if not self._longest:
            return tick
        following = self._timetable.next(tick)
        span = self._longest if following is None else min(self._longest, following - tick)
        digest = hashlib.sha256(f"{self._seed}\0{int(tick.timestamp())}".encode()).digest()
        return tick + span * (int.from_bytes(digest[:8], "big") / _SHARES)
