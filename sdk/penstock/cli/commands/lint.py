"""`penstock lint`: what the cluster would say of manifests, without one."""

from __future__ import annotations

import argparse

from penstock.cli.manifests.lint import lint
from penstock.cli.manifests.manifest import read_file


def command(arguments: argparse.Namespace) -> int:
    """Check files; 1 if anything is wrong with any of them."""
    files = {file: read_file(file) for file in arguments.files}
    findings, objects = lint(files)
    for finding in findings:
        print(finding)
    if findings:
        return 1
    print(f"{objects} of Penstock's objects, no problems")
    return 0
