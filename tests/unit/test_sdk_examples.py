"""The Python flows of examples/, on their real data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(home):
    def run(script, *arguments):
        environment = {**os.environ, "PENSTOCK_HOME": str(home), "PYTHONPATH": str(EXAMPLES.parent / "sdk")}
        return subprocess.run(
            [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    return run


def artifact(home, name):
    [facts] = home.glob(f"runs/*/artifacts/{name}.json")
    return json.loads(facts.read_text())["data"]


def test_the_weather_flow_finds_what_the_one_in_the_cluster_finds(run, home):
    ended = run("weather.py")
    assert ended.returncode == 0, ended.stderr
    assert "attempt 2 of 4" in ended.stderr
    assert "1461 days; 2015 was 2.2 °C warmer than 2012" in ended.stderr
    assert [year["rain_mm"] for year in artifact(home, "years")] == [1226.0, 828.0, 1232.8, 1139.2]


def test_the_weather_flow_fails_on_a_missing_day_without_a_second_attempt(run, tmp_path):
    lines = (EXAMPLES / "weather-data.yaml").read_text().splitlines(keepends=True)
    [missing] = [number for number, line in enumerate(lines) if "2012/04/09" in line]
    data = tmp_path / "weather-data.yaml"
    data.write_text("".join(lines[:missing] + lines[missing + 1 :]))
    ended = run("weather.py", data)
    assert ended.returncode == 1
    assert "attempt 3" not in ended.stderr
    assert "ValueError: days are missing between 2012-04-08 and 2012-04-10" in ended.stderr


def test_the_clock_changes_flow_knows_every_zone_and_looks_each_up_once(run, home):
    first, second = run("clock_changes.py", 2026), run("clock_changes.py", 2026)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert "2 zones go 30 minutes forward" in first.stdout
    assert "1 zones go 120 minutes forward" in first.stdout
    assert " Cached" not in first.stderr
    assert " Cached " in second.stderr.splitlines()[-1]


class TestPorted:
    """Flows that were written for Prefect; docs/from-prefect.md shows what changed."""

    def test_licences_are_counted_and_each_is_read_once(self, run):
        first, second = run("ported/licences.py"), run("ported/licences.py")
        assert first.returncode == 0, first.stderr
        assert re.search(r"\d+ packages have \d+ licences", first.stderr)
        assert re.search(r"read_licence +\d+ +\d+ Cached", second.stderr)

    def test_lines_are_counted_as_they_come_in(self, run, tmp_path):
        (tmp_path / "one.py").write_text("a\nb\n")
        (tmp_path / "two.py").write_text("c\n")
        ended = run("ported/line_counts.py", tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert "2 files have 3 lines" in ended.stderr

    def test_rain_fails_for_the_year_without_data_and_calls_its_hook(self, run, monkeypatch):
        monkeypatch.setenv("PENSTOCK_SECRET_CHAT_TOKEN", "secret")
        ended = run("ported/rain.py")
        assert ended.returncode == 1
        assert "rain-of-2012: 148" in ended.stderr
        assert "rain-of-2016: no count (" in ended.stderr
        assert "(with a token of 6 characters)" in ended.stderr + ended.stdout
