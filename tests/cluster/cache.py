"""The folder outside the work tree that holds binaries, images and the state of clusters.

```
build/MODULE-KEY/BINARY     what was built from go/MODULE, KEY a hash of all that decides its content
bin/KEY/                    links to the binaries: what goes on PATH
images/                     buildah's storage, the base image, archives of built images
clusters/NAME/              one running cluster: certificates, data, logs, pid files
locks/                      one file per thing that only one process may do at a time
```
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.progress import say

NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_dir() -> Path:
    """The folder itself: `PENSTOCK_CACHE`, or `penstock` in the user's cache folder (XDG)."""
    if chosen := os.environ.get("PENSTOCK_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "penstock"


def cluster_dir(name: str) -> Path:
    """The state folder of the cluster of this name, which may not exist.

    Raises:
        ClusterError: the name can't be part of a path and of object names.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise ClusterError(f"cluster name {name!r}: use at most 40 lower-case letters, digits and inner hyphens")
    return cache_dir() / "clusters" / name


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Hold the lock of this name; it goes with the process, however that ends."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{what}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process holds the lock {what!r}, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
