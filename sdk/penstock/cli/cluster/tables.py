"""Lists objects as tables, with the printer columns of their CRD, as kubectl does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import NOT_FOUND
from penstock.cli.text.run_table import RunCells, read_cells
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError, RefusalError

AS_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
"""https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables."""


class ObjectTable(NamedTuple):
    """Columns and rows, each object once."""

    columns: list[Mapping[str, Any]]
    rows: list[Mapping[str, Any]]


def read_pages(
    cluster: Cluster, path: str, selectors: Iterable[Mapping[str, str]], *, accept: str = "application/json"
) -> Iterator[Object]:
    """Read the pages of lists.

    Args:
        cluster: the cluster.
        path: what to list.
        selectors: queries, whose union is the result.
        accept: the format.

    Raises:
        CommandError: Penstock is not installed.
    """
    for selector in selectors:
        try:
            yield from cluster.list_pages(path, selector, accept=accept)
        except RefusalError as error:
            if error.status != NOT_FOUND:
                raise
            raise CommandError("Penstock is not installed in this cluster: run penstock doctor") from error


def read_table(cluster: Cluster, path: str, selectors: Iterable[Mapping[str, str]]) -> ObjectTable:
    """List objects as a table; arguments as for `read_pages`."""
    tables = list(read_pages(cluster, path, selectors, accept=AS_TABLE))
    rows = deduplicate(
        [row for table in tables for row in table.get("rows") or ()], lambda row: row["object"]["metadata"]
    )
    return ObjectTable(tables[0]["columnDefinitions"], rows)


def read_runs(cluster: Cluster, path: str, selectors: Iterable[Mapping[str, str]]) -> list[RunCells]:
    """List runs, the newest last, next to the prompt; arguments as for `read_pages`."""
    table = read_table(cluster, path, selectors)
    runs = [read_cells(table.columns, row) for row in table.rows]
    return sorted(runs, key=lambda run: (run.metadata["creationTimestamp"], run.metadata["name"]))


def deduplicate(found: Iterable[Any], metadata: Any) -> list[Any]:
    """Return each object once, even if several queries found it."""
    return list({metadata(each)["uid"]: each for each in found}.values())
