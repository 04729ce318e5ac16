"""Runs that had begun and can't go on: their Pods are stopped at sight, for they have no machine to do so."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

KNOWN: Final = 1000
"""Runs that are remembered; one that fell out is known again by its stored reason when its Pods are looked at."""


class Condemned:
    """Knows them by uid."""

    def __init__(self) -> None:
        self._uids: OrderedDict[str, None] = OrderedDict()

    def add(self, uid: str) -> None:
        """Learn of a run."""
        self._uids[uid] = None
        if len(self._uids) > KNOWN:
            self._uids.popitem(last=False)

    def __contains__(self, uid: str) -> bool:
        """Whether a run is one of them."""
        return uid in self._uids
