"""Whether a thread is that of the background loop, without importing asyncio to find out."""

from __future__ import annotations

import sys


def is_loop_thread() -> bool:
    """Whether the calling thread runs the background loop."""
    module = sys.modules.get("penstock.local.loop")
    return module is not None and module.LOOP.is_current()
