"""Statuses of runs, stored so that no two leaders can overwrite each other."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import msgspec

from penstock.engine.keys import RunKey
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, DeposedError, is_not_found, is_precondition_failed
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Priority, Writer
from penstock_operator.runs.live_run import LiveRun, status_patch, stored_head


class Stored(Enum):
    """What became of a status."""

    YES = auto()
    NOT_NOW = auto()
    """Somebody changed the run a moment ago; trying again will do."""
    RUN_GONE = auto()
    """There may be no such run any more."""
    CHANGED_BY_OTHERS = auto()
    """The stored status is not what we left: the run is to be picked up from there."""


class StatusStore:
    """Reads runs and stores their statuses.

    Args:
        client: for reads.
        writer: for writes.
        epoch: of this leader.
    """

    def __init__(self, client: ApiClient, writer: Writer, *, epoch: int) -> None:
        self._client = client
        self._writer = writer
        self._epoch = epoch

    async def read(self, key: RunKey) -> dict[str, Any] | None:
        """Read a run; None if there is none.

        Raises:
            ApiError: the API server refused.
            ApiUnreachableError: it did not answer.
        """
        try:
            reply = await self._client.request("GET", FLOWRUNS.path(key.namespace, key.name))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return msgspec.json.decode(reply.body, type=dict[str, Any])

    async def store(self, run: LiveRun, status: dict[str, Any] | None, operations: list[dict[str, Any]]) -> Stored:
        """Store a status.

        Args:
            run: the run.
            status: the whole status, when none is stored; else None.
            operations: else what changed.

        Raises:
            ApiError: the API server refuses this status.
            ApiUnreachableError: it did not answer.
            DeposedError: a later leader has written the run's status.
            NotLeaderError: this process may not write any more.
        """
        body = msgspec.json.encode(status_patch(run, self._epoch, status, operations))
        namespace, name = run.key
        try:
            await self._writer.patch(
                FLOWRUNS, namespace, name, body, subresource="status", accept=METADATA, priority=Priority.STATUS
            )
        except ApiError as error:
            return Stored.RUN_GONE if is_not_found(error) else await self._look_into(run, error)
        run.epoch = self._epoch
        run.head = stored_head(run.head, status, operations)
        run.observed_generation = run.generation
        return Stored.YES

    async def _look_into(self, run: LiveRun, error: ApiError) -> Stored:
        """Find out why a status was refused: another leader, another run of that name, or the status itself."""
        body = await self.read(run.key)
        if body is None or body["metadata"]["uid"] != run.uid:
            return Stored.RUN_GONE
        stored = body.get("status") or {}
        epoch = stored.get("epoch")
        if epoch is not None and epoch > self._epoch:
            raise DeposedError(f"the status of {run.key} was written by a later leader (epoch {epoch})")
        if epoch == run.epoch and (run.epoch is not None or not stored):
            if run.epoch is None and body["metadata"]["resourceVersion"] != run.resource_version:
                # Somebody labelled the run between our read and our first write.
                run.resource_version = body["metadata"]["resourceVersion"]
                return Stored.NOT_NOW
            if not is_precondition_failed(error):
                raise error
        return Stored.CHANGED_BY_OTHERS
