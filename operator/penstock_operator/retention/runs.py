"""Removes runs that are over when their Flow says so: runs that something other than a person named."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.retention.kept_runs import EndedRun, KeptRuns, read_ended_run, read_policy
from penstock_operator.retention.run_table import finished_runs, read_run
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.rate_limiter import RateLimiter

logger = logging.getLogger(__name__)

PER_S: Final = 50.0
"""Runs removed a second, at most."""
GATHER_S: Final = 2.0
"""Flows that say something new so soon after each other share one list: at the start, all of them."""
MANY_FLOWS: Final = 4
"""From so many Flows on, one list of all runs that are over costs less than one for each."""
LOOK_AGAIN_S: Final = 60.0
"""When a run is tried again that could not be removed, or whose parent is not over."""
PATIENCE_S: Final = 30.0
"""How long one removal is tried."""


class RunRetention:
    """Keeps runs that are over for as long as their Flow, as it is now, says.

    Args:
        client: for reads.
        writer: for removals.
        namespace: the one to look at; empty for all.
        is_carried_out: whether a run of this uid is known to be not over; once it is, its end is told.
        metrics: where removals are counted.
        fail: told of an error after which this process must not go on.
        clock: seconds since the epoch.
        pace: of the removals.
        gather_s: see GATHER_S.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        namespace: str,
        is_carried_out: Callable[[str], bool],
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
        pace: RateLimiter | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        self._client = client
        self._writer = writer
        self._namespace = namespace
        self._is_carried_out = is_carried_out
        self._removals = metrics.removals.labels("run")
        self._fail = fail
        self._clock = clock
        self._pace = pace or RateLimiter(PER_S)
        self._gather_s = gather_s
        self._kept = KeptRuns()
        self._unlisted: set[ObjectKey] = set()
        """Flows whose runs are to be looked through."""
        self._has_unlisted = asyncio.Event()
        self._wake = asyncio.Event()

    # What happens

    def on_flow(self, event: EventType, body: Mapping[str, Any]) -> None:
        """Take over a change of a Flow."""
        key = ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
        policy = None if event is EventType.DELETED else read_policy(body)
        if self._kept.set_policy(key, policy):
            self._unlisted.add(key)
            self._has_unlisted.set()

    def on_run_end(self, end: RunEnd) -> None:
        """Take over a run that is over, now that its end is stored, or one that is gone."""
        if self._kept.parent_is_over(end.uid):
            self._wake.set()
        flow = end.flow
        if end.state is None or flow is None or not self._kept.has_policy(ObjectKey(end.key.namespace, flow)):
            return
        ended = read_ended_run(end.metadata, flow=flow, state=end.state, ended_at=self._clock())
        if ended is not None:
            self._kept.add(ended)
            self._wake.set()

    # What is done

    async def run(self) -> None:
        """Remove what is due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_through())
            tasks.create_task(self._remove_due())

    async def _look_through(self) -> None:
        """Find the runs that were over before this process, or before their Flow said anything."""
        while True:
            await self._has_unlisted.wait()
            await asyncio.sleep(self._gather_s)
            flows = set(self._unlisted)
            try:
                await self._list(flows)
            except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
                logger.warning("Runs that are over could not be listed, so some stay longer: %s", error)
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            self._unlisted -= flows
            if not self._unlisted:
                self._has_unlisted.clear()

    async def _list(self, flows: set[ObjectKey]) -> None:
        everything = [ObjectKey(self._namespace, "")]
        for namespace, name in flows if len(flows) < MANY_FLOWS else everything:
            async for row in finished_runs(self._client, namespace, name):
                if row.ended_at is None:
                    continue
                # A retry names the run that it retries and no Flow; the label is all that a row says of it.
                flow = row.flow or row.metadata.labels.get(names.LABEL_FLOW)
                run = read_ended_run(row.metadata, flow=flow, state=row.state, ended_at=row.ended_at)
                if run is not None:
                    self._kept.add(run)
                    self._wake.set()

    async def _remove_due(self) -> None:
        while True:
            self._wake.clear()
            for run in self._kept.take_due(self._clock()):
                await self._remove(run)
            next_at = self._kept.next_due_at
            try:
                async with asyncio.timeout(None if next_at is None else max(next_at - self._clock(), 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _remove(self, run: EndedRun) -> None:
        try:
            if run.parent is not None and not await self._is_over(ObjectKey(run.key.namespace, run.parent.name), run):
                return
            await self._pace.step()
            deadline = time.monotonic() + PATIENCE_S
            await self._writer.delete(
                FLOWRUNS, run.key.namespace, run.key.name, run.uid, deadline=deadline, priority=Priority.REMOVAL
            )
        except NotLeaderError as error:
            self._fail(error)
        except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
            if isinstance(error, ApiError) and (is_not_found(error) or is_conflict(error)):
                return
            logger.warning("The run %s could not be removed: %s", run.key, error)
            self._kept.postpone(run, self._clock() + LOOK_AGAIN_S)
        else:
            logger.debug("Removed the run %s", run.key)
            self._removals.inc()

    async def _is_over(self, key: ObjectKey, child: EndedRun) -> bool:
        """Whether a child's parent is over; if not, the child waits for it."""
        assert child.parent is not None
        if self._is_carried_out(child.parent.uid):
            self._kept.wait_for_parent(child)
            return False
        parent = await read_run(self._client, key)
        if parent is None or parent.metadata.uid != child.parent.uid or parent.state in FINAL_RUN_STATES:
            return True
        # It waits for its turn, or is just being picked up.
        self._kept.postpone(child, self._clock() + LOOK_AGAIN_S)
        return False
