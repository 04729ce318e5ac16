"""`penstock lint`: check manifests without a cluster."""

from __future__ import annotations

import argparse

from penstock.cli.manifests.lint import lint
from penstock.cli.manifests.manifest import read_file
from penstock.cli.text.echo import echo


def command(arguments: argparse.Namespace) -> int:
    """Check files; 1 if there are findings."""
    files = {file: read_file(file) for file in arguments.files}
    findings, objects = lint(files)
    for finding in findings:
        echo(finding)
    if findings:
        return 1
    if objects:
        echo(f"{objects} {'object' if objects == 1 else 'objects'} checked, no problems")
    else:
        echo("no Penstock objects found")
    return 0
