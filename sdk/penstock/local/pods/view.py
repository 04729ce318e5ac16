"""Starts a program that sees directories elsewhere than where they are, as a container sees its volumes.

It is a program of its own, started in place of what it then becomes: `python view.py FOLDER MOUNTS WORDS...`. A mount
namespace makes the view, which nobody else sees and which goes with its processes. Where a path does not exist, the
nearest directory above it is covered by one in memory that has all it had, and the path. Whoever is not root needs a
user namespace for that, which some machines don't allow.

https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
PROBLEM = "problem"
"""File of the folder that says why the program was not started, if it was not."""
CANNOT_START = 128
"""Exit code of what can't be started, as container runtimes have it."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Make the view and become the program; without words, only say whether a view can be made."""
    folder, mounts, *words = sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:]
    here = os.getcwd()  # noqa: PTH109 - paths of the view are no paths of the machine
    try:
        leave()
        for source, path in mounts:
            mount(source, path, folder)
        os.chdir(here)
    except OSError as error:
        fail(folder, f"the volumes can't be mounted: {error}")
    if not words:
        return
    try:
        os.execvp(words[0], words)  # noqa: S606 - starting it is what this is for
    except OSError as error:
        fail(folder, f'"{words[0]}" can\'t be started: {error.strerror}')


def fail(folder: str, why: str) -> None:
    """Say that the program could not be started: in a file, for its exit code could be the program's own."""
    with open(os.path.join(folder, PROBLEM), "w", encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        stream.write(why)
    sys.exit(CANNOT_START)


def leave() -> None:
    """Leave the mount namespace of the machine, in which changes would be everybody's."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _check(_libc.unshare(CLONE_NEWNS), "unshare")
    else:
        _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
        for file, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{file}", "w", encoding="ascii") as stream:  # noqa: PTH123 - starts fast without
                stream.write(content)
    _mount("none", "/", None, MS_REC | MS_PRIVATE)


def mount(source: str, path: str, folder: str) -> None:
    """Have a directory or file be seen at a path."""
    if not os.path.lexists(path):
        cover(path, folder)
        make(path, is_directory=os.path.isdir(source))  # noqa: PTH112 - starts fast without
    _mount(source, path, None, MS_BIND | MS_REC)


def cover(path: str, folder: str) -> None:
    """Make the nearest directory above a path one that can be added to."""
    above = os.path.dirname(path)  # noqa: PTH120 - starts fast without
    while not os.path.isdir(above):  # noqa: PTH112
        above = os.path.dirname(above)  # noqa: PTH120
    copy = tempfile.mkdtemp(prefix="cover-", dir=folder)
    entries = os.listdir(above)  # noqa: PTH208
    _mount("tmpfs", copy, "tmpfs", 0)
    for name in entries:
        old, new = os.path.join(above, name), os.path.join(copy, name)  # noqa: PTH118
        if os.path.islink(old):  # noqa: PTH114
            os.symlink(os.readlink(old), new)  # noqa: PTH115, PTH211
        else:
            make(new, is_directory=os.path.isdir(old))  # noqa: PTH112
            _mount(old, new, None, MS_BIND | MS_REC)
    if above == "/":
        os.chroot(copy)
        os.chdir("/")
    else:
        _mount(copy, above, None, MS_BIND | MS_REC)


def make(path: str, *, is_directory: bool) -> None:
    """Make an empty directory or file, and the directories that it is in."""
    os.makedirs(path if is_directory else os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if not is_directory:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    done = _libc.mount(
        source.encode(), target.encode(), None if kind is None else kind.encode(), ctypes.c_ulong(flags), None
    )
    _check(done, target)


def _check(done: int, what: str) -> None:
    if done:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main()
