"""`penstock get`: runs, Flows, Schedules and Backfills as lists."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from penstock.api.names import API_VERSION, GROUP, LABEL_FLOW
from penstock.api.states import STATES
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import NOT_FOUND
from penstock.cli.cluster.kinds import RUNS, Resource, find_resource
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import suggest
from penstock.errors import CommandError, RefusalError

AS_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
"""Asks the API server for the columns of the definition, as kubectl does
(https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables)."""
GAP: Final = 3


def command(arguments: argparse.Namespace) -> int:
    """Print what there is."""
    word, _, name = (arguments.kind or RUNS.words[0]).partition("/")
    resource = find_resource(word)
    name = name or arguments.name
    selectors = list(build_selectors(resource, arguments.states, arguments.flow))
    cluster = Cluster.connect(arguments)
    if name:
        if arguments.all_namespaces or selectors != [{}]:
            raise CommandError(f"{name} is one object: leave out -A, --state and --flow")
        found = cluster.get_object(resource.plural, resource.kind, name)
        selectors = [{"fieldSelector": f"metadata.name={name}"}]
        if arguments.output not in {"table", "wide"}:
            print(format_objects([found], arguments.output, is_list=False), end="")
            return 0
    path = (
        f"/apis/{API_VERSION}/{resource.plural}" if arguments.all_namespaces else cluster.object_path(resource.plural)
    )
    is_table = arguments.output in {"table", "wide"}
    pages = _list_pages(cluster, path, selectors, accept=AS_TABLE if is_table else "application/json")
    if not is_table:
        objects = deduplicate([item for page in pages for item in page["items"]], lambda item: item["metadata"])
        objects = [{"apiVersion": API_VERSION, "kind": resource.kind, **each} for each in objects]
        print(format_objects(objects, arguments.output, is_list=True), end="")
        return 0
    tables = list(pages)
    rows = deduplicate(
        [row for table in tables for row in table.get("rows") or ()], lambda row: row["object"]["metadata"]
    )
    if not rows:
        where = "in any namespace" if arguments.all_namespaces else f"in namespace {cluster.namespace}"
        print(f"no {resource.words[0]} {where}{' of that kind' if selectors != [{}] else ''}", file=sys.stderr)
        return 0
    if resource is RUNS:
        rows = sorted(rows, key=_creation_order)
    console = Console(highlight=False)
    for line in format_table(
        tables[0]["columnDefinitions"],
        rows,
        is_wide=arguments.output == "wide",
        has_namespaces=arguments.all_namespaces,
    ):
        console.print(line, soft_wrap=True)
    return 0


def build_selectors(resource: Resource, states: str | None, flow: str | None) -> Iterator[dict[str, str]]:
    """Build the queries that together find what was asked for.

    The API server's field selectors know no "or", so that each state is asked for by itself. A retry names no Flow,
    and is found by its label.

    Args:
        resource: of which there are states and Flows if it is runs.
        states: states of runs, with commas between them.
        flow: name of a Flow.

    Raises:
        CommandError: there is no such state, or the resource has neither.
    """
    if (states or flow) and resource is not RUNS:
        raise CommandError("--state and --flow are for runs: penstock get runs")
    by_state = [f"status.state={_find_state(state)}" for state in states.split(",")] if states else [""]
    for fields in by_state:
        if flow is None:
            yield {"fieldSelector": fields} if fields else {}
        else:
            yield {"fieldSelector": f"{fields},spec.flow.name={flow}".removeprefix(",")}
            labels = {"labelSelector": f"{LABEL_FLOW}={flow}"}
            yield {"fieldSelector": fields, **labels} if fields else labels


def format_table(
    columns: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]], *, is_wide: bool, has_namespaces: bool
) -> Iterator[Text]:
    """Lay out a table as kubectl does, with states in their colours.

    Args:
        columns: definitions of the columns, as a `Table` of the API server has them.
        rows: its rows.
        is_wide: whether columns are shown that are only for a wide screen.
        has_namespaces: whether each row begins with its namespace.
    """
    shown = [place for place, column in enumerate(columns) if is_wide or not column.get("priority")]
    lines = [[*(["NAMESPACE"] if has_namespaces else []), *(columns[place]["name"].upper() for place in shown)]]
    for row in rows:
        cells = [_cell(columns[place]["name"], row["cells"][place], row["object"]["metadata"]) for place in shown]
        lines.append([*([row["object"]["metadata"]["namespace"]] if has_namespaces else []), *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for number, line in enumerate(lines):
        text = Text()
        for place, cell in enumerate(line):
            style = state_style(cell).style if number and lines[0][place] == "STATE" else ""
            text.append(cell, style)
            text.append(" " * (widths[place] - len(cell) + GAP))
        text.rstrip()
        yield text


def format_objects(objects: Sequence[Object], output: str, *, is_list: bool) -> str:
    """Write objects for a program.

    Args:
        objects: the objects.
        output: json, yaml or name.
        is_list: whether they were asked for as a list, however many there are.
    """
    if output == "name":
        return "".join(f"{each['kind'].lower()}.{GROUP}/{each['metadata']['name']}\n" for each in objects)
    for each in objects:
        each["metadata"].pop("managedFields", None)
    whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)} if is_list else objects[0]
    if output == "yaml":
        return yaml_text(whole)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def deduplicate(found: Iterable[Object], metadata: Any) -> list[Object]:
    """Return each object once that several queries found."""
    return list({metadata(each)["uid"]: each for each in found}.values())


def _cell(column: str, value: Any, metadata: Mapping[str, Any]) -> str:
    if value is None and column == "Flow":  # of a retry, which names none
        value = (metadata.get("labels") or {}).get(LABEL_FLOW)
    return "" if value is None else str(value)


def _creation_order(row: Mapping[str, Any]) -> tuple[str, str]:
    """Order runs by their age: the newest last, where it is in sight."""
    metadata = row["object"]["metadata"]
    return metadata["creationTimestamp"], metadata["name"]


def _list_pages(cluster: Cluster, path: str, selectors: Iterable[dict[str, str]], *, accept: str) -> Iterator[Object]:
    for selector in selectors:
        try:
            yield from cluster.list_pages(path, selector, accept=accept)
        except RefusalError as error:
            if error.status != NOT_FOUND:
                raise
            raise CommandError("the cluster does not know Penstock's kinds: penstock doctor says more") from error


def _find_state(word: str) -> str:
    for state in STATES:
        if state.lower() == word.strip().lower():
            return state
    raise CommandError(f"--state: there is no state {word}{suggest(word, STATES)}; penstock explain lists them")
