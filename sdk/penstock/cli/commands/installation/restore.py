"""`penstock restore`: create the objects of a backup. Nothing that had finished runs again."""

from __future__ import annotations

import argparse
import gzip
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.restore import Restore, Result
from penstock.cli.manifests.backup import read_backup
from penstock.cli.text.echo import echo
from penstock.errors import CommandError

STDIN: Final = "-"
GZIP: Final = b"\x1f\x8b"
"""How a gzip file begins: https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1."""


def command(arguments: argparse.Namespace) -> int:
    """Restore a backup; 1 if an object could not be restored."""
    backup = read_backup(_read(arguments.file).splitlines(), arguments.file)
    only = arguments.namespace
    objects = [body for body in backup.objects if only is None or body["metadata"]["namespace"] == only]
    if not objects:
        raise CommandError(f"{arguments.file} has no objects{f' of namespace {only}' if only else ''}")
    restore = Restore(
        Cluster.connect(arguments),
        suspends_unfinished=arguments.unfinished == "suspend",
        resumes_schedules=arguments.resume_schedules,
    )
    counts: Counter[Result] = Counter()
    for outcome in restore.run(objects):
        counts[outcome.result] += 1
        echo(outcome, is_error=outcome.result is Result.FAILED, flush=True)
    echo(
        f"backup of {backup.time}: " + ", ".join(f"{count} {result}" for result, count in counts.items()), is_error=True
    )
    return 1 if counts[Result.FAILED] else 0


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        return (gzip.decompress(data) if data.startswith(GZIP) else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
