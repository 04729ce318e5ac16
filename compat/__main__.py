"""Runs every program of `compat/programs` with Penstock and with Prefect, and shows where they differ.

    make compat                                   # all of them; Prefect is installed into an environment of its own
    make compat ARGS="--only caches"              # those whose names begin with it
    make compat ARGS=--write-docs                 # into docs/prefect-compatibility.md

Penstock runs what `python -m penstock.migrate` makes of a program. What a program prints, and the exception that ends
it, are compared: results, states and exceptions are among what they print. The exit code is 1 if a difference is not
explained in `compat/explained.yaml`, or an explanation has no difference.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from compat.batch import STUCK
from compat.compilation import HERE, PAGE, all_programs, measure, name_of, section, with_section
from compat.report import Comparison, page, print_differences
from penstock.migrate.__main__ import main as migrate


def main() -> int:
    """Run both, compare, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--prefect", type=Path, required=True, metavar="PYTHON", help="a Python that has Prefect")
    parser.add_argument("--only", default="", metavar="NAME", help="programs whose names begin with it")
    parser.add_argument("--write-docs", action="store_true", help=f"write {PAGE.name}")
    options = parser.parse_args()
    if options.only and options.write_docs:
        parser.error(f"{PAGE.name} is written of all programs: omit --only")
    programs = [each for each in all_programs() if name_of(each).startswith(options.only)]
    explained: Mapping[str, str] = yaml.safe_load((HERE / "explained.yaml").read_text(encoding="utf-8")) or {}
    with tempfile.TemporaryDirectory(prefix="penstock-compat-") as folder:
        theirs, ours = run_both(programs, options.prefect, Path(folder))
    comparisons = [
        Comparison(name, doc_of(path), ours[name], theirs[name], explained.get(name))
        for name, path in ((name_of(path), path) for path in programs)
    ]
    print_differences(comparisons)
    version = subprocess.run(
        [options.prefect, "-c", "import importlib.metadata as m; print(m.version('prefect'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if options.write_docs:
        with tempfile.TemporaryDirectory(prefix="penstock-compat-") as folder:
            compiled = section(measure(all_programs(), Path(folder)))
        PAGE.write_text(with_section(page(comparisons, version), compiled), encoding="utf-8")
    wrong = [each.name for each in comparisons if each.is_different != (each.explanation is not None)]
    if wrong:
        print(f"not as explained: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def run_both(programs: Sequence[Path], prefect: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the programs with Prefect and with Penstock at once, and return what each did, by name."""
    original, migrated = folder / "original", folder / "programs"
    for copies in (original, migrated):
        copies.mkdir()
        for program in programs:
            shutil.copy(program, copies / f"{name_of(program)}.py")
    migrate(["--quiet", str(migrated)])
    # The names of modules of its own must not come first: sys.path begins with the folder of the program.
    batch = folder / "batch.py"
    shutil.copy(HERE / "batch.py", batch)
    names = [f"{name_of(program)}.py" for program in programs]
    sides = {
        "prefect": (prefect, [str(original / name) for name in names]),
        "penstock": (Path(sys.executable), [str(migrated / name) for name in names]),
    }
    with ThreadPoolExecutor() as pool:
        running = {
            which: pool.submit(run_side, which, python, batch, paths, folder)
            for which, (python, paths) in sides.items()
        }
    return running["prefect"].result(), running["penstock"].result()


def run_side(which: str, python: Path, batch: Path, paths: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run the programs of one side, by as many processes as it takes, and return what each did, by name."""
    output = folder / f"{which}.jsonl"
    output.touch()
    while left := list(paths)[len(output.read_text(encoding="utf-8").splitlines()) :]:
        ended = subprocess.run(
            [python, batch, which, output, *left],
            env=_environment(folder),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode not in {0, STUCK}:
            sys.exit(f"{which} ended with exit code {ended.returncode}:\n{ended.stderr[-2000:]}")
    return {each["name"]: each for each in map(json.loads, output.read_text(encoding="utf-8").splitlines())}


def doc_of(path: Path) -> str:
    """Return the first line of a program, which says what habit it is."""
    return path.read_text(encoding="utf-8").split('"""')[1]


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(HERE.parent / "sdk"),
        "PENSTOCK_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_HOME": str(folder / "prefect-home"),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


if __name__ == "__main__":
    sys.exit(main())
