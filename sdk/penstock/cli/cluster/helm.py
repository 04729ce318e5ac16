"""Runs the program helm."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from penstock.cli.text.echo import echo
from penstock.errors import CommandError

LEAST_VERSION: Final = (3, 17)
"""The first with `--take-ownership`."""
FLAGS: Final = (("kubeconfig", "--kubeconfig"), ("context", "--kube-context"))
PREFIX: Final = "Error: "


class Helm:
    """The program helm, with the options that select the cluster.

    Args:
        program: its path.
        flags: those options.
    """

    def __init__(self, program: str, flags: Sequence[str]) -> None:
        self._program = program
        self._flags = tuple(flags)

    @classmethod
    def find(cls, kubeconfig: str | None, context: str | None) -> Helm:
        """Find helm on PATH.

        Args:
            kubeconfig: value of --kubeconfig, if given.
            context: value of --context, if given.

        Raises:
            CommandError: it is not installed, or too old.
        """
        program = shutil.which("helm")
        least = ".".join(map(str, LEAST_VERSION))
        if program is None:
            raise CommandError(
                f"helm not found on PATH: install Helm {least} or later (https://helm.sh/docs/intro/install)"
            )
        typed = {"kubeconfig": kubeconfig, "context": context}
        found = cls(program, [f"{flag}={value}" for name, flag in FLAGS if (value := typed[name])])
        version = found.run("version", "--template={{.Version}}")
        numbers = tuple(int(each) for each in re.findall(r"\d+", version)[:2])
        if numbers and numbers < LEAST_VERSION:
            raise CommandError(f"{program} is Helm {version.strip()}; {least} or later is required")
        return found

    def run(self, *words: str) -> str:
        """Run helm, and return its standard output.

        Raises:
            CommandError: it failed; the message is its own.
        """
        # Standard error is shown only on failure.
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            [self._program, *words, *self._flags], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CommandError(f"helm {words[0]}: {_error(done.stderr) or f'exit code {done.returncode}'}")
        for line in done.stderr.splitlines():
            if line.startswith("WARNING"):
                echo(line, is_error=True)
        return done.stdout

    def has(self, release: str, namespace: str) -> bool:
        """Whether a release exists, in any status."""
        return bool(self.run("list", "--all", "--short", f"--namespace={namespace}", f"--filter=^{release}$").strip())


def _error(text: str) -> str:
    """Return the error as one line, without the log lines before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    start = next((place for place, line in enumerate(lines) if line.startswith(PREFIX)), len(lines) - 1)
    return " ".join(line.removeprefix(PREFIX) for line in lines[max(start, 0) :])
