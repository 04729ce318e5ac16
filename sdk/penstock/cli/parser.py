"""The argument parser: every command with its arguments and options."""

from __future__ import annotations

import argparse
from typing import Any, Final

import penstock
from penstock.cli.invocation import program
from penstock.cli.parser_deploy import add_backup_and_restore, add_compilation, add_deploy, add_install
from penstock.cli.parser_schedule import add_backfill, add_schedule
from penstock.cli.parser_shared import Commands, add_params, add_wait_options
from penstock.cli.parser_viewing import add_delete, add_viewing
from penstock.engine.suggestion import suggest

CLUSTER_OPTIONS: Final = (
    (("-n", "--namespace"), "NS", "namespace (default: the namespace of the context)"),
    (("--context",), "NAME", "context of the kubeconfig (default: the current one)"),
    (("--kubeconfig",), "FILE", "kubeconfig (default: $KUBECONFIG or ~/.kube/config)"),
)

COMPLETE: Final = "__complete"
"""Called by the scripts of `penstock completion`; hidden from help."""


class Parser(argparse.ArgumentParser):
    """Reports an unknown command with the most similar one, instead of listing all."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001 - not public
            from penstock.cli.text.prefect_commands import PREFECT_COMMANDS  # noqa: PLC0415 - for wrong commands only

            known = [each.dest for each in action._choices_actions]  # noqa: SLF001 - the commands that help lists
            meant = PREFECT_COMMANDS.get(value)
            hint = suggest(value, known) if meant is None else f": {meant}"
            raise argparse.ArgumentError(
                None, f"unknown command '{value}'{hint}; {program()} --help lists the commands"
            )
        super()._check_value(action, value)


def build_parser() -> argparse.ArgumentParser:
    """Build the argument parser.

    Returns:
        A parser whose result has the name of the command's module in `module`.
    """
    parser = Parser(
        prog=program(),
        description="Workflow orchestration inside Kubernetes.",
        epilog="All objects are also available to kubectl: kubectl get flows,flowruns,schedules,backfills",
    )
    parser.add_argument("--version", action="version", version=f"penstock {penstock.__version__}")
    _add_cluster_options(parser, default=None)
    commands = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)
    # Suppressed defaults keep the values of options given before the command.
    cluster = Parser(add_help=False)
    _add_cluster_options(cluster, default=argparse.SUPPRESS)
    _add_run_and_retry(commands, cluster)
    add_viewing(commands, cluster)
    _add_control(commands, cluster)
    add_delete(commands, cluster)
    add_schedule(commands, cluster)
    add_backfill(commands, cluster)
    _add_offline(commands)
    add_deploy(commands, cluster)
    add_install(commands, cluster)
    add_backup_and_restore(commands, cluster)
    doctor = commands.add_parser(
        "doctor", parents=[cluster], help="check that Penstock works in this cluster, and check your permissions"
    )
    doctor.set_defaults(module="penstock.cli.commands.installation.doctor")
    return parser


def _add_cluster_options(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    group = parser.add_argument_group("cluster")
    for flags, metavar, text in CLUSTER_OPTIONS:
        group.add_argument(*flags, metavar=metavar, help=text, default=default)


def _add_run_and_retry(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[cluster], help="start a run of a Flow, in the cluster or on this machine")
    run.set_defaults(module="penstock.cli.commands.runs.run")
    run.add_argument(
        "flow",
        metavar="FLOW|FILE",
        nargs="+",
        help="name of the Flow; with --local or --inline: a file, flow.yaml:NAME or etl.py:NAME",
    )
    add_params(run)
    run.add_argument(
        "--params-file", metavar="FILE", help="file with values of params, YAML or JSON; -p overrides it; - is stdin"
    )
    run.add_argument(
        "--name", metavar="NAME", help="name of the run (default: the name of the Flow and a random suffix)"
    )
    run.add_argument(
        "--at",
        metavar="TIME",
        help="earliest start time: +90s, +2h, 14:30, 2026-11-22T14:30 (local time), or with a UTC offset",
    )
    run.add_argument(
        "--priority",
        metavar="N",
        type=int,
        help="priority among queued runs of the Flow; higher starts first (default: 0)",
    )
    run.add_argument(
        "--timeout", metavar="DURATION", help="maximum duration of the run: 90s, 2h (default: the timeout of the Flow)"
    )
    run.add_argument(
        "--inline",
        action="store_true",
        help="run a file in the cluster once, without deploying it: the FlowRun contains the Flow",
    )
    run.add_argument(
        "--image", metavar="IMAGE", help="with --inline: image of a Python flow (default: the image of the operator)"
    )
    add_wait_options(run)
    _add_local_options(run)

    retry = commands.add_parser(
        "retry", parents=[cluster], help="start a new run with only the tasks that a finished run did not complete"
    )
    retry.set_defaults(module="penstock.cli.commands.runs.retry")
    _add_run_name(retry)
    retry.add_argument("--latest", action="store_true", help="use the current Flow, not the revision of that run")
    add_params(retry, "value of a param; overrides that of the run; tasks that refer to it run again")
    retry.add_argument(
        "--from",
        dest="from_",
        metavar="TASK",
        help="run this task again, and all tasks that follow from it, also if they completed",
    )
    retry.add_argument(
        "--items", metavar="INDEXES", help="with --from: completed items of that task to run again: 3,7-9"
    )
    retry.add_argument(
        "--restart-completed",
        action="store_true",
        help="run everything again; with --from: all items of that task, and all that follows from it",
    )
    retry.add_argument("--dry-run", action="store_true", help="only show what is kept and what runs again")
    retry.add_argument(
        "--name", metavar="NAME", help="name of the new run (default: the name of the Flow and a random suffix)"
    )
    add_wait_options(retry)


def _add_local_options(run: argparse.ArgumentParser) -> None:
    here = run.add_argument_group("on this machine")
    here.add_argument(
        "--local", action="store_true", help="run files on this machine, without a cluster; each task is a process"
    )
    here.add_argument(
        "--docker", action="store_true", help="like --local, but each task is a container (Docker or Podman)"
    )
    here.add_argument(
        "--parallel", metavar="N", type=int, help="maximum number of concurrent tasks (default: 2 per CPU, at least 16)"
    )
    for word in ("approve", "reject"):
        here.add_argument(
            f"--{word}",
            metavar="TASK",
            action="append",
            default=[],
            help=f"{word} this approval task in advance (repeatable)",
        )
    here.add_argument(
        "-o", "--output", choices=("json", "yaml"), help="when finished, print the FlowRun with its status"
    )


def _add_run_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of the FlowRun")


def _add_control(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    for word, is_suspended, text in (
        ("suspend", True, "suspend a run: no new tasks start, running tasks continue"),
        ("resume", False, "resume a suspended run"),
    ):
        suspend = commands.add_parser(word, parents=[cluster], help=text)
        suspend.set_defaults(module="penstock.cli.commands.runs.suspend", suspend=is_suspended)
        _add_run_name(suspend)

    cancel = commands.add_parser("cancel", parents=[cluster], help="cancel a run; its finally tasks still run")
    cancel.set_defaults(module="penstock.cli.commands.runs.cancel", shutdown="Cancel")
    _add_run_name(cancel)
    how = cancel.add_mutually_exclusive_group()
    how.add_argument(
        "--drain",
        dest="shutdown",
        action="store_const",
        const="Drain",
        help="let running tasks finish; start no new tasks except finally tasks",
    )
    how.add_argument(
        "--now",
        dest="shutdown",
        action="store_const",
        const="Terminate",
        help="stop everything; finally tasks do not run",
    )

    for word, decision in (("approve", "Approve"), ("reject", "Reject")):
        decide = commands.add_parser(word, parents=[cluster], help=f"{word} a task that is waiting for approval")
        decide.set_defaults(module="penstock.cli.commands.runs.approve", decision=decision)
        _add_run_name(decide)
        decide.add_argument(
            "task", metavar="TASK", nargs="?", help="name of the task (may be omitted if only one is waiting)"
        )
        decide.add_argument("-m", "--comment", metavar="COMMENT", help="reason; stored in spec.approvals of the run")


def _add_offline(commands: Commands) -> None:
    lint = commands.add_parser("lint", help="check manifests without a cluster")
    lint.set_defaults(module="penstock.cli.commands.flows.lint")
    lint.add_argument(
        "files", metavar="FILE", nargs="+", help="YAML with Flows, FlowRuns, Schedules or Backfills; - is stdin"
    )

    compile_ = commands.add_parser(
        "compile",
        help="compile a Python flow to a Flow",
        description="Calls the function of the flow once, with placeholders instead of data, and writes the Flow that"
        " it describes: one Pod per task.",
    )
    compile_.set_defaults(module="penstock.cli.commands.flows.compile")
    compile_.add_argument("entrypoint", metavar="FILE:FLOW", help="my_flow.py:etl, or my_package.my_flow:etl")
    compile_.add_argument("-o", "--output", metavar="FILE", help="output file (default: standard output)")
    add_compilation(compile_)
    compile_.add_argument("-n", "--namespace", metavar="NS", help="namespace in the manifests (default: none)")

    explain = commands.add_parser("explain", help="explain a state or a reason, and what to do about it")
    explain.set_defaults(module="penstock.cli.commands.explain")
    explain.add_argument("word", metavar="STATE|REASON", nargs="?", help="state or reason (default: list all)")

    completion = commands.add_parser("completion", help="print a completion script for a shell")
    completion.set_defaults(module="penstock.cli.commands.completion")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="usage: source <(penstock completion bash)")
    complete = commands.add_parser(COMPLETE)
    complete.set_defaults(module="penstock.cli.commands.completion")
    complete.add_argument("words", nargs=argparse.REMAINDER)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(module="penstock.cli.commands.version")
