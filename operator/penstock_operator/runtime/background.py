"""Background tasks whose unexpected failures end the process."""

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
        fail: called with an error after which this process must not continue.
    """

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_progress(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
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
            logger.exception("Background task %s failed and is not retried here", _name_of(work))
        except Exception as error:
            # After an unforeseen failure the state in memory may be wrong; the stored state is not.
            logger.exception(
                "Unexpected error in background task %s; exiting, so that the next leader rebuilds its state",
                _name_of(work),
            )
            self._fail(error)


def _name_of(work: Coroutine[Any, Any, None]) -> str:
    return getattr(work, "__qualname__", type(work).__name__)
