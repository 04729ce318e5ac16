"""`penstock graph`: draw the task graph of a Flow, or of a run with its states."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from penstock.api.flow import InlineFlowSpec
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.kinds import RUNS, find_resource
from penstock.cli.cluster.revision import read_revision
from penstock.cli.manifests.manifest import read_file
from penstock.cli.manifests.select import select_object
from penstock.cli.text.console import Console, Text
from penstock.cli.text.echo import echo
from penstock.drawing.diagram import Node, build_diagram, summarize_states
from penstock.drawing.dot import write_dot
from penstock.drawing.mermaid import write_mermaid
from penstock.drawing.state_styles import state_style
from penstock.drawing.svg import write_svg
from penstock.drawing.task_rows import Object, status_of
from penstock.drawing.terminal import NODE, draw, label
from penstock.engine.validation.validation import parse_flow, parse_run
from penstock.errors import CommandError, InvalidSpecError

NO_STATE: Final = "●"


class FlowGraph(NamedTuple):
    """A graph to draw."""

    name: str
    spec: InlineFlowSpec
    run: Object | None = None
    """The run whose states to show."""


def command(arguments: argparse.Namespace) -> int:
    """Draw a graph from a file or from the cluster."""
    if arguments.file:
        graph = select_graph(read_file(arguments.file), file=arguments.file, name=arguments.name)
    elif arguments.name:
        graph = _find_in_cluster(Cluster.connect(arguments), arguments.name)
    else:
        raise CommandError("name a Flow or a run, or give a file with -f FILE")
    try:
        nodes = build_diagram(graph.spec, graph.run)
    except InvalidSpecError as error:
        raise CommandError(f"cannot draw {graph.name}, because its spec is invalid: {error}") from error
    match arguments.output:
        case "terminal":
            console = Console()
            for line in draw_terminal(nodes):
                console.print(line, no_wrap=True, overflow="ellipsis" if console.is_terminal else "ignore", crop=False)
        case "mermaid":
            echo("\n".join(write_mermaid(nodes)))
        case "dot":
            echo("\n".join(write_dot(nodes, graph.name)))
        case "svg":
            echo("\n".join(_write_svg(nodes, graph)))
        case "png":
            _print_png("".join(_write_svg(nodes, graph)))
    return 0


def _write_svg(nodes: Sequence[Node], graph: FlowGraph) -> Iterator[str]:
    title = f"FlowRun {graph.name} {status_of(graph.run).get('state', '')}".rstrip() if graph.run else graph.name
    return write_svg(nodes, title)


def _print_png(svg: str) -> None:
    from penstock.drawing.png import paint  # noqa: PLC0415 - an optional dependency

    if sys.stdout.isatty():
        raise CommandError("a terminal cannot show a PNG: redirect it to a file with > FILE.png")
    sys.stdout.buffer.write(paint(svg, warn=lambda text: echo(text, is_error=True)))


def draw_terminal(nodes: Sequence[Node]) -> Iterator[Text]:
    """Draw a graph as rows of text, with the finally tasks under their own heading."""
    main = [place for place, node in enumerate(nodes) if not node.is_finally]
    last = [place for place, node in enumerate(nodes) if node.is_finally]
    for heading, positions in (("", main), ("finally", last)):
        if positions and heading:
            yield Text(heading, "dim")
        for row in draw(nodes, positions):
            if not row.members:
                yield Text(row.lanes.rstrip(), "dim")
                continue
            state, shown = summarize_states(nodes, row.members)
            before, _, after = row.lanes.partition(NODE)
            line = (
                Text()
                .append(before, "dim")
                .append(state_style(state).sign if state else NO_STATE, state_style(state).style)
            )
            line.append(after, "dim").append(Text(label(nodes, row.members), ""))
            if state:
                line.append(f"  {shown}", state_style(state).style)
            yield line


def select_graph(text: str, *, file: str, name: str | None) -> FlowGraph:
    """Return the Flow of a file, or the run with a Flow of its own.

    Args:
        text: content of the file.
        file: its name, for messages.
        name: name of the object; None selects the only one.

    Raises:
        CommandError: there is no such object, or several and no name was given.
        InvalidSpecError: its spec is invalid.
    """
    content = select_object(text, file=file, name=name, description="Flow", accepts=_has_graph)
    return FlowGraph(str(content["metadata"]["name"]), _own_spec(content))


def _has_graph(content: Object) -> bool:
    kind, spec = content.get("kind"), content.get("spec")
    return kind == "Flow" or (kind == "FlowRun" and isinstance(spec, dict) and "flowSpec" in spec)


def _own_spec(content: Object) -> InlineFlowSpec:
    if content["kind"] == "Flow":
        return parse_flow(content)
    spec = parse_run(content).flow_spec
    assert spec is not None, "the caller passes only runs with a flowSpec"
    return spec


def _find_in_cluster(cluster: Cluster, typed: str) -> FlowGraph:
    """Get the Flow with this name, else the run; `flow/NAME` and `run/NAME` select one."""
    word, slash, name = typed.partition("/")
    if slash:
        resource = find_resource(word)
        if resource.kind not in {"Flow", "FlowRun"}:
            raise CommandError(f"a {resource.kind} has no graph; name a Flow or a run")
        return (
            _graph_of_run(cluster, cluster.get_run(name))
            if resource is RUNS
            else _graph_of_flow(cluster.get_flow(name))
        )
    if flow := cluster.find_object("flows", typed):
        return _graph_of_flow(flow)
    if run := cluster.find_object("flowruns", typed):
        return _graph_of_run(cluster, run)
    raise CommandError(
        f"no Flow or FlowRun {typed} in namespace {cluster.namespace}; "
        f"list them with {cluster.hint('get flows')} or {cluster.hint('get runs')}"
    )


def _graph_of_flow(flow: Object) -> FlowGraph:
    return FlowGraph(flow["metadata"]["name"], parse_flow(flow))


def _graph_of_run(cluster: Cluster, run: Object) -> FlowGraph:
    """Use the revision of the run, or if it cannot be read, the current Flow."""
    name = run["metadata"]["name"]
    if spec := read_revision(cluster, run):
        return FlowGraph(name, spec, run)
    if reference := run["spec"].get("flow"):
        if status_of(run).get("revision"):
            echo("cannot read the revision of the run, drawing the current Flow instead", is_error=True)
        return FlowGraph(name, parse_flow(cluster.get_flow(reference["name"])), run)
    raise CommandError(f"FlowRun {name} has no revision that can be read: no operator has handled it, or it is deleted")
