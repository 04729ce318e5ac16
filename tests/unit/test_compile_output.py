"""What the function of a flow prints and logs, when it is compiled: a warning, whatever is in it."""

import logging
import sys

import pytest

from penstock import flow, get_run_logger, task
from penstock.authoring.compilation import CompileWarning, compile_flow

LOGGER = logging.getLogger("orders")


@task
def load(day):
    return day


def helper(value):
    print("loaded", value)


@pytest.mark.parametrize(
    ("say", "what"),
    [
        (lambda values: print(*values, sep=": "), "prints"),
        (lambda values: print(values[1] + 1, file=sys.stderr), "prints"),
        (lambda _: sys.stdout.write("start"), "prints"),
        (lambda values: helper(values[1]), "prints"),
        (lambda values: get_run_logger().info("start %s", values[0]), "logs"),
        (lambda values: get_run_logger().debug(values[1]), "logs"),
        (lambda values: LOGGER.warning("start %s: %s", values[0], values[1:]), "logs"),
        (lambda values: LOGGER.warning(values[0]), "logs"),
    ],
)
def test_output_of_a_flow_is_warned_of_also_with_values_that_only_its_runs_know(say, what, capsys):
    @flow
    def etl(day: str):
        say([day, load(day)])

    with pytest.warns(CompileWarning, match=rf"test_compile_output\.py:\d+: the flow {what} outside of tasks"):
        made = compile_flow(etl, entrypoint="tests:flow")

    assert [each["name"] for each in made["spec"]["tasks"]] == ["load"]
    print("after", file=sys.stderr)
    assert capsys.readouterr().err == "after\n"


def test_a_text_with_a_param_is_printed_with_a_warning():
    @flow
    def etl(day: str):
        print(f"start {day}")
        return load(day)

    with pytest.warns(CompileWarning, match="the flow prints outside of tasks"):
        assert compile_flow(etl, entrypoint="tests:flow")["spec"]["tasks"]


def test_what_is_written_to_a_file_is_written(tmp_path):
    @flow
    def etl():
        with (tmp_path / "out").open("w") as file:
            print("day", file=file)
        load("a")

    compile_flow(etl, entrypoint="tests:flow")

    assert (tmp_path / "out").read_text() == "day\n"
