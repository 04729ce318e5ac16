"""Commands that are run to their end."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError

Command = Sequence[str | Path]
OUTPUT_CHARACTERS = 2500


def run(
    command: Command,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command silently, whatever its exit code.

    Raises:
        ClusterError: it took too long.
    """
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{shlex.join(map(str, command))}` did not end within {timeout_s:.0f} s") from error


def must_run(
    command: Command,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> str:
    """Run a command silently; returns its standard output.

    Raises:
        ClusterError: it failed; the message has the end of what it printed.
    """
    done = run(command, cwd=cwd, environment=environment, timeout_s=timeout_s)
    if done.returncode:
        output = f"{done.stdout}\n{done.stderr}".strip()[-OUTPUT_CHARACTERS:]
        raise ClusterError(f"`{shlex.join(map(str, command))}` failed:\n{output}")
    return done.stdout
