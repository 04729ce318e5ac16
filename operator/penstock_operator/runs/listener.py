"""Who hears what became of a write: the ways back into the engine room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from penstock.engine.machine.facts import Fact
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.workloads.pod_status import Pod


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears what became of a write.

    Attributes:
        is_live: whether a run is still the one of its name that is carried out.
        tell: takes a fact about a run.
        hear: takes a Pod of a run.
        lose: takes a Pod of a run that does not exist any more, as it was last seen.
        stray: takes a Pod whose run went while the Pod came.
        doubt: told that a run, or its namespace, may be gone.
        find: returns the run of a uid that is carried out.
        spawn: does work in the background.
    """

    is_live: Callable[[LiveRun], bool]
    tell: Callable[[LiveRun, Fact], None]
    hear: Callable[[LiveRun, Pod], None]
    lose: Callable[[LiveRun, Pod], None]
    stray: Callable[[Pod], None]
    doubt: Callable[[LiveRun], None]
    find: Callable[[str], LiveRun | None]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
