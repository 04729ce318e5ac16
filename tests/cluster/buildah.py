"""buildah, with a storage of its own in the cache."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir
from tests.cluster.command import Command, must_run
from tests.cluster.debian import BUILDAH
from tests.cluster.overlay import can_mount_overlay


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
        return cls(driver="overlay" if can_mount_overlay(folder) else "vfs")

    @property
    def folder(self) -> Path:
        return cache_dir() / "images" / f"storage-{self.driver}"

    @property
    def keeps_layers(self) -> bool:
        """Whether to keep each step of a build for the next one; as whole copies they cost more than they save."""
        return self.driver == "overlay"

    def buildah(self, arguments: Command) -> None:
        """Run a command of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        roots = [f"--root={self.folder / 'root'}", f"--runroot={self.folder / 'run'}"]
        must_run([BUILDAH.path(), *roots, f"--storage-driver={self.driver}", *arguments])
