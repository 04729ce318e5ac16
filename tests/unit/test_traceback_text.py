"""Tracebacks of users' programs: once, and without Penstock's own frames."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
from penstock import flow, task

@task
def load(day):
    return {}[day]

@flow
def orders(day):
    return load(day)

orders("monday")
"""


@pytest.fixture
def program(tmp_path):
    def run(source: str = PROGRAM, **environment: str) -> list[str]:
        file = tmp_path / "orders.py"
        file.write_text(textwrap.dedent(source))
        answer = subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, env={**os.environ, **environment}, check=False
        )
        assert answer.returncode == 1
        return answer.stderr.splitlines()

    return run


def test_an_error_that_ends_the_program_has_one_traceback_of_the_users_frames(program):
    lines = program()
    assert len([line for line in lines if line.startswith("Traceback")]) == 1
    frames = [line for line in lines if line.strip().startswith("File ")]
    assert frames, lines
    assert all("orders.py" in frame for frame in frames), frames
    assert lines[-1] == "KeyError: 'monday' (its traceback is in the log above)"


def test_at_debug_the_frames_of_penstock_are_shown(program):
    frames = [line for line in program(PENSTOCK_LOGGING_LEVEL="DEBUG") if line.strip().startswith("File ")]
    assert any("/penstock/" in frame for frame in frames)


def test_an_error_outside_of_any_flow_is_printed_as_ever(program):
    lines = program(PROGRAM.replace('orders("monday")', 'orders("monday", return_state=True)\nraise OSError("full")'))
    assert lines[-1] == "OSError: full"
    assert len([line for line in lines if line.startswith("Traceback")]) == 2
