"""Every example that can run as processes does, with the outcome that it has in the cluster."""

from pathlib import Path

import pytest
import yaml

from tests.unit.local_machine import HAS_MOUNTS, Machine

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUTS = {
    "hello.yaml": {"greeting": "Hello, Seattle!", "characters": 15},
    "umbrella.yaml": {"rain_mm": 46.7},
    "dry-spells.yaml": {"days": 48},
    "records.yaml": None,
    "weather.yaml": {
        "days": 1461,
        "years": [2012, 2013, 2014, 2015],
        "warming_c": 2.2,
        "mean_rain_mm": 1106,
        "driest_year": 2013,
        "hottest_day": "2014/08/11",
    },
}
"""By the file; None: too much to write down."""
DATA = "weather-data.yaml"
FAILS = {"night.yaml"}
"""In a cluster, on purpose and in twenty ways."""
NOTHING_TO_RUN = {DATA, "nightly.yaml", "events.yaml", "backfill.yaml"}


def test_every_example_is_among_these():
    runnable = {
        path.name
        for path in EXAMPLES.glob("*.yaml")
        if any(each["kind"] in ("Flow", "FlowRun") for each in yaml.safe_load_all(path.read_text()))
    }
    assert runnable == set(OUTPUTS) | FAILS
    assert runnable | NOTHING_TO_RUN == {path.name for path in EXAMPLES.glob("*.yaml")}


@pytest.mark.parametrize("file", OUTPUTS)
def test_an_example_runs_on_this_machine(file, tmp_path, capfd):
    if file != "hello.yaml" and not HAS_MOUNTS:
        pytest.skip("this machine does not allow mounting the example's data")
    files = [str(EXAMPLES / file), str(EXAMPLES / DATA)]

    ran = Machine(tmp_path, capfd).type("run", "--local", *files, "-o", "json")

    assert (ran.code, ran.status["state"]) == (0, "Completed"), ran.log
    if OUTPUTS[file] is not None:
        assert ran.status["outputs"] == OUTPUTS[file]
