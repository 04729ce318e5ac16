"""What can be typed: every command with its words and options."""

from __future__ import annotations

import argparse
from typing import Any, Final

import penstock
from penstock.cli.invocation import program
from penstock.engine.suggestion import suggest

CLUSTER_OPTIONS: Final = (
    (("-n", "--namespace"), "NS", "namespace (default: that of the context)"),
    (("--context",), "NAME", "context of the kubeconfig (default: the current one)"),
    (("--kubeconfig",), "FILE", "kubeconfig (default: $KUBECONFIG or ~/.kube/config)"),
)

BACKFILL_ORDERS: Final = ("OldestFirst", "NewestFirst")
REPROCESS: Final = ("None", "Failed", "All")
"""As the API has them, which would take half a second to ask."""

COMPLETE: Final = "__complete"
"""What the scripts of `penstock completion` call. Not for people: help does not show it."""

Commands = Any
"""What `add_subparsers` returns: its type is private to argparse."""


class Parser(argparse.ArgumentParser):
    """Answers a command that does not exist with the nearest, not with all of them."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001 - it has no other name
            known = [each.dest for each in action._choices_actions]  # noqa: SLF001 - those that help shows
            hint = suggest(value, known)
            raise argparse.ArgumentError(None, f"there is no command {value}{hint}; {program()} --help lists them")
        super()._check_value(action, value)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns:
        A parser whose results name, as `module`, the module that does the work.
    """
    parser = Parser(
        prog=program(),
        description="Workflow orchestration that lives inside Kubernetes.",
        epilog="Everything here is also an object that kubectl shows: kubectl get flows,flowruns,schedules",
    )
    parser.add_argument("--version", action="version", version=f"penstock {penstock.__version__}")
    _add_cluster_options(parser, default=None)
    commands = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)
    # Not set unless typed: what was typed before the command stays.
    cluster = Parser(add_help=False)
    _add_cluster_options(cluster, default=argparse.SUPPRESS)
    _add_run_and_retry(commands, cluster)
    _add_viewing(commands, cluster)
    _add_control(commands, cluster)
    _add_schedule(commands, cluster)
    _add_backfill(commands, cluster)
    _add_offline(commands)
    _add_deploy(commands, cluster)
    _add_install(commands, cluster)
    doctor = commands.add_parser("doctor", parents=[cluster], help="find out whether Penstock can work here")
    doctor.set_defaults(module="penstock.cli.commands.doctor")
    return parser


