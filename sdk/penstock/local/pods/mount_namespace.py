"""Starts a program with directories mounted at other paths, as a container sees its volumes.

It is a program that replaces itself: `python mount_namespace.py FOLDER MOUNTS COMMAND...`. The mounts are in a
mount namespace, which only this process and its children see, and which ends with them. If a path does not exist, the
nearest directory above it is covered by a directory in memory that has the same entries, and the path. Users other than
root need a user namespace for that, which some machines do not allow.

https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
PROBLEM = "problem"
"""File in the folder that says why the program could not be started."""
CANNOT_START = 128
"""Exit code for a program that could not be started, as of container runtimes."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Mount and become the program; without a command, only check whether mounting works."""
    folder, mounts, *words = Path(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:]
    here = Path.cwd()
    try:
        enter_namespace()
        for source, path in mounts:
            mount(Path(source), Path(path), folder)
        os.chdir(here)
    except OSError as error:
        fail(folder, f"cannot mount the volumes: {error}")
    if not words:
        return
    try:
        os.execvp(words[0], words)  # noqa: S606 - this is its purpose
    except OSError as error:
        fail(folder, f'cannot start "{words[0]}": {error.strerror}')


def fail(folder: Path, why: str) -> None:
    """Write why the program could not be started to a file: its exit code could be that of the program."""
    (folder / PROBLEM).write_text(why, encoding="utf-8")
    sys.exit(CANNOT_START)


def enter_namespace() -> None:
    """Enter a mount namespace of its own, so that no other process sees the changes."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _check(_libc.unshare(CLONE_NEWNS), "unshare")
    else:
        _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
        maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for file, content in maps.items():
            Path("/proc/self", file).write_text(content, encoding="ascii")
    _mount(Path("none"), Path("/"), None, MS_REC | MS_PRIVATE)


def mount(source: Path, path: Path, folder: Path) -> None:
    """Mount a directory or file at a path."""
    if not os.path.lexists(path):
        cover(path, folder)
        make(path, is_directory=source.is_dir())
    _mount(source, path, None, MS_BIND | MS_REC)


def cover(path: Path, folder: Path) -> None:
    """Cover the nearest directory above a path by a copy that entries can be added to."""
    above = next(parent for parent in path.parents if parent.is_dir())
    copy = Path(tempfile.mkdtemp(prefix="cover-", dir=folder))
    entries = list(above.iterdir())
    _mount(Path("tmpfs"), copy, "tmpfs", 0)
    for old in entries:
        new = copy / old.name
        if old.is_symlink():
            new.symlink_to(old.readlink())
        else:
            make(new, is_directory=old.is_dir())
            _mount(old, new, None, MS_BIND | MS_REC)
    if above == Path("/"):
        os.chroot(copy)
        os.chdir("/")
    else:
        _mount(copy, above, None, MS_BIND | MS_REC)


def make(path: Path, *, is_directory: bool) -> None:
    """Make an empty directory or file, and the directories that it is in."""
    (path if is_directory else path.parent).mkdir(parents=True, exist_ok=True)
    if not is_directory:
        path.touch()


def _mount(source: Path, target: Path, kind: str | None, flags: int) -> None:
    words = os.fsencode(source), os.fsencode(target), None if kind is None else kind.encode()
    _check(_libc.mount(*words, ctypes.c_ulong(flags), None), str(target))


def _check(done: int, what: str) -> None:
    if done:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main()
