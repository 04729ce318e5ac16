"""Runs as the rows of a table: their metadata, Flow, state and end, without specs and tasks.

The API server builds it (https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables): a
run of a thousand tasks costs as much to read as one of one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.engine.timestamp import epoch
from penstock.errors import StoredStatusError
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import RunMetadata
from penstock.kube.kinds.run_summary import FINISHED_RUNS
from penstock.kube.page import ListMeta
from penstock.kube.resources import FLOWRUNS

logger = logging.getLogger(__name__)

TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
ENDED: Final = "Finished at"
"""The column with the time; the one that `kubectl get` shows has the age."""


class RunRow(NamedTuple):
    """One run."""

    metadata: RunMetadata
    flow: str | None
    state: str
    ended_at: float | None
    """Seconds since the epoch; None while it is unfinished."""


class _Object(msgspec.Struct, frozen=True):
    metadata: RunMetadata


class _Row(msgspec.Struct, frozen=True):
    cells: list[Any]
    object: _Object


class _Column(msgspec.Struct, frozen=True):
    name: str


class _Table(msgspec.Struct, frozen=True, rename="camel"):
    column_definitions: list[_Column]
    rows: list[_Row] | None = None
    metadata: ListMeta = ListMeta()


_TABLE: Final = msgspec.json.Decoder(_Table)


async def finished_runs(client: ApiClient, namespace: str, flow: str = "") -> AsyncIterator[RunRow]:
    """Read the finished runs, page by page.

    Args:
        client: the way to the API server.
        namespace: empty for all.
        flow: name of their Flow; empty for all.

    Raises:
        ApiError: the API server refused, or reading took so long that the list has to begin again.
        ApiUnreachableError: it did not answer.
    """
    selector = f"{FINISHED_RUNS},spec.flow.name={flow}" if flow else FINISHED_RUNS
    pages = client.pages(FLOWRUNS, _TABLE.decode, namespace=namespace, field_selector=selector, accept=TABLE)
    async for table in pages:
        for row in _rows(table):
            yield row


async def read_run(client: ApiClient, key: ObjectKey) -> RunRow | None:
    """Read one run; None if there is none.

    Raises:
        ApiError: the API server refused.
        ApiUnreachableError: it did not answer.
    """
    table = await client.get(FLOWRUNS, key.namespace, key.name, kind=_Table, accept=TABLE)
    return None if table is None else next(iter(_rows(table)), None)


def _rows(table: _Table) -> list[RunRow]:
    # By name: an older CRD may have fewer columns, or others in between.
    at = {column.name: index for index, column in enumerate(table.column_definitions)}
    if ENDED not in at:
        logger.warning(
            "The FlowRun CRD is outdated (it has no column %r): retention ignores runs that finished before this "
            "operator started. Upgrade the CRDs: penstock install",
            ENDED,
        )
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
