"""`penstock get`: list runs, Flows, Schedules or Backfills."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from penstock.api.names import API_VERSION, GROUP, LABEL_FLOW
from penstock.api.states import STATES
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.kinds import RUNS, Resource, find_resource
from penstock.cli.cluster.tables import deduplicate, read_pages, read_runs, read_table
from penstock.cli.manifests.json_text import json_text
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.console import Console, Text
from penstock.cli.text.echo import echo
from penstock.cli.text.run_table import run_table
from penstock.cli.text.table import format_lines
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import suggest
from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Print a list of objects, or one object."""
    word, _, name = (arguments.kind or RUNS.words[0]).partition("/")
    resource = find_resource(word)
    name = name or arguments.name
    selectors = list(build_selectors(resource, arguments.states, arguments.flow))
    cluster = Cluster.connect(arguments)
    if name:
        if arguments.all_namespaces or selectors != [{}]:
            raise CommandError(f"-A, --state and --flow cannot be combined with a name ({name})")
        found = cluster.get_object(resource.plural, resource.kind, name)
        selectors = [{"fieldSelector": f"metadata.name={name}"}]
        if arguments.output not in {"table", "wide"}:
            echo(format_objects([found], arguments.output, is_list=False), end="")
            return 0
    path = (
        f"/apis/{API_VERSION}/{resource.plural}" if arguments.all_namespaces else cluster.object_path(resource.plural)
    )
    if arguments.output not in {"table", "wide"}:
        objects = [item for page in read_pages(cluster, path, selectors) for item in page["items"]]
        objects = deduplicate(objects, lambda item: item["metadata"])
        objects = [{"apiVersion": API_VERSION, "kind": resource.kind, **each} for each in objects]
        echo(format_objects(objects, arguments.output, is_list=True), end="")
        return 0
    lines = list(_table(cluster, resource, path, selectors, arguments))
    if not lines:
        where = "in any namespace" if arguments.all_namespaces else cluster.describe_namespace()
        echo(f"no {'matching ' if selectors != [{}] else ''}{resource.words[0]} {where}", is_error=True)
    console = Console()
    for line in lines:
        console.print(line, soft_wrap=True)
    return 0


def _table(
    cluster: Cluster,
    resource: Resource,
    path: str,
    selectors: Sequence[Mapping[str, str]],
    arguments: argparse.Namespace,
) -> Iterator[Text]:
    is_wide, has_namespaces = arguments.output == "wide", arguments.all_namespaces
    if resource is RUNS:
        runs, now = read_runs(cluster, path, selectors), dt.datetime.now(dt.UTC)
        if runs:
            yield from run_table(runs, now, is_wide=is_wide, has_namespaces=has_namespaces)
        return
    table = read_table(cluster, path, selectors)
    if table.rows:
        yield from format_table(table.columns, table.rows, is_wide=is_wide, has_namespaces=has_namespaces)


def build_selectors(resource: Resource, states: str | None, flow: str | None) -> Iterator[dict[str, str]]:
    """Build the list queries whose union is the result.

    Field selectors have no "or", so each state needs its own query. A FlowRun with `retryOf` names no Flow in its spec,
    and is found by its label.

    Args:
        resource: the resource to list.
        states: states of runs, separated by commas.
        flow: name of a Flow.

    Raises:
        CommandError: a state is unknown, or the resource is not FlowRun and a filter was given.
    """
    if (states or flow) and resource is not RUNS:
        raise CommandError("--state and --flow are only valid for runs: penstock get runs")
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
    """Format a table as kubectl does, with colored states.

    Args:
        columns: `columnDefinitions` of a `Table` of the API server.
        rows: `rows` of the Table.
        is_wide: whether to include the columns of `-o wide`.
        has_namespaces: whether to begin each row with its namespace.
    """
    shown = [place for place, column in enumerate(columns) if is_wide or not column.get("priority")]
    lines = [[*(["NAMESPACE"] if has_namespaces else []), *(columns[place]["name"].upper() for place in shown)]]
    for row in rows:
        cells = ["" if row["cells"][place] is None else str(row["cells"][place]) for place in shown]
        lines.append([*([row["object"]["metadata"]["namespace"]] if has_namespaces else []), *cells])
    yield from format_lines(lines[0], lines[1:])


def format_objects(objects: Sequence[Object], output: str, *, is_list: bool) -> str:
    """Format objects for a program.

    Args:
        objects: the objects.
        output: json, yaml or name.
        is_list: whether to print a List, even for a single object.
    """
    if output == "name":
        return "".join(f"{each['kind'].lower()}.{GROUP}/{each['metadata']['name']}\n" for each in objects)
    for each in objects:
        each["metadata"].pop("managedFields", None)
    whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)} if is_list else objects[0]
    if output == "yaml":
        return yaml_text(whole)
    return json_text(whole) + "\n"


def _find_state(word: str) -> str:
    for state in STATES:
        if state.lower() == word.strip().lower():
            return state
    raise CommandError(
        f"--state: unknown state '{word.strip()}'{suggest(word, STATES)}; penstock explain lists the states"
    )
