"""Resolves a branch or tag of a Git repository to a commit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from penstock.authoring.pods.code_source import COMMIT, GitSource
from penstock.errors import CommandError

RESPONSE_TIMEOUT_S: Final = 60


def pin(source: GitSource) -> GitSource:
    """Resolve the ref of a source to a commit.

    Raises:
        CommandError: git is not installed, or the repository or the ref does not exist.
    """
    if COMMIT.fullmatch(source.ref):
        return source
    git = shutil.which("git")
    if git is None:
        raise CommandError(f"git not found on PATH, so {source.ref} cannot be resolved: use a commit, or install git")
    # `tag^{}` is the commit of an annotated tag; it is listed after the tag itself.
    refs = ["HEAD"] if source.ref == "HEAD" else [f"refs/heads/{source.ref}", f"refs/tags/{source.ref}*"]
    try:
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            [git, "ls-remote", "--", source.url, *refs],
            capture_output=True,
            text=True,
            check=False,
            timeout=RESPONSE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"--source: {source.url} does not respond") from error
    if done.returncode:
        why = " ".join(done.stderr.split())
        raise CommandError(f"--source: cannot read {source.url}: {why}")
    found = {name: commit for commit, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    for name in ("HEAD", f"refs/heads/{source.ref}", f"refs/tags/{source.ref}^{{}}", f"refs/tags/{source.ref}"):
        if (commit := found.get(name)) and (name != "HEAD" or source.ref == "HEAD"):
            return source._replace(ref=commit)
    raise CommandError(f"--source: {source.url} has no branch or tag {source.ref}")


def subdirectory_of(file: Path) -> str:
    """Return the directory of a file relative to its Git checkout; empty if it is the top, or not in a checkout."""
    folder = file.resolve().parent
    top = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    return "" if top == folder else folder.relative_to(top).as_posix()
