"""buildah, with a storage of its own in the cache."""

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir
from tests.cluster.debian import BUILDAH
from tests.cluster.errors import ClusterError

OUTPUT_CHARACTERS = 2500


@dataclass(frozen=True)
class Storage:
    """Where buildah keeps images.

    Attributes:
        driver: `overlay` where the kernel lets us mount one, else `vfs`, which copies every layer as a whole.
    """

    driver: str

    @classmethod
    def open(cls) -> "Storage":
        folder = cache_dir() / "images"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(driver="overlay" if _can_mount_overlay(folder) else "vfs")

    @property
    def folder(self) -> Path:
        return cache_dir() / "images" / f"storage-{self.driver}"

    @property
    def keeps_layers(self) -> bool:
        """Whether to keep each step of a build for the next one; as whole copies they would cost more than they save."""
        return self.driver == "overlay"

    def buildah(self, arguments: Iterable[str | Path]) -> None:
        """Run a command of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        roots = ["--root", self.folder / "root", "--runroot", self.folder / "run"]
        run([BUILDAH.path(), *roots, f"--storage-driver={self.driver}", *arguments])


def run(command: list[str | Path]) -> None:
    """Run a command to its end, silently.

    Raises:
        ClusterError: it failed; the message has what it printed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = f"{done.stdout}\n{done.stderr}".strip()
        raise ClusterError(f"{Path(command[0]).name} failed:\n{output[-OUTPUT_CHARACTERS:]}")


def _can_mount_overlay(folder: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        parts = {name: Path(scratch) / name for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, parts["merged"]]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", parts["merged"]], capture_output=True, check=False)
        return True
