"""Runs as the rows of a table: what they are called, their Flow, state and end, without specs and tasks.

The API server makes it (https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables): a
run of a thousand tasks costs as much to read as one of one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.engine.timestamp import epoch
from penstock.errors import StoredStatusError
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, is_not_found
from penstock.kube.kinds.flow_run import RunMetadata
from penstock.kube.resources import FLOWRUNS

logger = logging.getLogger(__name__)

TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
PAGE_ITEMS: Final = 500
FINISHED: Final = ",".join(
    ["status.state!=", *(f"status.state!={state}" for state in sorted(set(RunState) - FINAL_RUN_STATES))]
)
"""Field selector of the runs that are over."""
ENDED: Final = "Finished at"
"""The column with the time; the one that people see says how long ago it was."""


class RunRow(NamedTuple):
    """One run."""

    metadata: RunMetadata
    flow: str | None
    state: str
    ended_at: float | None
    """Seconds since the epoch; None while it is not over."""


class _Object(msgspec.Struct, frozen=True):
    metadata: RunMetadata


class _Row(msgspec.Struct, frozen=True):
    cells: list[Any]
    object: _Object


class _Column(msgspec.Struct, frozen=True):
    name: str


class _ListMeta(msgspec.Struct, frozen=True):
    token: str = msgspec.field(default="", name="continue")


class _Table(msgspec.Struct, frozen=True, rename="camel"):
    column_definitions: list[_Column]
    rows: list[_Row] | None = None
    metadata: _ListMeta = _ListMeta()


_TABLE: Final = msgspec.json.Decoder(_Table)


async def finished_runs(client: ApiClient, namespace: str, flow: str = "") -> AsyncIterator[RunRow]:
    """Read the runs that are over, page by page.

    Args:
        client: the way to the API server.
        namespace: empty for all.
        flow: name of their Flow; empty for all.

    Raises:
        ApiError: the API server refused, or a page has grown too old to go on from.
        ApiUnreachableError: it did not answer.
    """
    selector = f"{FINISHED},spec.flow.name={flow}" if flow else FINISHED
    query = {"fieldSelector": selector, "limit": str(PAGE_ITEMS)}
    while True:
        reply = await client.request("GET", FLOWRUNS.path(namespace), query=query, accept=TABLE)
        table = _TABLE.decode(reply.body)
        for row in _rows(table):
            yield row
        if not table.metadata.token:
            return
        query["continue"] = table.metadata.token


async def read_run(client: ApiClient, key: ObjectKey) -> RunRow | None:
    """Read one run; None if there is none.

    Raises:
        ApiError: the API server refused.
        ApiUnreachableError: it did not answer.
    """
    try:
        reply = await client.request("GET", FLOWRUNS.path(key.namespace, key.name), accept=TABLE)
    except ApiError as error:
        if is_not_found(error):
            return None
        raise
    return next(iter(_rows(_TABLE.decode(reply.body))), None)


def _rows(table: _Table) -> list[RunRow]:
    # By name: an older CRD may have fewer columns, or others in between.
    at = {column.name: index for index, column in enumerate(table.column_definitions)}
    if ENDED not in at:
        logger.warning("The CRD of FlowRuns is older than this operator: runs that were over before it began stay")
    return [
        RunRow(
            row.object.metadata,
            _cell(row, at.get("Flow")),
            _cell(row, at.get("State")) or "",
            _time(_cell(row, at.get(ENDED))),
        )
        for row in table.rows or ()
    ]


def _cell(row: _Row, index: int | None) -> str | None:
    value = None if index is None else row.cells[index]
    return value if isinstance(value, str) else None


def _time(text: str | None) -> float | None:
    try:
        return None if text is None else epoch(text)
    except StoredStatusError:
        return None
