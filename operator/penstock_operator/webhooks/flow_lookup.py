"""Flows as they were a moment ago, so that a thousand runs created together do not read theirs a thousand times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from penstock.api.flow import FlowSpec
from penstock_operator.runtime.bounded import BoundedMap
from penstock_operator.webhooks.admission import Lookup

FRESH_S: Final = 2.0
KEPT: Final = 100


class _Seen(NamedTuple):
    read_at: float
    spec: FlowSpec


class FlowLookup:
    """Finds Flows, and remembers them for a moment. That there is none is not remembered.

    Args:
        lookup: finds them.
        clock: monotonic seconds.
    """

    def __init__(self, lookup: Lookup, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._seen: BoundedMap[tuple[str, str], _Seen] = BoundedMap(KEPT)

    async def __call__(self, namespace: str, name: str) -> FlowSpec | None:
        """Find a Flow; it may be out of date by `FRESH_S` seconds.

        Raises:
            InvalidSpecError: its spec is invalid.
            PenstockError: it could not be read.
        """
        key, now = (namespace, name), self._clock()
        seen = self._seen.get(key)
        if seen is not None and now - seen.read_at < FRESH_S:
            return seen.spec
        self._seen.pop(key, None)
        spec = await self._lookup(namespace, name)
        if spec is not None:
            self._seen[key] = _Seen(now, spec)
        return spec
