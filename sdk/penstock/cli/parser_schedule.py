"""The commands about Schedules: `penstock schedule` and `penstock backfill`."""

from __future__ import annotations

import argparse
from typing import Final

from penstock.cli.parser_shared import Commands, add_params, add_wait_options

BACKFILL_ORDERS: Final = ("OldestFirst", "NewestFirst")
REPROCESS: Final = ("None", "Failed", "All")
"""Copies of the enums of the API, whose import takes half a second."""
PACKAGE: Final = "penstock.cli.commands.schedule"


def add_schedule(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock schedule` with its verbs."""
    schedule = commands.add_parser("schedule", help="list, run, suspend, resume or preview Schedules")
    verbs = schedule.add_subparsers(title="commands", dest="verb", metavar="COMMAND", required=True)

    listing = verbs.add_parser("list", parents=[cluster], help="list Schedules: when they run, and how it went last")
    listing.set_defaults(module=f"{PACKAGE}.list")
    listing.add_argument("-A", "--all-namespaces", action="store_true", help="list all namespaces")

    run = verbs.add_parser("run", parents=[cluster], help="run a Schedule now, or for one of its past ticks")
    run.set_defaults(module=f"{PACKAGE}.run")
    _add_name(run)
    run.add_argument(
        "--tick",
        metavar="TIME",
        help="create a Backfill of this one tick: 2026-10-01T02:30 (time zone of the Schedule), or with a UTC offset",
    )
    add_params(run, "value of a param; overrides that of the Schedule")
    run.add_argument(
        "--name", metavar="NAME", help="name of the run or Backfill (default: from the name of the Schedule)"
    )
    add_wait_options(run)

    for word, is_suspended, text in (
        ("suspend", True, "suspend a Schedule: it creates no runs; active runs continue"),
        ("resume", False, "resume a suspended Schedule"),
    ):
        suspend = verbs.add_parser(word, parents=[cluster], help=text)
        suspend.set_defaults(module=f"{PACKAGE}.suspend", suspend=is_suspended)
        _add_name(suspend)

    preview = verbs.add_parser(
        "preview", parents=[cluster], help="show the next ticks of a Schedule, and a calendar month"
    )
    preview.set_defaults(module=f"{PACKAGE}.preview")
    preview.add_argument("name", metavar="SCHEDULE", nargs="?", help="name of the Schedule")
    preview.add_argument(
        "-f", "--file", metavar="FILE", help="preview a Schedule from this file (need not be applied); - is stdin"
    )
    preview.add_argument("-t", "--ticks", metavar="N", type=int, default=10, help="number of ticks (default: 10)")
    preview.add_argument(
        "--after", metavar="TIME", help="show ticks after this time: 2026-10-01, 2026-10-01T09:00Z (default: now)"
    )


def add_backfill(commands: Commands, cluster: argparse.ArgumentParser) -> None:
    """Add `penstock backfill`."""
    backfill = commands.add_parser("backfill", parents=[cluster], help="run a Schedule for a past period")
    backfill.set_defaults(module="penstock.cli.commands.backfill")
    backfill.add_argument("schedule", metavar="SCHEDULE", help="name of the Schedule")
    backfill.add_argument(
        "--from",
        dest="from_",
        metavar="TIME",
        required=True,
        help="start of the period: 2026-10-01 or 2026-10-01T06:00 (time zone of the Schedule), or with a UTC offset",
    )
    backfill.add_argument("--to", metavar="TIME", required=True, help="end of the period (exclusive), same formats")
    backfill.add_argument("--max-active", metavar="N", type=int, help="maximum number of concurrent runs (default: 1)")
    backfill.add_argument("--order", choices=BACKFILL_ORDERS, help="order of the ticks (default: OldestFirst)")
    backfill.add_argument(
        "--reprocess", choices=REPROCESS, help="which ticks that already have a run are run again (default: None)"
    )
    backfill.add_argument(
        "--name", metavar="NAME", help="name of the Backfill (default: the name of the Schedule and a random suffix)"
    )
    add_wait_options(backfill)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("schedule", metavar="SCHEDULE", help="name of the Schedule")
