"""Whether the kernel lets us mount overlays in a folder: not without root, and not on top of most containers' own."""

import tempfile
from pathlib import Path

from tests.cluster.command import must_run, run


def can_mount_overlay(folder: Path) -> bool:
    """Try it, in a folder that exists."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        parts = {name: Path(scratch) / name for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        if run(["mount", "-t", "overlay", "overlay", "-o", options, parts["merged"]]).returncode:
            return False
        must_run(["umount", parts["merged"]])
        return True
