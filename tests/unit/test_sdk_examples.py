"""The Python flows of examples/, on their real data."""

import json
import os
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
