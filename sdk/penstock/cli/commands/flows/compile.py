"""`penstock compile`: compile a Python flow to a Flow."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock.cli.deployment.compile import compile_checked
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.echo import echo
from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Compile a flow and the flows that it calls, and write their manifests."""
    manifests = compile_checked(
        arguments.entrypoint,
        image=arguments.image,
        storage=arguments.storage,
        name=arguments.name,
        namespace=arguments.namespace,
    )
    text = "---\n".join(yaml_text(manifest) for manifest in manifests)
    if arguments.output is None:
        echo(text, end="")
        return 0
    try:
        Path(arguments.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {arguments.output}: {error.strerror}") from error
    return 0
