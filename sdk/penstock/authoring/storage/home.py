"""PENSTOCK_HOME: the folder for results, artifacts and variables of runs on this machine.

::

    $PENSTOCK_HOME (~/.penstock)
    ├── results/        results that all runs share (cache policies without RUN_ID)
    ├── runs/UUID/      a run that stored something
    │   ├── run.json    its flow, parameters and state
    │   ├── lock        held while it runs
    │   ├── results/    results of its own tasks
    │   └── artifacts/
    ├── artifacts/      artifacts created outside of runs
    ├── served/         state of `serve`: which ticks were handled
    └── variables/      one file each
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "PENSTOCK_HOME"
PRIVATE: Final = 0o700
"""Results are unpickled: other users must not be able to write them."""


def home() -> Path:
    """Return the folder, whether it exists or not."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".penstock")


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents, accessible for this user only."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    return folder


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically, even if the process is killed."""
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
