"""The scripts of the examples and of some pages, run as in their containers, with the outputs of earlier tasks."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import find

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_OUTPUTS_BYTES = 4096  # what a termination message holds


def read(file: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((EXAMPLES / file).read_text())
    return next(each for each in documents if each["kind"] == kind)


class Container:
    """Runs scripts of one flow in a folder of the test."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.folder = folder
        self.tasks = {task["name"]: task for task in spec["tasks"]}
        data = read("weather-data.yaml", "ConfigMap")["data"]
        for name, content in data.items():
            (folder / name).write_text(content)
        self.exit_code = 0
        self.stdout = self.stderr = ""

    def run(self, task: str, *args: str, **env: object) -> Any:
        """The outputs of the task; None if it wrote none."""
        script, outputs = self.folder / "script", self.folder / "outputs"
        script.write_text(self.tasks[task]["script"].replace("/data/", f"{self.folder}/"))
        script.chmod(0o755)
        outputs.write_text("")
        search = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        done = subprocess.run(
            [str(script), *args],
            env={
                "PATH": search,
                "PENSTOCK_OUTPUTS": str(outputs),
                **{name: as_env(value) for name, value in env.items()},
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.exit_code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        written = outputs.read_text()
        assert len(written.encode()) <= MAX_OUTPUTS_BYTES
        return json.loads(written) if written else None


def as_env(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


@pytest.fixture
def weather(tmp_path):
    return Container(tmp_path, read("weather.yaml", "Flow")["spec"])


def test_the_first_attempt_of_extract_fails_on_purpose_and_says_so(weather):
    outputs = weather.run("extract", FLAKY=True, ATTEMPT="1")
    assert (weather.exit_code, outputs) == (1, None)
    assert "on purpose" in weather.stderr


def test_the_second_attempt_of_extract_finds_every_year_of_the_data(weather):
    outputs = weather.run("extract", FLAKY=True, ATTEMPT="2")
    assert outputs == {"days": 1461, "years": [2012, 2013, 2014, 2015]}


def test_the_first_attempt_of_extract_works_when_it_is_not_to_be_flaky(weather):
    assert weather.run("extract", FLAKY=False, ATTEMPT="1")["days"] == 1461


def test_extract_refuses_data_with_a_missing_day(weather):
    data = weather.folder / "seattle-weather.csv"
    lines = data.read_text().splitlines(keepends=True)
    data.write_text("".join(lines[:100] + lines[101:]))
    weather.run("extract", FLAKY=False, ATTEMPT="1")
    assert weather.exit_code == 1
    assert "missing between 2012-04-08 and 2012-04-10" in weather.stderr


def test_the_weather_flow_ends_in_a_picture_with_its_key_numbers(weather):
    found = weather.run("extract", FLAKY=False, ATTEMPT="1")
    years = [weather.run("year", YEAR=year, WET_DAY_MM=1) for year in found["years"]]
    climate = weather.run("climate", YEARS=years)
    weather.run("report", TITLE="Rain & sun in <Seattle>", DAYS=found["days"], YEARS=years, CLIMATE=climate)
    picture = ET.fromstring(weather.stdout)
    words = " ".join(text for text in picture.itertext() if text.strip())
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    for expected in (
        "Rain & sun in <Seattle>, 2012 to 2015",
        "1,461 daily observations",
        "+2.2 °C",
        "35.6 °C",
        "828 mm",
    ):
        assert expected in words


def test_the_umbrella_flow_knows_a_wet_day_from_a_dry_one(tmp_path):
    umbrella = Container(tmp_path, read("umbrella.yaml", "Flow")["spec"])
    assert umbrella.run("look-up", "2014-03-05")["rain_mm"] > 0
    assert umbrella.run("look-up", "2014-07-04")["rain_mm"] == 0
    umbrella.run("look-up", "2016-01-01")
    assert umbrella.exit_code == 1


def test_the_records_flow_prints_a_table_of_its_items_outputs(tmp_path):
    flow = Container(tmp_path, read("records.yaml", "FlowRun")["spec"]["flowSpec"])
    record = flow.run("record", SEASON="summer", MEASURE="temp_max")
    assert record == {"season": "summer", "measure": "temp_max", "date": "2014/08/11", "value": 35.6}
    flow.run("table", RECORDS=[record])
    assert flow.stdout.split() == ["summer", "temp_max", "35.6", "2014/08/11"]


def test_the_dry_spells_flow_finds_the_longest_of_all_years(tmp_path):
    flow = Container(tmp_path, read("dry-spells.yaml", "Flow")["spec"])
    spells = [flow.run("year", year) for year in ("2012", "2013")]
    assert spells[0] == {"days": 48, "first": "2012/07/23", "last": "2012/09/08"}
    assert flow.run("longest", SPELLS=spells)["days"] == 48
    assert "48 days without rain, 2012/07/23 to 2012/09/08" in flow.stdout


def test_the_hello_flow_counts_what_it_greets_with(tmp_path):
    hello = Container(tmp_path, read("hello.yaml", "Flow")["spec"])
    assert hello.run("greet", "Seattle") == {"greeting": "Hello, Seattle!"}
    assert hello.run("count", GREETING="Hello, Seattle!") == {"characters": 15}


def test_the_flow_of_the_argo_guide_adds_squares(tmp_path):
    flow = Container(tmp_path, find("from-argo.md", "Flow")["spec"])
    numbers = flow.run("list", UPTO=3)["numbers"]
    assert numbers == [1, 2, 3]
    squares = [flow.run("square", NUMBER=number) for number in numbers]
    assert squares[1] == {"square": 4}
    assert flow.run("sum", SQUARES=squares) == {"total": 14}


def test_the_flow_of_the_airflow_guide_loads_each_file(tmp_path):
    flow = Container(tmp_path, find("from-airflow.md", "Flow")["spec"])
    files = flow.run("list-files", "2026-11-22")["files"]
    assert files == ["2026-11-22/eu.csv", "2026-11-22/us.csv"]
    assert flow.run("load", files[0]) == {"rows": 17}
    assert flow.stdout == "loading 2026-11-22/eu.csv\n"
