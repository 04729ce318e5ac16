"""The entry of the command line: what can be typed, and what an error looks like."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

import penstock
from penstock.errors import PenstockError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
"""The run did not complete, the manifest is wrong, or the cluster refused."""
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


def _cluster_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: that of the context)")
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: the current one)")
    group.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG or ~/.kube/config)")
    return options


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns:
        A parser whose results name, as `module`, the module that does the work.
    """
    parser = argparse.ArgumentParser(
        prog="penstock",
        description="Workflow orchestration that lives inside Kubernetes.",
        epilog="Everything here is also an object that kubectl shows: kubectl get flows,flowruns,schedules",
    )
    parser.add_argument("--version", action="version", version=f"penstock {penstock.__version__}")
    commands = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)
    cluster = _cluster_options()

    run = commands.add_parser("run", parents=[cluster], help="start a run of a Flow")
    run.set_defaults(module="penstock.cli.run")
    run.add_argument("flow", metavar="FLOW", help="name of the Flow")
    run.add_argument(
        "-p",
        "--param",
        dest="params",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="value of a param; JSON, unless the param is a string (repeatable)",
    )
    run.add_argument("--name", metavar="NAME", help="name of the run (default: the Flow's and a random end)")
    ending = run.add_mutually_exclusive_group()
    ending.add_argument("--watch", action="store_true", help="then watch it, as penstock watch does")
    ending.add_argument("--wait", action="store_true", help="then wait until it is over; exit 0 only if it completed")

    watch = commands.add_parser("watch", parents=[cluster], help="watch a run until it is over")
    watch.set_defaults(module="penstock.cli.watch")
    watch.add_argument("run", metavar="RUN", help="name of the FlowRun")

    logs = commands.add_parser("logs", parents=[cluster], help="print what the tasks of a run wrote")
    logs.set_defaults(module="penstock.cli.logs")
    logs.add_argument("run", metavar="RUN", help="name of the FlowRun")
    logs.add_argument("--task", metavar="TASK", help="of this task only")
    logs.add_argument("--all-attempts", action="store_true", help="of failed attempts too, not only the last one")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")

    lint = commands.add_parser("lint", help="check manifests without a cluster")
    lint.set_defaults(module="penstock.cli.lint")
    lint.add_argument("files", metavar="FILE", nargs="+", help="YAML with Flows, FlowRuns and Schedules; - is stdin")

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(module="penstock.cli.version")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was typed.

    Args:
        argv: the words after `penstock`; those of the process if not given.

    Returns:
        The exit code: 0 for success, 1 for failure, 130 after Ctrl-C. Words that make no sense end in
        `SystemExit(2)`, as argparse does it.
    """
    arguments = build_parser().parse_args(argv)
    try:
        command: Callable[[argparse.Namespace], int] = importlib.import_module(arguments.module).command
        return command(arguments)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader has gone (`penstock logs ... | head`); the interpreter would complain of it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
