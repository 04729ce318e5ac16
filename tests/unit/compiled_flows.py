"""Flows that are written to a file, and run in one process and as processes, one for each attempt."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.task_processes import Finished, run_manifest

SETTINGS = """
from __future__ import annotations

import dataclasses
import datetime as dt
import enum

from penstock import allow_failure, flow, get_run_logger, runtime, tags, task, unmapped


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Row:
    day: str
    values: tuple[float, ...]
"""


def write(folder: Path, body: str) -> Path:
    file = folder / "my_flow.py"
    file.write_text(SETTINGS + textwrap.dedent(body))
    return file


def python(folder: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_process(file: Path, call: str = "etl()") -> Any:
    return json.loads(python(file.parent, f"import json, my_flow; print(json.dumps(my_flow.{call}))"))


def manifest(file: Path, **options: Any) -> dict[str, Any]:
    code = (
        "import json, my_flow; from penstock.authoring.compilation import compile_flow;"
        f"print(json.dumps(compile_flow(my_flow.etl, image='penstock:dev', **{options!r})))"
    )
    made: dict[str, Any] = json.loads(python(file.parent, code))
    return made


def as_processes(file: Path, params: dict[str, Any] | None = None, **options: Any) -> Finished:
    return run_manifest(manifest(file, **options), params, folder=file.parent, python=sys.executable)
