"""Work in the background, whose failures are told to somebody who can act."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from penstock.errors import PenstockError
from penstock.kube.errors import DeposedError, NotLeaderError

logger = logging.getLogger(__name__)


class Background:
    """Runs coroutines beside each other.

    Args:
        fail: told of an error after which this process must not go on.
    """

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin some work."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End all work that is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (DeposedError, NotLeaderError) as error:
            self._fail(error)
        except PenstockError:
            logger.exception("A write was given up")
        except Exception as error:
            # A write that broke unforeseen leaves what is in memory in doubt; what is stored is not.
            logger.exception("Lost work: this process starts anew from what is stored")
            self._fail(error)
