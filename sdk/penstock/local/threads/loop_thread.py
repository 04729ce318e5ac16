"""Whether a thread runs the background loop, determined without importing asyncio."""

from __future__ import annotations

import sys


def is_loop_thread() -> bool:
    """Whether the calling thread runs the background loop."""
    module = sys.modules.get("penstock.local.threads.background_loop")
    return module is not None and module.LOOP.is_current()
