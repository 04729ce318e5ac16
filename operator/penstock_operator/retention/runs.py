"""Removes finished runs when their Flow says so: only runs whose name no person chose."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from penstock.api import names
from penstock.api.flow import Retention
from penstock.engine.keys import ObjectKey, RunUid
from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_not_found
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.retention.kept_runs import EndedRun, KeptRuns, Parent, RunPolicy, read_ended_run, read_policy
from penstock_operator.retention.run_table import finished_runs, read_run
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.rate_limiter import RateLimiter

logger = logging.getLogger(__name__)

PER_S: Final = 50.0
"""Runs removed a second, at most."""
GATHER_S: Final = 2.0
"""Flows that change within this time share one list: after a start, all of them."""
MANY_FLOWS: Final = 4
"""From this number of Flows on, one list of all finished runs costs less than one for each Flow."""
RETRY_S: Final = 60.0
"""Until a run is tried again that could not be removed, or whose parent is unfinished."""
DELETE_S: Final = 30.0
"""How long one removal is retried at once."""


class RunRetention:
    """Keeps finished runs for as long as their Flow, as it is now, says.

    Args:
        client: for reads.
        writer: for removals.
        namespaces: those to list; a single empty one for all.
        is_live: whether a run is known to be unfinished; then `on_run_end` will be called with it.
        metrics: where removals are counted.
        fail: called with an error after which this process must not continue.
        clock: seconds since the epoch.
        pace: limits the rate of removals.
        gather_s: see GATHER_S.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        namespaces: Sequence[str],
        is_live: Callable[[RunUid], bool],
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
        pace: RateLimiter | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        self._client = client
        self._writer = writer
        self._namespaces = namespaces
        self._is_live = is_live
        self._removals = metrics.removals.labels("run")
        self._errors = metrics.internal_errors.labels("FlowRun")
        self._fail = fail
        self._clock = clock
        self._pace = pace or RateLimiter(PER_S)
        self._gather_s = gather_s
        self._kept = KeptRuns()
        self._unlisted: set[ObjectKey] = set()
        """Flows whose finished runs are to be listed; without a name, all of a namespace."""
        self._has_unlisted = asyncio.Event()
        self._wake = asyncio.Event()

    def on_retention(self, key: ObjectKey, retention: Retention | None) -> None:
        """Handle how long the runs of a Flow are kept now; None if nothing says so, or it was deleted."""
        if self._kept.set_policy(key, read_policy(retention)):
            self._unlisted.add(key)
            self._has_unlisted.set()

    def policy_of(self, flow: ObjectKey) -> RunPolicy | None:
        """Return how long a Flow keeps its runs; None if nothing says so."""
        return self._kept.policy_of(flow)

    def on_run_end(self, end: RunEnd) -> None:
        """Handle the end of a run, once it is stored, or its deletion."""
        if self._kept.on_parent_finished(end.run_uid):
            self._wake.set()
        flow = end.flow
        if end.state is None or flow is None or not self._kept.has_policy(ObjectKey(end.key.namespace, flow)):
            return
        ended = read_ended_run(end.metadata, flow=flow, state=end.state, ended_at=self._clock())
        if ended is not None:
            self._kept.add_run(ended)
            self._wake.set()

    def on_restored_run(self, run: PartialObject) -> None:
        """Handle a run that has got its final status from a backup: no operator has seen its end."""
        namespace = run.metadata.namespace
        if self._kept.has_policy_in(namespace):
            self._unlisted.add(ObjectKey(namespace, ""))
            self._has_unlisted.set()

    async def run(self) -> None:
        """Remove what is due, forever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._list_finished())
            tasks.create_task(self._remove_due())

    async def _list_finished(self) -> None:
        """Find the runs that finished before this process started, or before their Flow had `retention`."""
        while True:
            await self._has_unlisted.wait()
            await asyncio.sleep(self._gather_s)
            # What is added during the list is listed again: its page may have been read before.
            flows, self._unlisted = self._unlisted, set()
            self._has_unlisted.clear()
            try:
                await self._list_runs(flows)
            except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
                logger.warning("Cannot list finished runs, retrying in %g s: %s", RETRY_S, error)
            except Exception:
                self._errors.inc()
                logger.exception("Internal error in the list of finished runs; retrying in %g s", RETRY_S)
            else:
                continue
            self._unlisted |= flows
            self._has_unlisted.set()
            await asyncio.sleep(RETRY_S)

    async def _list_runs(self, flows: set[ObjectKey]) -> None:
        everything = [ObjectKey(namespace, "") for namespace in self._namespaces]
        for namespace, name in flows if len(flows) < MANY_FLOWS else everything:
            async for row in finished_runs(self._client, namespace, name):
                if row.ended_at is None:
                    continue
                # A retry names the run that it retries and no Flow; a row has its Flow in the label only.
                flow = row.flow or row.metadata.labels.get(names.LABEL_FLOW)
                run = read_ended_run(row.metadata, flow=flow, state=row.state, ended_at=row.ended_at)
                if run is not None:
                    self._kept.add_run(run)
                    self._wake.set()

    async def _remove_due(self) -> None:
        while True:
            self._wake.clear()
            for run in self._kept.pop_due(self._clock()):
                await self._remove_run(run)
            next_at = self._kept.next_due_at
            try:
                async with asyncio.timeout(None if next_at is None else max(next_at - self._clock(), 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _remove_run(self, run: EndedRun) -> None:
        try:
            if run.parent is not None and not await self._is_parent_finished(run, run.parent):
                return
            await self._pace.step()
            deadline = time.monotonic() + DELETE_S
            await self._writer.delete(
                FLOWRUNS, run.key.namespace, run.key.name, run.uid, deadline=deadline, priority=Priority.REMOVAL
            )
        except NotLeaderError as error:
            self._fail(error)
        except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
            if isinstance(error, ApiError) and (is_not_found(error) or is_conflict(error)):
                return
            logger.warning("Cannot delete run %s, retrying in %g s: %s", run.key, RETRY_S, error)
            self._kept.postpone_run(run, self._clock() + RETRY_S)
        except Exception:
            self._errors.inc()
            logger.exception("Internal error while deleting FlowRun %s; retrying in %g s", run.key, RETRY_S)
            self._kept.postpone_run(run, self._clock() + RETRY_S)
        else:
            logger.debug("Deleted run %s", run.key)
            self._removals.inc()

    async def _is_parent_finished(self, child: EndedRun, parent: Parent) -> bool:
        """Whether a child's parent has finished; if not, the child waits for it."""
        if self._is_live(RunUid(child.key.namespace, parent.uid)):
            self._kept.wait_for_parent(child)
            return False
        found = await read_run(self._client, ObjectKey(child.key.namespace, parent.name))
        if found is None or found.metadata.uid != parent.uid or found.state in FINAL_RUN_STATES:
            return True
        # It is queued, or has just been created.
        self._kept.postpone_run(child, self._clock() + RETRY_S)
        return False
