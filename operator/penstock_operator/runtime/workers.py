"""Workers: they look at the keys of a queue, and one that can't be looked at does not stop the others."""

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
    look_at: Callable[[K], Awaitable[None]],
    *,
    kind: str,
    workers: int,
    retry_s: float,
    fail: Fail,
) -> None:
    """Look at every key that comes, for ever.

    Args:
        queue: the keys.
        look_at: brings the object of one key to where it should be.
        kind: of the objects, for the log.
        workers: keys looked at together.
        retry_s: when to look again at one that could not be looked at, seconds.
        fail: told of an error after which this process must not go on.
    """

    async def work() -> None:
        while True:
            key = await queue.get()
            try:
                await look_at(key)
            except (DeposedError, NotLeaderError) as error:
                fail(error)
            except ApiUnreachableError as error:
                logger.info("%s %s: looked at again in %g s: %s", kind, key, retry_s, error)
                queue.add_at(key, time.monotonic() + retry_s)
            except ApiError as error:
                if is_namespace_terminating(error):
                    logger.debug("%s %s goes with its namespace", kind, key)
                else:
                    logger.exception("%s %s could not be looked at; tried again in %g s", kind, key, retry_s)
                    queue.add_at(key, time.monotonic() + retry_s)
            except Exception:
                # Whatever is wrong with one object, the others go on; this one is told in the log and tried again.
                logger.exception("%s %s could not be looked at; tried again in %g s", kind, key, retry_s)
                queue.add_at(key, time.monotonic() + retry_s)
            finally:
                queue.done(key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work())
