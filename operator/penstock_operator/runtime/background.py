"""Background tasks, each about one object, which owns an unexpected failure; only a lost Lease ends the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from penstock.kube.errors import ApiError, ApiUnreachableError, DeposedError, NotLeaderError

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

    def spawn(self, work: Coroutine[Any, Any, None], on_error: Callable[[Exception], None]) -> asyncio.Task[None]:
        """Start a task.

        Args:
            work: what to run; it is about one object.
            on_error: receives an unexpected error, so that it stays the problem of that object.
        """
        task = asyncio.create_task(self._guard(work, on_error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, work: Coroutine[Any, Any, None], on_error: Callable[[Exception], None]) -> None:
        try:
            await self._run(work, on_error)
        except Exception as error:
            # Who owns the error could not handle it: the state in memory may be wrong; the stored state is not.
            logger.exception("Failed to handle an unexpected error; exiting: the next leader rebuilds its state")
            self._fail(error)

    async def _run(self, work: Coroutine[Any, Any, None], on_error: Callable[[Exception], None]) -> None:
        try:
            await work
        except (DeposedError, NotLeaderError) as error:
            self._fail(error)
        except (ApiError, ApiUnreachableError):
            logger.exception("Background task %s failed and is not retried here", _name_of(work))
        except Exception as error:  # noqa: BLE001 - the owner logs it
            on_error(error)


def _name_of(work: Coroutine[Any, Any, None]) -> str:
    return getattr(work, "__qualname__", type(work).__name__)
