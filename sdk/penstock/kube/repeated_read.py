"""Reads that are repeated until the API server answers, for what nothing can be decided without."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from penstock.kube.backoff import Backoff
from penstock.kube.errors import ApiError, ApiUnreachableError

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def read_until_answered(
    read: Callable[[], Awaitable[T]],
    what: str,
    *,
    may_pass: Callable[[ApiError], bool] = lambda _: True,
    backoff: Backoff | None = None,
) -> T:
    """Read something, again and again until that succeeds.

    Args:
        read: reads once.
        what: is read, for the log.
        may_pass: whether a refusal may pass by itself.
        backoff: makes the pauses.

    Raises:
        ApiError: a refusal that does not pass.
    """
    backoff = backoff or Backoff()
    while True:
        try:
            return await read()
        except ApiError as error:
            if not may_pass(error):
                raise
            pause_s, reason = backoff.next_s(error.retry_after_s), str(error)
        except ApiUnreachableError as error:
            pause_s, reason = backoff.next_unanswered_s(), str(error)
        logger.info("Failed to read %s; trying again in %.1f s: %s", what, pause_s, reason)
        await asyncio.sleep(pause_s)
