"""The page about compatibility with Prefect: what it says about compiled programs is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from compat.compilation import PROGRAMS
from compat.report import AREAS

ROOT = Path(__file__).parents[2]


def test_the_page_says_which_programs_compile_and_why_others_do_not():
    measured = subprocess.run(
        [sys.executable, "-m", "compat.compilation"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert measured.returncode == 0, measured.stderr
    page = (ROOT / "docs" / "prefect-compatibility.md").read_text(encoding="utf-8")
    assert page.endswith(measured.stdout), "run: python -m compat.compilation --write-docs"


def test_each_program_is_in_the_folder_of_an_area_of_the_page():
    assert {each.parent for each in PROGRAMS.rglob("*.py")} == {PROGRAMS / area for area in AREAS}
