"""Fetching code in a Pod before the task runs: a commit of a Git repository, or a zip file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from penstock.authoring.pods.code_source import COMMIT, GIT, ZIP, GitSource, read_source
from penstock.authoring.pods.entrypoint import CODE_VARIABLE
from penstock.authoring.pods.pod_call import SOURCE
from penstock.errors import CodeError, ResultError
from penstock.runner.storage import fetch

FETCH_S: Final = 600


def fetch_code() -> None:
    """Fetch the code that the environment names, and search modules there first.

    Raises:
        CodeError: it cannot be fetched.
        CommandError: the source is invalid.
    """
    place = os.environ.get(SOURCE)
    if not place:
        return
    folder = Path(tempfile.mkdtemp(prefix="penstock-code-"))
    found = _checkout(read_source(place), folder) if place.startswith(GIT) else _download(place, folder)
    others = os.environ.get(CODE_VARIABLE)
    os.environ[CODE_VARIABLE] = f"{found}{os.pathsep}{others}" if others else str(found)


def _checkout(source: GitSource, folder: Path) -> Path:
    if not COMMIT.fullmatch(source.ref):
        raise CodeError(f"{SOURCE}: {source.ref} is not a commit: deploy the flow again")
    git = shutil.which("git")
    if git is None:
        raise CodeError(f"git is required to fetch the code from {source.url}: add it to the image")
    _git(git, folder, "init", "--quiet")
    try:
        _git(git, folder, "fetch", "--quiet", "--depth=1", source.url, source.ref)
    except CodeError:
        # Some servers do not serve commits that are not the tip of a branch: fetch everything.
        _git(git, folder, "fetch", "--quiet", source.url, "+refs/*:refs/penstock/*")
    _git(git, folder, "checkout", "--quiet", source.ref)
    found = (folder / source.subdirectory).resolve()
    if not found.is_relative_to(folder.resolve()):
        # By a symbolic link in the repository.
        raise CodeError(f"folder {source.subdirectory} of {source.url} at {source.ref} is outside the repository")
    if not found.is_dir():
        raise CodeError(f"folder {source.subdirectory} not found in {source.url} at {source.ref}")
    return found


def _git(git: str, folder: Path, *words: str) -> None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            [git, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise CodeError(f"git {words[0]} did not finish within {FETCH_S} s") from error
    if done.returncode:
        raise CodeError(f"cannot fetch the code: git {words[0]}: {' '.join(done.stderr.split())}")


def _download(url: str, folder: Path) -> Path:
    try:
        data = fetch(url)
    except ResultError as error:
        raise CodeError(f"cannot fetch the code: {error}") from error
    digest = url.rpartition("/")[2].removesuffix(ZIP)
    if hashlib.sha256(data).hexdigest() != digest:
        raise CodeError(f"{url} is not the code that was deployed: its SHA-256 differs")
    path = folder / f"code{ZIP}"
    path.write_bytes(data)
    return path
