"""Removes finished runs of Schedules that are gone, and of their Backfills, where their Flow does not keep them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.engine.state import SUCCESSFUL_RUN_STATES
from penstock.engine.timestamp import epoch
from penstock.errors import StoredStatusError
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_not_found
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.resources import FLOWRUNS, SCHEDULES
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.retention.kept_runs import RunPolicy
from penstock_operator.schedules.runs import ScheduledRun, ScheduleRuns

logger = logging.getLogger(__name__)

KEEP_S: Final = 168 * 3600.0
"""How long a run is kept after its end."""
SWEEP_S: Final = 600.0
DELETE_S: Final = 30.0
"""How long one removal is retried at once."""


class OrphanedRuns:
    """Removes the runs that no Schedule's `history` counts any more.

    Args:
        client: for reads.
        writer: for removals.
        runs: the runs of Schedules.
        policy_of: how long a Flow keeps its runs; None if nothing says so, or if it is not known yet.
        has_no_retention: reads whether there is no such Flow, or nothing says how long its runs are kept.
        metrics: where removals are counted.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        runs: ScheduleRuns,
        policy_of: Callable[[ObjectKey], RunPolicy | None],
        has_no_retention: Callable[[ObjectKey], Awaitable[bool]],
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._runs = runs
        self._policy_of = policy_of
        self._has_no_retention = has_no_retention
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Remove what is due, forever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except (ApiError, ApiUnreachableError) as error:
                logger.warning("Failed to delete runs of deleted Schedules; trying again later: %s", error)
            except NotLeaderError:
                raise
            except Exception:
                # The sweep belongs to all namespaces: what is wrong with one run must not end it.
                self._metrics.internal_errors.labels("Schedule").inc()
                logger.exception("Internal error about runs of deleted Schedules; trying again later")

    async def sweep(self) -> None:
        """Remove what is due now.

        Raises:
            ApiError: the API server refused it.
            ApiUnreachableError: no answer.
        """
        now = self._clock()
        for key, uid, runs in self._runs.finished_of_all():
            due = [run for run in runs if self._is_due(key.namespace, run, now)]
            if not due or await self._exists(key, uid):
                continue
            for flow, of_flow in _by_flow(due).items():
                if await self._is_left_to_us(ObjectKey(key.namespace, flow)):
                    for run in of_flow:
                        await self._remove(key.namespace, run)

    def _is_due(self, namespace: str, run: ScheduledRun, now: float) -> bool:
        if run.backfill and run.is_owned:
            # It is deleted when its last owner is.
            return False
        try:
            is_old = run.completion_time is not None and now - epoch(run.completion_time) >= KEEP_S
        except StoredStatusError:
            return False
        policy = self._policy_of(ObjectKey(namespace, run.flow)) if is_old and run.flow else None
        is_kept_by_flow = policy and policy.keep_s(is_successful=run.state in SUCCESSFUL_RUN_STATES) is not None
        return is_old and not is_kept_by_flow

    async def _is_left_to_us(self, flow: ObjectKey) -> bool:
        """Whether a Flow does not keep its runs longer: one that was not validated yet may do so."""
        return not flow.name or self._policy_of(flow) is not None or await self._has_no_retention(flow)

    async def _exists(self, key: ObjectKey, uid: str) -> bool:
        try:
            found = await self._client.get(SCHEDULES, key.namespace, key.name, kind=Schedule)
        except msgspec.MsgspecError:
            return True
        return found is not None and found.metadata.uid == uid

    async def _remove(self, namespace: str, run: ScheduledRun) -> None:
        deadline = time.monotonic() + DELETE_S
        try:
            await self._writer.delete(
                FLOWRUNS, namespace, run.name, run.uid, deadline=deadline, priority=Priority.REMOVAL
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
        else:
            self._metrics.removals.labels("run").inc()


def _by_flow(runs: list[ScheduledRun]) -> dict[str, list[ScheduledRun]]:
    found: dict[str, list[ScheduledRun]] = {}
    for run in runs:
        found.setdefault(run.flow, []).append(run)
    return found
