"""Statuses of runs: when they are stored, and how, so that no two leaders can overwrite each other."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final

import msgspec

from penstock.engine.keys import RunKey
from penstock.errors import PenstockError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, DeposedError, is_not_found, is_precondition_failed
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun, status_patch, stored_head
from penstock_operator.runs.registry import RunRegistry

logger = logging.getLogger(__name__)

LEAST_PAUSE_S: Final = 0.1
"""Between two flushes of a run's status."""
DUTY: Final = 20.0
"""The next flush begins no sooner than this many times the last one's duration after it. If more runs than this have
something to store, their number counts instead: then all of them together keep about one flush in progress."""
LONGEST_PAUSE_S: Final = 20.0
"""A stored status is never older than this, however large the run is and however busy the API server."""
RETRY_S: Final = 5.0
"""When to try again to store a status that could not be stored."""


class Stored(Enum):
    """Whether a status was stored, and if not, why."""

    YES = auto()
    NOT_NOW = auto()
    """Another writer changed the run a moment ago: try again."""
    RUN_GONE = auto()
    """The run may not exist any more."""
    CHANGED_BY_OTHERS = auto()
    """The stored status is not the one that this process stored: the run has to be resumed from there."""


class ForgedEpochError(PenstockError):
    """The status of a run names a later leader, and there is none: the operator did not write it."""


class StatusStore:
    """Reads runs and stores their statuses.

    Args:
        client: for reads.
        writer: for writes.
        epoch: of this leader.
        confirm_leading: asks the Lease whether this process still leads.
    """

    def __init__(
        self, client: ApiClient, writer: Writer, *, epoch: int, confirm_leading: Callable[[], Awaitable[bool]]
    ) -> None:
        self._client = client
        self._writer = writer
        self._epoch = epoch
        self._confirm_leading = confirm_leading

    async def read_run(self, key: RunKey) -> FlowRun | None:
        """Read a run; None if there is none.

        Raises:
            ApiError: the API server refused.
            ApiUnreachableError: it did not answer.
        """
        return await self._client.get(FLOWRUNS, key.namespace, key.name, kind=FlowRun)

    async def store_status(
        self, run: LiveRun, status: dict[str, Any] | None, operations: list[dict[str, Any]]
    ) -> Stored:
        """Store a status.

        Args:
            run: the run.
            status: the whole status, when none is stored; else None.
            operations: else what changed.

        Raises:
            ApiError: the API server refuses this status.
            ApiUnreachableError: it did not answer.
            DeposedError: a later leader has written the run's status.
            ForgedEpochError: the status only says so; the run knows what is stored now.
            NotLeaderError: this process may not write any more.
        """
        body = msgspec.json.encode(status_patch(run, self._epoch, status, operations))
        namespace, name = run.key
        try:
            await self._writer.patch(
                FLOWRUNS, namespace, name, body, subresource="status", accept=METADATA, priority=Priority.STATUS
            )
        except ApiError as error:
            return Stored.RUN_GONE if is_not_found(error) else await self._explain_refusal(run, error)
        run.epoch = self._epoch
        run.head = stored_head(run.head, status, operations)
        run.observed_generation = run.generation
        return Stored.YES

    async def _explain_refusal(self, run: LiveRun, error: ApiError) -> Stored:
        """Find out why a status was refused: another leader, another run of that name, or the status itself."""
        found = await self.read_run(run.key)
        if found is None or found.uid != run.uid:
            return Stored.RUN_GONE
        epoch = found.epoch
        if epoch is not None and epoch > self._epoch:
            if not await self._confirm_leading():
                raise DeposedError(f"the status of {run.key} was written by a later leader (epoch {epoch})")
            # Whoever may write statuses can write this one: it must end neither this leader nor the next one.
            run.adopt_status(found)
            raise ForgedEpochError(
                f"status.epoch is {epoch}, but that of the present leader is {self._epoch}: something other than the "
                "operator wrote the status; see who may update flowruns/status in this namespace"
            )
        if epoch == run.epoch and (run.epoch is not None or not found.status):
            if run.epoch is None and found.metadata.resource_version != run.resource_version:
                # The run was changed, a label for example, between our read and our first write.
                run.resource_version = found.metadata.resource_version
                return Stored.NOT_NOW
            if not is_precondition_failed(error):
                raise error
        return Stored.CHANGED_BY_OTHERS


