"""Workers that reconcile the keys of a queue; one key that fails does not stop the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from penstock.kube.backoff import UNANSWERED_CAP_S
from penstock.kube.errors import (
    ApiError,
    ApiUnreachableError,
    DeposedError,
    NotLeaderError,
    is_namespace_terminating,
)
from penstock_operator.runtime.workqueue import K, WorkQueue

logger = logging.getLogger(__name__)

Fail = Callable[[BaseException], None]
OnError = Callable[[K, Exception], Awaitable[None]]
"""Handles an unexpected error in the reconciliation of a key, which is not retried otherwise."""


async def run_workers(
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[None]],
    *,
    kind: str,
    workers: int,
    retry_s: float,
    fail: Fail,
    on_error: OnError[K],
) -> None:
    """Reconcile every key of a queue, forever.

    Args:
        queue: the keys.
        reconcile: brings the object of one key to its desired state.
        kind: of the objects, for the log.
        workers: keys reconciled at the same time.
        retry_s: time until a key is retried whose reconciliation the API server refused, seconds. If it did not answer,
            a key is retried after a second at the latest.
        fail: called with an error after which this process must not continue.
        on_error: handles any other error, so that it stays the problem of that key.
    """

    async def attempt(key: K) -> None:
        try:
            await reconcile(key)
        except (ApiError, ApiUnreachableError, DeposedError, NotLeaderError):
            raise
        except Exception as error:  # noqa: BLE001 - whoever handles it logs it
            await handle(key, error)

    async def handle(key: K, error: Exception) -> None:
        try:
            await on_error(key, error)
        except (ApiError, ApiUnreachableError, DeposedError, NotLeaderError):
            raise
        except Exception:
            logger.exception("Failed to handle an earlier error of %s %s; retrying in %g s", kind, key, retry_s)
            queue.add_at(key, time.monotonic() + retry_s)

    queue.share_workers(workers)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(_work(queue, attempt, kind=kind, retry_s=retry_s, fail=fail))


async def _work(
    queue: WorkQueue[K], attempt: Callable[[K], Awaitable[None]], *, kind: str, retry_s: float, fail: Fail
) -> None:
    while True:
        key = await queue.get()
        try:
            await attempt(key)
        except (DeposedError, NotLeaderError) as error:
            fail(error)
        except ApiUnreachableError as error:
            pause_s = min(retry_s, UNANSWERED_CAP_S)
            logger.info("Reconciling %s %s failed; retrying in %g s: %s", kind, key, pause_s, error)
            queue.add_at(key, time.monotonic() + pause_s)
        except ApiError as error:
            if is_namespace_terminating(error):
                logger.debug("%s %s is deleted with its namespace", kind, key)
            else:
                logger.exception("Reconciling %s %s failed; retrying in %g s", kind, key, retry_s)
                queue.add_at(key, time.monotonic() + retry_s)
        finally:
            queue.done(key)
