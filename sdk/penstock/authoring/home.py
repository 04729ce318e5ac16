"""The folder where runs keep results, artifacts and variables when they have no cluster.

::

    $PENSTOCK_HOME (~/.penstock)
    ├── results/        results that any run may use (cache policies without RUN_ID)
    ├── runs/UUID/      a run that kept something
    │   ├── run.json    which flow, with which parameters, and how it is doing
    │   ├── lock        held while it runs
    │   ├── results/    results of its own tasks
    │   └── artifacts/
    ├── artifacts/      artifacts made outside of runs
    ├── served/         what `serve` holds, and remembers of what was due
    └── variables/      one file for each
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "PENSTOCK_HOME"
PRIVATE: Final = 0o700
"""Results are unpickled: nobody else may write them."""


def home() -> Path:
    """Return the folder, whether it exists or not."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".penstock")


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, for this user alone."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    return folder


def write_file(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all, whenever the process is killed."""
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
