"""Workers that reconcile the keys of a queue; one key that fails does not stop the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

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


async def run_workers(
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[None]],
    *,
    kind: str,
    workers: int,
    retry_s: float,
    fail: Fail,
) -> None:
    """Reconcile every key of a queue, forever.

    Args:
        queue: the keys.
        reconcile: brings the object of one key to its desired state.
        kind: of the objects, for the log.
        workers: keys reconciled at the same time.
        retry_s: time until a key that failed is retried, seconds.
        fail: called with an error after which this process must not continue.
    """

    async def work() -> None:
        while True:
            key = await queue.get()
            try:
                await reconcile(key)
            except (DeposedError, NotLeaderError) as error:
                fail(error)
            except ApiUnreachableError as error:
                logger.info("Reconciling %s %s failed; retrying in %g s: %s", kind, key, retry_s, error)
                queue.add_at(key, time.monotonic() + retry_s)
            except ApiError as error:
                if is_namespace_terminating(error):
                    logger.debug("%s %s is deleted with its namespace", kind, key)
                else:
                    logger.exception("Reconciling %s %s failed; retrying in %g s", kind, key, retry_s)
                    queue.add_at(key, time.monotonic() + retry_s)
            except Exception:
                # Whatever is wrong with one object, the others are reconciled; this one is logged and retried.
                logger.exception("Reconciling %s %s failed; retrying in %g s", kind, key, retry_s)
                queue.add_at(key, time.monotonic() + retry_s)
            finally:
                queue.done(key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work())