def _add_cluster_options(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    group = parser.add_argument_group("cluster")
    for flags, metavar, text in CLUSTER_OPTIONS:
        group.add_argument(*flags, metavar=metavar, help=text, default=default)


def _add_run_and_retry(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[cluster], help="start a run of a Flow, in the cluster or on this machine")
    run.set_defaults(module="penstock.cli.commands.run")
    run.add_argument(
        "flow",
        metavar="FLOW|FILE",
        nargs="+",
        help="name of the Flow; with --local or --inline files: flow.yaml:NAME, or a Python flow, etl.py:NAME",
    )
    run.add_argument(
        "-p",
        "--param",
        dest="params",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="value of a param; JSON, unless the param is a string (repeatable)",
    )
    run.add_argument("--params-file", metavar="FILE", help="values of params, as YAML or JSON; -p wins; - is stdin")
    run.add_argument("--name", metavar="NAME", help="name of the run (default: the Flow's and a random end)")
    run.add_argument(
        "--at", metavar="TIME", help="start no sooner: +90s, +2h, 14:30, 2026-11-22T14:30 (local), or with a zone"
    )
    run.add_argument("--priority", metavar="N", type=int, help="place among runs that wait for the same limit (0)")
    run.add_argument("--timeout", metavar="DURATION", help="longest time of the run: 90s, 2h (default: the Flow's)")
    run.add_argument(
        "--inline", action="store_true", help="run a file in the cluster, once: the run holds its Flow, and its code"
    )
    run.add_argument("--image", metavar="IMAGE", help="with --inline: of a Python flow (default: the operator's)")
    _add_wait_options(run)
    _add_local_options(run)

    retry = commands.add_parser("retry", parents=[cluster], help="run again what a run did not complete")
    retry.set_defaults(module="penstock.cli.commands.retry")
    _add_run_name(retry)
    retry.add_argument("--latest", action="store_true", help="with the Flow as it is now, not as that run had it")
    retry.add_argument("--name", metavar="NAME", help="name of the new run (default: the Flow's and a random end)")
    _add_wait_options(retry)


def _add_local_options(run: argparse.ArgumentParser) -> None:
    here = run.add_argument_group("on this machine")
    here.add_argument("--local", action="store_true", help="run files here, without a cluster: each task is a process")
    here.add_argument("--docker", action="store_true", help="each task is a container of Docker or Podman instead")
    here.add_argument(
        "--parallel", metavar="N", type=int, help="tasks that run at once (default: 16, or 2 a processor)"
    )
    for word in ("approve", "reject"):
        here.add_argument(
            f"--{word}", metavar="TASK", action="append", default=[], help=f"{word} this task (repeatable)"
        )
    here.add_argument("-o", "--output", choices=("json", "yaml"), help="print the FlowRun with its status in the end")


def _add_wait_options(parser: argparse.ArgumentParser) -> None:
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument("--watch", action="store_true", help="then watch it, as penstock watch does")
    ending.add_argument("--wait", action="store_true", help="then wait until it is over; exit 0 only if it ended well")


def _add_run_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of the FlowRun")


def _add_viewing(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    get = commands.add_parser("get", parents=[cluster], help="list runs, Flows, Schedules or Backfills")
    get.set_defaults(module="penstock.cli.commands.get")
    get.add_argument(
        "kind", metavar="KIND", nargs="?", help="runs, flows, schedules or backfills, or KIND/NAME (default: runs)"
    )
    get.add_argument("name", metavar="NAME", nargs="?", help="name of one of them")
    get.add_argument(
        "-o",
        "--output",
        choices=("table", "wide", "json", "yaml", "name"),
        default="table",
        help="how to write them (default: table)",
    )
    get.add_argument("--state", dest="states", metavar="STATE", help="runs in this state; several: Failed,Crashed")
    get.add_argument("--flow", metavar="FLOW", help="runs of this Flow")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")

    describe = commands.add_parser("describe", parents=[cluster], help="tell the story of a run")
    describe.set_defaults(module="penstock.cli.commands.describe")
    _add_run_name(describe)

    graph = commands.add_parser(
        "graph", parents=[cluster], help="draw the graph of a Flow, or of a run with its states"
    )
    graph.set_defaults(module="penstock.cli.commands.graph")
    graph.add_argument(
        "name", metavar="FLOW|RUN", nargs="?", help="name of a Flow, else of a run; or flow/NAME, run/NAME"
    )
    graph.add_argument("-f", "--file", metavar="FILE", help="of a Flow in this file; - is stdin")
    graph.add_argument(
        "-o",
        "--output",
        choices=("terminal", "svg", "png", "mermaid", "dot"),
        default="terminal",
        help="how to draw it (default: terminal); png needs the extra penstock[png]",
    )

    watch = commands.add_parser("watch", parents=[cluster], help="watch a run until it is over")
    watch.set_defaults(module="penstock.cli.commands.watch")
    watch.add_argument("run", metavar="RUN", help="name of the FlowRun; backfill/NAME: a Backfill")

    logs = commands.add_parser("logs", parents=[cluster], help="print what the tasks of a run wrote")
    logs.set_defaults(module="penstock.cli.commands.logs")
    _add_run_name(logs)
    logs.add_argument("--task", metavar="TASK", help="of this task only")
    logs.add_argument("--all-attempts", action="store_true", help="of failed attempts too, not only the last one")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")


def _add_control(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    for word, is_suspended, text in (
        ("suspend", True, "start nothing new of a run; what runs goes on"),
        ("resume", False, "let a suspended run go on"),
    ):
        suspend = commands.add_parser(word, parents=[cluster], help=text)
        suspend.set_defaults(module="penstock.cli.commands.suspend", suspend=is_suspended)
        _add_run_name(suspend)

    cancel = commands.add_parser("cancel", parents=[cluster], help="end a run early; its finally tasks still run")
    cancel.set_defaults(module="penstock.cli.commands.cancel", shutdown="Cancel")
    _add_run_name(cancel)
    how = cancel.add_mutually_exclusive_group()
    how.add_argument(
        "--drain",
        dest="shutdown",
        action="store_const",
        const="Drain",
        help="let what runs go on to its end; start nothing new but the finally tasks",
    )
    how.add_argument(
        "--now",
        dest="shutdown",
        action="store_const",
        const="Terminate",
        help="stop everything; the finally tasks don't run either",
    )

    for word, decision in (("approve", "Approve"), ("reject", "Reject")):
        decide = commands.add_parser(word, parents=[cluster], help=f"{word} a task that waits for a person")
        decide.set_defaults(module="penstock.cli.commands.approve", decision=decision)
        _add_run_name(decide)
        decide.add_argument(
            "task", metavar="TASK", nargs="?", help="name of the task (default: the only one that waits)"
        )
        decide.add_argument("-m", "--comment", metavar="COMMENT", help="why; stays in the run's spec.approvals")


def _add_schedule(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    schedule = commands.add_parser("schedule", help="look ahead at what a Schedule will do")
    schedule.set_defaults(module="penstock.cli.commands.schedule")
    verbs = schedule.add_subparsers(title="commands", dest="verb", metavar="COMMAND", required=True)
    preview = verbs.add_parser("preview", parents=[cluster], help="show the next ticks, and a month of them")
    preview.add_argument("name", metavar="SCHEDULE", nargs="?", help="name of the Schedule")
    preview.add_argument("-f", "--file", metavar="FILE", help="of a Schedule in this file, applied or not; - is stdin")
    preview.add_argument("-t", "--ticks", metavar="N", type=int, default=10, help="how many ticks (10)")
    preview.add_argument("--after", metavar="TIME", help="from this time on: 2026-10-01, 2026-10-01T09:00Z (now)")


def _add_backfill(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    backfill = commands.add_parser("backfill", parents=[cluster], help="make up a Schedule's past")
    backfill.set_defaults(module="penstock.cli.commands.backfill")
    backfill.add_argument("schedule", metavar="SCHEDULE", help="name of the Schedule")
    backfill.add_argument(
        "--from",
        dest="from_",
        metavar="TIME",
        required=True,
        help="the first time to make up: 2026-10-01 or 2026-10-01T06:00 (in the Schedule's zone), or with a zone",
    )
    backfill.add_argument("--to", metavar="TIME", required=True, help="the time to stop before, likewise")
    backfill.add_argument("--max-active", metavar="N", type=int, help="runs under way at once (1)")
    backfill.add_argument("--order", choices=BACKFILL_ORDERS, help="which ticks come first (OldestFirst)")
    backfill.add_argument("--reprocess", choices=REPROCESS, help="which ticks that have a run get another one (None)")
    backfill.add_argument("--name", metavar="NAME", help="its name (default: the Schedule's and a random end)")
    _add_wait_options(backfill)


def _add_deploy(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    deploy = commands.add_parser("deploy", parents=[cluster], help="put a Python flow into the cluster")
    deploy.set_defaults(module="penstock.cli.commands.deploy")
    deploy.add_argument("flow", metavar="FILE", help="my_flow.py:etl, module:etl, or my_flow.py if it has one flow")
    deploy.add_argument("--name", metavar="NAME", help="name of the Flow (default: that of the Python flow)")
    deploy.add_argument("--image", metavar="IMAGE", help="image of tasks that name none (default: the operator's)")
    code = deploy.add_mutually_exclusive_group()
    code.add_argument("--inline", action="store_true", help="bring the code in a ConfigMap: needs no image of your own")
    code.add_argument(
        "--source",
        metavar="URL",
        help="Pods fetch the code: git+https://HOST/REPOSITORY@REF, or s3://BUCKET/PREFIX, where it is put",
    )
    deploy.add_argument("--storage", metavar="URL", help="where results go that are too big for outputs")
    deploy.add_argument("--cron", metavar="CRON", action="append", default=[], help="when to run it (repeatable)")
    deploy.add_argument("--interval", metavar="DURATION", action="append", default=[], help="likewise: 15m, 2h")
    deploy.add_argument("--rrule", metavar="RRULE", action="append", default=[], help="likewise, by RFC 5545")
    deploy.add_argument("--timezone", metavar="ZONE", help="in which these are read (UTC)")
    deploy.add_argument("--on-missed", choices=("Skip", "Latest", "All"), help="ticks that were missed (Latest)")
    deploy.add_argument("--on-overlap", choices=("Allow", "Skip", "Queue", "Replace"), help="runs that overlap (Allow)")
    deploy.add_argument("--limit", metavar="N", type=int, help="runs that go on at once at most; others queue")
    deploy.add_argument(
        "-p",
        "--param",
        dest="params",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="default of a param; JSON, unless the param is a string (repeatable)",
    )
    deploy.add_argument(
        "--dry-run", choices=("client", "server"), help="apply nothing; server: ask whether it could be"
    )
    deploy.add_argument(
        "-o", "--output", choices=("text", "yaml", "json", "name"), default="text", help="what to print (text)"
    )
    deploy.add_argument("--force-conflicts", action="store_true", help="take over fields that somebody else manages")
    deploy.add_argument("--wait", action="store_true", help="then wait until the operator has found it sound")
    deploy.add_argument("--timeout", metavar="DURATION", default="2m", help="how long to wait (2m)")


def _add_install(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    install = commands.add_parser(
        "install",
        parents=[cluster],
        help="install or upgrade Penstock: definitions and operator, through the chart",
        description="Installs or upgrades Penstock with helm, waits until it works, and looks at everything as doctor"
        " does. -n is the operator's namespace (default: penstock-system, or where it is installed).",
    )
    install.set_defaults(module="penstock.cli.commands.install")
    install.add_argument("--image", metavar="IMAGE", help="the operator's image: REPOSITORY:TAG, REPOSITORY@sha256:...")
    install.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a value of the chart, as helm has it; repeatable",
    )
    install.add_argument(
        "-f", "--values", metavar="FILE", action="append", default=[], help="values of the chart (repeatable)"
    )
    install.add_argument("--reset-values", action="store_true", help="forget what was set by earlier installations")
    install.add_argument("--release", metavar="NAME", help="name of the release (penstock, or the one that is there)")
    install.add_argument("--chart", metavar="CHART", help="another: a folder, or oci://... (default: this version's)")
    install.add_argument("--version", metavar="VERSION", help="which version of --chart")
    install.add_argument("--timeout", metavar="DURATION", default="5m", help="how long to wait (5m)")
    install.add_argument("--no-wait", action="store_true", help="don't wait, and look at nothing")
    install.add_argument("--dry-run", action="store_true", help="print what would be applied, and change nothing")


def _add_compilation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", metavar="IMAGE", help="image of tasks that name none")
    parser.add_argument(
        "--storage", metavar="URL", help="where big results go: s3://BUCKET/PREFIX, or a folder that all Pods share"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the Flow (default: that of the Python flow)")


def _add_offline(commands: Commands) -> None:
    lint = commands.add_parser("lint", help="check manifests without a cluster")
    lint.set_defaults(module="penstock.cli.commands.lint")
    lint.add_argument("files", metavar="FILE", nargs="+", help="YAML with Flows, FlowRuns and Schedules; - is stdin")

    compile_ = commands.add_parser(
        "compile",
        help="make a Flow of a Python flow",
        description="Calls the flow's function once, with symbols in the place of data, and writes the Flow that it"
        " describes: a Pod for each task.",
    )
    compile_.set_defaults(module="penstock.cli.commands.compile")
    compile_.add_argument("entrypoint", metavar="FILE:FLOW", help="my_flow.py:etl, or my_package.my_flow:etl")
    compile_.add_argument("-o", "--output", metavar="FILE", help="where to write it (default: standard output)")
    _add_compilation(compile_)
    compile_.add_argument("-n", "--namespace", metavar="NS", help="namespace to write into it (default: none)")

    explain = commands.add_parser("explain", help="say what a state or a reason means, and what to do")
    explain.set_defaults(module="penstock.cli.commands.explain")
    explain.add_argument("word", metavar="STATE|REASON", nargs="?", help="the word (default: all of them)")

    completion = commands.add_parser("completion", help="print a script that lets a shell complete what is typed")
    completion.set_defaults(module="penstock.cli.commands.completion")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="source <(penstock completion bash)")
    complete = commands.add_parser(COMPLETE)
    complete.set_defaults(module="penstock.cli.commands.completion")
    complete.add_argument("words", nargs=argparse.REMAINDER)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(module="penstock.cli.commands.version")
