"""The creation of an attempt's object of any kind: sent, held by a quota, or refused permanently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from penstock.engine.keys import RunUid, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt, VerifyAttempt
from penstock.engine.machine.facts import CreateHeld, CreateRefused, RenderFailed
from penstock.errors import ExpressionError, PenstockError, SlowExpressionError
from penstock.kube.errors import (
    ApiError,
    DeposedError,
    NotLeaderError,
    is_already_exists,
    is_namespace_terminating,
    is_not_found,
    is_quota,
)
from penstock_operator.runs.attempts.quota import QuotaGates
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.parking import describe_error
from penstock_operator.runtime.slow_pool import SlowPool

logger = logging.getLogger(__name__)

Act = Callable[[LiveRun, CreateAttempt], Awaitable[None]]


class _QuotaFullError(PenstockError):
    """A ResourceQuota refused the object."""


class _NotBuiltError(PenstockError):
    """An object could not be built from what the task says."""


@contextmanager
def building(path: str) -> Iterator[None]:
    """Have an error in the block refuse the attempt: validation should have found it, and another try fails as well.

    Args:
        path: field path of what the object is built from.
    """
    try:
        yield
    except ExpressionError:
        raise
    except Exception as error:
        logger.exception("Failed to build an object from %s", path)
        raise _NotBuiltError(f"{path}: nothing can be built from it: {describe_error(error)}") from error


class _AttemptOfRun(NamedTuple):
    run: RunUid
    key: TaskInstanceKey
    attempt: int


class AttemptCreator:
    """Creates the objects of attempts. While a namespace's quota is full, all but one of its creates wait.

    Args:
        send: creates the object and records what it shows; an ApiError or ExpressionError of it is handled here.
        adopt: records an object that has its name already, if it belongs to this attempt.
        registry: the live runs.
        slow_pool: where inputs are rendered whose expressions take long.
        full: the message for a create that waits without having been sent.
    """

    def __init__(self, send: Act, adopt: Act, registry: RunRegistry, *, slow_pool: SlowPool, full: str) -> None:
        self._send = send
        self._adopt = adopt
        self._registry = registry
        self._slow_pool = slow_pool
        self._full = full
        self._gates = QuotaGates()
        self._sending: dict[_AttemptOfRun, asyncio.Event] = {}
        """Set when the API server has answered."""

    def report_freed_quota(self, namespace: str) -> None:
        """Note that an object of ours in a namespace has ended: its quota may have capacity."""
        self._gates.report_freed_quota(namespace)

    async def create_attempt(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the object of an attempt, adopt the one that is there, or record why there is none."""
        if self._gates.is_closed(run.key.namespace, _task_of(run, create)):
            self._hold(run, create, self._full)
            return
        try:
            await self._try(run, create)
        except _QuotaFullError as full:
            self._hold(run, create, str(full))

    async def wait_for_create(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Wait for the answer to a create that was sent for an attempt: what a read shows before may be outdated."""
        answered = self._sending.get(_AttemptOfRun(run.run_uid, verify.key, verify.attempt))
        if answered is not None:
            await answered.wait()

    def _hold(self, run: LiveRun, create: CreateAttempt, message: str) -> None:
        self._registry.record_fact(run, CreateHeld(create.key, create.attempt, message))

        async def attempt() -> bool:
            try:
                await self._try(run, create)
            except _QuotaFullError:
                return False
            except (NotLeaderError, DeposedError):
                raise
            except Exception as error:  # noqa: BLE001 - the owner logs it; other creates wait behind this one
                self._registry.handle_error(run, error)
            return True

        self._gates.add_create(run.key.namespace, _task_of(run, create), attempt)

    async def _try(self, run: LiveRun, create: CreateAttempt) -> None:
        if not self._is_wanted(run, create):
            return
        attempt = _AttemptOfRun(run.run_uid, create.key, create.attempt)
        answered = self._sending[attempt] = asyncio.Event()
        try:
            await self._render_and_send(run, create)
        except ExpressionError as error:
            self._registry.record_fact(run, RenderFailed(create.key, create.attempt, str(error)))
        except ApiError as error:
            await self._on_refused(run, create, error)
        except _NotBuiltError as error:
            self._registry.record_fact(run, CreateRefused(create.key, create.attempt, str(error)))
        finally:
            if self._sending.get(attempt) is answered:
                del self._sending[attempt]
            answered.set()

    def _is_wanted(self, run: LiveRun, create: CreateAttempt) -> bool:
        machine = run.machine
        is_live = self._registry.is_live(run) and machine is not None and not run.is_terminating
        return is_live and machine is not None and machine.is_wanted(create)

    async def _render_and_send(self, run: LiveRun, create: CreateAttempt) -> None:
        if not create.is_slow:
            try:
                await self._send(run, create)
            except SlowExpressionError:
                pass
            else:
                return
        # The place in the pool is held until it is sent: so few of these inputs exist at the same time.
        async with self._slow_pool.hold(run.key.namespace):
            # It may have waited for minutes.
            if not self._is_wanted(run, create):
                return
            inputs = await self._slow_pool.call(lambda: create.inputs)
            await self._send(run, replace(create, source=inputs, is_slow=False))

    async def _on_refused(self, run: LiveRun, create: CreateAttempt, error: ApiError) -> None:
        if is_already_exists(error):
            await self._adopt(run, create)
        elif is_quota(error):
            raise _QuotaFullError(error.message) from error
        elif is_namespace_terminating(error):
            run.is_terminating = True
        elif is_not_found(error):
            run.is_terminating = True
            self._registry.recheck_run(run)
        else:
            self._registry.record_fact(run, CreateRefused(create.key, create.attempt, error.message or str(error)))


def _task_of(run: LiveRun, create: CreateAttempt) -> tuple[RunUid, str]:
    """Return what attempts share whose Pods ask for the same."""
    return run.run_uid, create.key.task
