"""`penstock lint`: check manifests without a cluster."""

from __future__ import annotations

import argparse

from penstock.cli.manifests.lint import find_foreign_files, lint, warn
from penstock.cli.manifests.manifest import read_file
from penstock.cli.text.echo import echo


def command(arguments: argparse.Namespace) -> int:
    """Check files; 1 if there are findings, or a file without any Penstock object. Warnings do not count."""
    files = {file: read_file(file) for file in arguments.files}
    findings, objects = lint(files)
    findings += find_foreign_files(files)
    warnings = warn(files)
    for finding in (*findings, *warnings):
        echo(finding)
    if findings:
        return 1
    counted = f"{objects} {'object' if objects == 1 else 'objects'} checked, no problems"
    echo(counted + (f", {len(warnings)} {'warning' if len(warnings) == 1 else 'warnings'}" if warnings else ""))
    return 0
