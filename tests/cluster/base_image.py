"""The images that need no registry: a Debian with Python from debootstrap, and the pause image of every Pod."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.cluster.cache import cache_dir, locked
from tests.cluster.command import Command, must_run
from tests.cluster.debian import BUSYBOX, DEBOOTSTRAP, install
from tests.cluster.errors import ClusterError
from tests.cluster.image_archive import architecture, write_archive
from tests.cluster.progress import Stopwatch, say

SUITE = "bookworm"
BASE_TAG = f"localhost/penstock-base:{SUITE}"
PAUSE_TAG = "localhost/penstock-pause:1"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# To be raised when this module makes the same recipe into something else.
RECIPE_VERSION = 2
# What debootstrap leaves that belongs to the machine or to nobody.
LEAVINGS = ("etc/resolv.conf", "etc/hostname", "var/cache/apt", "var/lib/apt/lists", "var/log")


def base_archive() -> Path:
    """The archive of the base image, made when the cache has none of this recipe.

    Raises:
        ClusterError: this is not root on a Debian, or debootstrap failed.
    """
    recipe = f"{RECIPE_VERSION} {SUITE} {' '.join(PACKAGES)} {architecture()}"
    archive = cache_dir() / "images" / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"
    if archive.exists():
        return archive
    with locked("base-image"):
        if not archive.exists():
            _make_base(archive)
    return archive


def pause_archive() -> Path:
    """The archive of the image that keeps a Pod's namespaces: it sleeps."""
    archive = cache_dir() / "images" / "pause-1.tar"
    if archive.exists():
        return archive
    install([BUSYBOX])
    with locked("pause-image"), tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "bin" / "busybox"
        program.parent.mkdir()
        shutil.copy(BUSYBOX.path(), program)
        (program.parent / "sleep").symlink_to("busybox")
        # tar would take over the private mode of the temporary folder, and the image is run by users of all kinds.
        Path(scratch).chmod(0o755)
        write_archive(archive, root=Path(scratch), tag=PAUSE_TAG, command=["/bin/sleep", "2147483647"])
    return archive


def _make_base(archive: Path) -> None:
    if os.geteuid() != 0:
        raise ClusterError("the base image is made by debootstrap, which takes root: run this as root, or start Docker")
    install([DEBOOTSTRAP])
    watch = Stopwatch()
    say(f"making the base image {BASE_TAG} with debootstrap (kept for the next time)")
    with tempfile.TemporaryDirectory(dir=_large_folder()) as scratch:
        root = Path(scratch) / "root"
        # No mirror on the command line: debootstrap knows the machine's.
        command: Command = [DEBOOTSTRAP.path(), "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root]
        must_run(command)
        for leaving in LEAVINGS:
            _empty(root / leaving)
        write_archive(archive, root=root, tag=BASE_TAG, command=["/bin/sh"], environment=[PATH])
    say(f"made {BASE_TAG} in {watch}, {archive.stat().st_size // 1024**2} MiB")


def _large_folder() -> Path:
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _empty(path: Path) -> None:
    if path.is_dir():
        for file in path.rglob("*"):
            if file.is_file() or file.is_symlink():
                file.unlink()
    elif path.exists() or path.is_symlink():
        path.unlink()
        path.touch()