class StatusFlusher:
    """Decides when a run's status is stored, and has the controller act on the result.

    Args:
        statuses: stores it.
        registry: has runs reconciled.
        metrics: where flushes are counted.
        on_stored: acts on what a status says, once it is stored.
        on_refused: acts on why one was not.
    """

    def __init__(
        self,
        statuses: StatusStore,
        registry: RunRegistry,
        metrics: Metrics,
        *,
        on_stored: Callable[[LiveRun], None],
        on_refused: Callable[[LiveRun, Stored], Awaitable[None]],
    ) -> None:
        self._statuses = statuses
        self._registry = registry
        self._metrics = metrics
        self._on_stored = on_stored
        self._on_refused = on_refused
        self._unstored: set[RunKey] = set()

    async def store_now(self, run: LiveRun, status: dict[str, Any]) -> bool:
        """Store the whole status of a run without a machine; false if the run is to be reconciled again."""
        stored = await self._statuses.store_status(run, status, [])
        if stored is Stored.YES:
            self._on_stored(run)
            return True
        await self._on_refused(run, stored)
        self._registry.reconcile_at(run, time.monotonic())
        return False

    def flush_when_due(self, run: LiveRun, *, is_urgent: bool) -> None:
        """Store a changed status: now, or when it is due."""
        now = time.monotonic()
        if run.unstored_since is None:
            run.unstored_since = now
            self._unstored.add(run.key)
        if run.flushing is not None:
            return
        if is_urgent or now >= run.next_flush_at:
            run.flushing = self._registry.spawn(run, self._flush(run))
        else:
            self._registry.reconcile_at(run, run.next_flush_at)

    def forget_run(self, run: LiveRun) -> None:
        """Forget a run of which nothing more is stored."""
        self._unstored.discard(run.key)

    def _next_flush_at(self, started_at: float, ended_at: float) -> float:
        """Return when a run may be stored again, in monotonic seconds."""
        pause_s = max(DUTY, len(self._unstored)) * (ended_at - started_at)
        return ended_at + min(max(LEAST_PAUSE_S, pause_s), LONGEST_PAUSE_S)

    async def _flush(self, run: LiveRun) -> None:
        await run.wait_for_step()
        machine = run.machine
        if machine is None:
            # The run was parked in between.
            run.flushing = None
            return
        started_at = time.monotonic()
        stored = Stored.NOT_NOW
        try:
            # A task runs when the loop gets to it: what the same burst of events brings is in this flush.
            changes = machine.take_changes()
            stored = await self._statuses.store_status(run, changes.status, changes.operations)
        except ApiError as error:
            logger.warning("FlowRun %s: the API server refused its status; trying again: %s", run.key, error)
        except ApiUnreachableError as error:
            logger.info("FlowRun %s: its status could not be stored; trying again: %s", run.key, error)
        finally:
            await run.wait_for_step()
            run.flushing = None
            run.next_flush_at = self._next_flush_at(started_at, time.monotonic())
        self._metrics.status_flush_duration.observe(time.monotonic() - started_at)
        if run.is_parked:
            return
        if stored is Stored.YES:
            was_held_back = not run.may_create(time.monotonic())
            run.unstored_since = None
            self._unstored.discard(run.key)
            run.is_slot_unstored = False
            is_work = machine.mark_stored(changes.version)
            self._on_stored(run)
            if not (is_work or was_held_back):
                return
        else:
            machine.mark_not_stored(changes)
            run.next_flush_at = max(run.next_flush_at, time.monotonic() + RETRY_S)
            await self._on_refused(run, stored)
        self._registry.reconcile_at(run, time.monotonic())
