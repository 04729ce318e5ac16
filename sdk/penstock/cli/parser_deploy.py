"""Options of the commands that compile, deploy and install."""

from __future__ import annotations

import argparse

from penstock.cli.parser_shared import Commands


def add_deploy(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock deploy`."""
    deploy = commands.add_parser("deploy", parents=[cluster], help="deploy a Python flow")
    deploy.set_defaults(module="penstock.cli.commands.flows.deploy")
    deploy.add_argument(
        "flow", metavar="FILE", help="my_flow.py:etl, module:etl, or my_flow.py if it contains one flow"
    )
    deploy.add_argument("--name", metavar="NAME", help="name of the Flow (default: the name of the Python flow)")
    deploy.add_argument(
        "--image", metavar="IMAGE", help="image of tasks that set no image (default: the image of the operator)"
    )
    code = deploy.add_mutually_exclusive_group()
    code.add_argument(
        "--inline", action="store_true", help="store the code in a ConfigMap; no image of your own is needed"
    )
    code.add_argument(
        "--source",
        metavar="URL",
        help="where Pods fetch the code: git+https://HOST/REPOSITORY@REF, or s3://BUCKET/PREFIX (deploy uploads it)",
    )
    deploy.add_argument("--storage", metavar="URL", help="where to store results that are too large for outputs")
    deploy.add_argument(
        "--cron", metavar="CRON", action="append", default=[], help="cron expression of a Schedule (repeatable)"
    )
    deploy.add_argument(
        "--interval",
        metavar="DURATION",
        action="append",
        default=[],
        help="interval of a Schedule: 15m, 2h (repeatable)",
    )
    deploy.add_argument(
        "--rrule",
        metavar="RRULE",
        action="append",
        default=[],
        help="recurrence rule (RFC 5545) of a Schedule (repeatable)",
    )
    deploy.add_argument("--timezone", metavar="ZONE", help="time zone of the Schedule (default: UTC)")
    deploy.add_argument(
        "--on-missed", choices=("Skip", "Latest", "All"), help="what to do with missed ticks (default: Latest)"
    )
    deploy.add_argument(
        "--on-overlap",
        choices=("Allow", "Skip", "Queue", "Replace"),
        help="what to do if the previous run is still active (default: Allow)",
    )
    deploy.add_argument(
        "--limit", metavar="N", type=int, help="maximum number of concurrent runs of the Flow; others are queued"
    )
    deploy.add_argument(
        "-p",
        "--param",
        dest="params",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="default of a param: text for a string param, else JSON (repeatable)",
    )
    deploy.add_argument(
        "--dry-run", choices=("client", "server"), help="apply nothing; server: let the API server validate the objects"
    )
    deploy.add_argument(
        "-o", "--output", choices=("text", "yaml", "json", "name"), default="text", help="output format (default: text)"
    )
    deploy.add_argument(
        "--force-conflicts", action="store_true", help="take ownership of fields that another field manager owns"
    )
    deploy.add_argument("--wait", action="store_true", help="wait until the Flow is Ready")
    deploy.add_argument("--timeout", metavar="DURATION", default="2m", help="maximum time to wait (default: 2m)")


def add_install(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock install`."""
    install = commands.add_parser(
        "install",
        parents=[cluster],
        help="install or upgrade Penstock: CRDs and operator, with the Helm chart",
        description="Installs or upgrades Penstock with helm, waits until it is ready, and runs the checks of doctor."
        " -n is the namespace of the operator (default: penstock-system, or where it is installed already).",
    )
    install.set_defaults(module="penstock.cli.commands.installation.install")
    install.add_argument(
        "--image", metavar="IMAGE", help="image of the operator: REPOSITORY:TAG or REPOSITORY@sha256:..."
    )
    install.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set a value of the chart, as in helm (repeatable)",
    )
    install.add_argument(
        "-f", "--values", metavar="FILE", action="append", default=[], help="file with values of the chart (repeatable)"
    )
    install.add_argument("--reset-values", action="store_true", help="discard the values of earlier installations")
    install.add_argument(
        "--release", metavar="NAME", help="name of the Helm release (default: the existing one, or penstock)"
    )
    install.add_argument(
        "--chart",
        metavar="CHART",
        help="use this chart: a directory, or oci://... (default: the chart of this version)",
    )
    install.add_argument("--version", metavar="VERSION", help="version of --chart")
    install.add_argument("--timeout", metavar="DURATION", default="5m", help="maximum time to wait (default: 5m)")
    install.add_argument("--no-wait", action="store_true", help="do not wait, and skip the checks")
    install.add_argument(
        "--dry-run", action="store_true", help="print the manifests that would be applied, and change nothing"
    )


def add_backup_and_restore(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock backup` and `penstock restore`."""
    backup = commands.add_parser(
        "backup",
        parents=[cluster],
        help="write all Flows, runs, Schedules and Backfills to a file",
        description="Writes all objects of a namespace to a file, from which penstock restore creates them again.",
    )
    backup.set_defaults(module="penstock.cli.commands.installation.backup")
    backup.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="file to write; FILE.gz is compressed (default: stdout)"
    )
    backup.add_argument("-A", "--all-namespaces", action="store_true", help="back up all namespaces")
    backup.add_argument("--cache", action="store_true", help="include cached outputs of tasks")
    restore = commands.add_parser(
        "restore",
        parents=[cluster],
        help="restore the objects of a backup; finished runs do not run again",
        description="Creates the objects of a backup that do not exist. Finished runs get their status and do not run"
        " again. -n restores one namespace only. It can be repeated after an interruption.",
    )
    restore.set_defaults(module="penstock.cli.commands.installation.restore")
    restore.add_argument("file", metavar="FILE", help="the backup; - is stdin")
    restore.add_argument(
        "--unfinished",
        choices=("skip", "suspend"),
        default="skip",
        help="runs and Backfills that had not finished: leave them out, or restore them suspended and from their"
        " beginning (default: skip)",
    )
    restore.add_argument(
        "--resume-schedules",
        action="store_true",
        help="let Schedules create runs again when all is restored (default: they are suspended)",
    )


def add_compilation(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a Python flow is compiled to."""
    parser.add_argument("--image", metavar="IMAGE", help="image of tasks that set no image")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="where to store large results: s3://BUCKET/PREFIX, or a directory that all Pods share",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the Flow (default: the name of the Python flow)")
