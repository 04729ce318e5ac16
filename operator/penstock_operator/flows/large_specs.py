"""Large specs take turns: parsed and compiled, each takes a hundred times its size for a second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from penstock.kube.fair_slots import FairSlots

LARGE_BYTES: Final = 16 << 10
"""Of a spec as JSON. Any number of smaller ones is compiled at the same time: as many as there are workers."""
AT_ONCE: Final = 1
"""Large ones. More would take no less time, as all share one interpreter."""


class LargeSpecs:
    """Lets one large spec be compiled at a time, each namespace's in turn."""

    def __init__(self) -> None:
        self._slots = FairSlots(AT_ONCE)

    @asynccontextmanager
    async def turn(self, namespace: str, spec: Mapping[str, Any] | str | bytes) -> AsyncIterator[None]:
        """Wait for the turn of a spec, and have it for the length of the block.

        Args:
            namespace: whose.
            spec: as JSON, or what that was decoded to.
        """
        text = msgspec.json.encode(spec) if isinstance(spec, Mapping) else spec
        if len(text) < LARGE_BYTES:
            yield
            return
        del text
        async with self._slots.hold(namespace):
            yield
