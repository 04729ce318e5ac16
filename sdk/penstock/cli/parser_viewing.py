"""The commands that show objects: get, describe, graph, watch, logs; and delete, which names them likewise."""

from __future__ import annotations

import argparse

from penstock.cli.parser_shared import Commands


def add_viewing(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add the commands that show objects."""
    get = commands.add_parser("get", parents=[cluster], help="list runs, Flows, Schedules, Backfills or FlowDefaults")
    get.set_defaults(module="penstock.cli.commands.get")
    get.add_argument(
        "kind",
        metavar="KIND",
        nargs="?",
        help="runs, flows, schedules, backfills, flowdefaults; or KIND/NAME (default: runs)",
    )
    get.add_argument("name", metavar="NAME", nargs="?", help="name of one object")
    get.add_argument(
        "-o",
        "--output",
        choices=("table", "wide", "json", "yaml", "name"),
        default="table",
        help="output format (default: table)",
    )
    get.add_argument(
        "--state", dest="states", metavar="STATE", help="only runs in this state; several states: Failed,Crashed"
    )
    get.add_argument("--flow", metavar="FLOW", help="only runs of this Flow")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="list all namespaces")

    describe = commands.add_parser(
        "describe", parents=[cluster], help="show a run, Flow, Schedule or Backfill in detail, with events and advice"
    )
    describe.set_defaults(module="penstock.cli.commands.describe")
    describe.add_argument(
        "words",
        metavar="OBJECT",
        nargs="+",
        help="name of a run; or KIND NAME, KIND/NAME: run, flow, schedule, backfill (default: the first that exists)",
    )

    graph = commands.add_parser(
        "graph", parents=[cluster], help="draw the task graph of a Flow, or of a run with its states"
    )
    graph.set_defaults(module="penstock.cli.commands.flows.graph")
    graph.add_argument(
        "name",
        metavar="FLOW|RUN",
        nargs="?",
        help="name of a Flow or a run (a Flow has precedence); or flow/NAME, run/NAME",
    )
    graph.add_argument("-f", "--file", metavar="FILE", help="draw a Flow from this file; - is stdin")
    graph.add_argument(
        "-o",
        "--output",
        choices=("terminal", "svg", "png", "mermaid", "dot"),
        default="terminal",
        help="output format (default: terminal); png requires the extra penstock[png]",
    )

    watch = commands.add_parser("watch", parents=[cluster], help="watch a run until it has finished")
    watch.set_defaults(module="penstock.cli.commands.runs.watch")
    watch.add_argument("run", metavar="RUN", help="name of the FlowRun, or backfill/NAME for a Backfill")
    _add_logs(commands, cluster)


def _add_logs(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    logs = commands.add_parser("logs", parents=[cluster], help="print the logs of the tasks of a run")
    logs.set_defaults(module="penstock.cli.commands.runs.logs")
    logs.add_argument("run", metavar="RUN", help="name of the FlowRun")
    logs.add_argument("--task", metavar="TASK", help="only this task")
    logs.add_argument("--item", metavar="INDEX", type=int, help="only this item of a fan-out")
    logs.add_argument("--all-attempts", action="store_true", help="include earlier attempts, not only the last one")
    logs.add_argument("--since", metavar="DURATION", help="only lines that are not older: 90s, 2h")
    logs.add_argument("--tail", metavar="N", type=int, help="only the last N lines of each attempt")
    logs.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    logs.add_argument("-f", "--follow", action="store_true", help="follow the logs until the run has finished")


def add_delete(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock delete`."""
    delete = commands.add_parser(
        "delete", parents=[cluster], help="delete runs, Flows, Schedules or Backfills; asks first"
    )
    delete.set_defaults(module="penstock.cli.commands.delete")
    delete.add_argument("kind", metavar="KIND", help="run, flow, schedule or backfill; or KIND/NAME")
    delete.add_argument("names", metavar="NAME", nargs="*", help="names of the objects")
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")
