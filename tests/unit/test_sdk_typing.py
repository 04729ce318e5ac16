"""What type checkers know of flows and tasks, as mypy --strict says of tests/typing."""

import re
from pathlib import Path

import pytest
from mypy import api

REPOSITORY = Path(__file__).parents[2]
SAMPLES = sorted((REPOSITORY / "tests" / "typing").glob("*.py"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_type_checkers_know_parameters_and_results(sample, monkeypatch, tmp_path):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("MYPYPATH", str(REPOSITORY / "sdk"))
    stdout, stderr, _ = api.run(
        [
            "--config-file=",
            "--strict",
            "--enable-error-code=unused-coroutine",
            "--follow-imports=silent",
            "--hide-error-context",
            f"--cache-dir={REPOSITORY / '.mypy_cache' / 'typing'}",
            str(sample),
        ]
    )
    assert stderr == ""
    found = {
        int(match[1]): match[2]
        for match in re.finditer(r"^[^:\n]+:(\d+): error: .*\[([\w-]+)\]$", stdout, flags=re.MULTILINE)
    }
    wanted = {
        number: match[1]
        for number, line in enumerate(sample.read_text().splitlines(), start=1)
        if (match := re.search(r"  # E: ([\w-]+)$", line))
    }
    assert found == wanted, stdout
