"""What code inside of runs has around it: artifacts, variables, and a person at the terminal."""

import asyncio
import io
import json
import os
import sys
import textwrap
import time
from pathlib import Path

import pytest

from penstock import Variable, flow, pause_flow_run, runtime, task
from penstock.artifacts import (
    Artifact,
    acreate_markdown_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from penstock.errors import NotOfferedError, OptionError, PauseError, VariableError
from tests.terminal import Terminal

REPOSITORY = Path(__file__).parents[2]


def in_flow(function):
    """Run a function as a flow and return its result."""
    return flow(name="scene")(function)()


def artifact(home, name):
    """Return the text and the facts of the only artifact of a name."""
    [text] = home.glob(f"runs/*/artifacts/{name}.md")
    return text.read_text(), json.loads(text.with_suffix(".json").read_text())


def test_a_markdown_artifact_is_a_file_in_the_runs_folder(home):
    @task
    def report():
        return create_markdown_artifact("# All well", key="report", description="of today")

    def scene():
        return report(), runtime.flow_run.id

    artifact_id, run_id = in_flow(scene)
    text, facts = artifact(home, "report")
    assert text == "of today\n\n# All well\n"
    assert (facts["id"], facts["type"], facts["run"]) == (str(artifact_id), "markdown", "report-0")
    assert (home / "runs" / run_id / "artifacts").is_dir()


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([{"city": "Oslo", "mm": 3}, {"city": "Bergen|Fjord", "mm": 9}], id="rows as dictionaries"),
        pytest.param({"city": ["Oslo", "Bergen|Fjord"], "mm": [3, 9]}, id="columns"),
        pytest.param([["city", "mm"], ["Oslo", 3], ["Bergen|Fjord", 9]], id="rows as lists"),
    ],
)
def test_a_table_artifact_is_a_table_in_markdown(table, home):
    in_flow(lambda: create_table_artifact(table, key="rain"))
    text, facts = artifact(home, "rain")
    assert text == "| city | mm |\n| --- | --- |\n| Oslo | 3 |\n| Bergen\\|Fjord | 9 |\n"
    assert facts["data"] == (table if isinstance(table, list) else dict(table))


def test_link_and_image_artifacts_are_links(home):
    in_flow(lambda: (create_link_artifact("https://a.example", "A", key="a"), create_image_artifact("b.png", key="b")))
    assert artifact(home, "a")[0] == "[A](https://a.example)\n"
    assert artifact(home, "b")[0] == "![b](b.png)\n"


def test_a_progress_artifact_shows_the_last_value(home):
    def scene():
        progress = create_progress_artifact(0, key="load")
        update_progress_artifact(progress, 40)

    in_flow(scene)
    text, facts = artifact(home, "load")
    assert text == "████████░░░░░░░░░░░░ 40 %\n"
    assert facts["data"] == 40


@pytest.mark.parametrize("value", [-1, 101])
def test_progress_is_from_0_to_100(value):
    with pytest.raises(OptionError, match="must be from 0 to 100"):
        in_flow(lambda: create_progress_artifact(value))


def test_an_artifact_without_a_key_gets_a_name(home):
    in_flow(lambda: create_markdown_artifact("x"))
    assert [path.name for path in home.glob("runs/*/artifacts/markdown-*.md")]


def test_an_artifact_outside_of_runs_has_a_place_too(home):
    create_markdown_artifact("x", key="alone")
    assert (home / "artifacts" / "alone.md").read_text() == "x\n"


def test_the_key_of_an_artifact_can_not_leave_its_folder():
    with pytest.raises(OptionError, match="has 256 characters: use at most 200"):
        create_markdown_artifact("text", key="x" * 256)
    with pytest.raises(OptionError, match=r"invalid artifact key '\.\./x'"):
        create_markdown_artifact("x", key="../x")


def test_an_artifact_is_read_again_by_its_key():
    def scene():
        create_markdown_artifact("old", key="report")

    in_flow(scene)
    in_flow(lambda: create_markdown_artifact("new", key="report", description="d"))
    found = Artifact.get("report")
    assert found is not None
    assert (found.data, found.type, found.description) == ("new", "markdown", "d")
    assert Artifact.get("rep*") is None
    assert asyncio.run(Artifact.aget("nothing")) is None
    with pytest.raises(NotOfferedError, match=r"artifacts have no create\(\): use the create_"):
        getattr(Artifact, "create")  # noqa: B009 - type checkers know that it is not there


def test_artifacts_can_be_awaited_by_the_names_that_say_so(home):
    @flow
    async def scene():
        await acreate_markdown_artifact("x", key="k")

    asyncio.run(scene())
    assert artifact(home, "k")[0] == "x\n"


def test_a_variable_that_was_set_is_read_again():
    Variable.set("limits", {"rows": 5})
    assert Variable.get("limits") == {"rows": 5}
    assert Variable.unset("limits")
    assert not Variable.unset("limits")
    assert Variable.get("limits", default=7) == 7


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("plain text", "plain text"), ('["a"]', ["a"]), ("", "")])
def test_a_variable_of_the_environment_is_json_or_text(text, value, monkeypatch):
    Variable.set("region", "from a file")
    monkeypatch.setenv("PENSTOCK_VARIABLE_REGION", text)
    assert Variable.get("region") == value


def test_a_variable_is_replaced_only_on_purpose():
    Variable.set("day", 1)
    with pytest.raises(VariableError, match="overwrite=True"):
        Variable.set("day", 2)
    Variable.set("day", 2, overwrite=True)
    assert asyncio.run(Variable.aget("day")) == 2


@pytest.mark.parametrize("name", ["../x", "a b", "", "5a"])
def test_a_variables_name_can_not_leave_its_folder(name):
    with pytest.raises(VariableError, match="invalid variable name"):
        Variable.get(name)


def test_a_variable_holds_what_json_knows():
    with pytest.raises(VariableError, match="not JSON serializable"):
        Variable.set("x", object())


def test_only_a_running_flow_pauses():
    @task
    def pausing_task():
        pause_flow_run()

    with pytest.raises(PauseError, match="outside of a flow"):
        pause_flow_run()
    with pytest.raises(PauseError, match="call it in the flow"):
        in_flow(lambda: pausing_task())  # noqa: PLW0108 - a task is not a function that could be decorated again


def test_a_pause_without_a_terminal_fails(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(PauseError, match=r"is not a terminal.*make the value a parameter"):
        in_flow(pause_flow_run)


def at_terminal(folder, home, text):
    path = folder / "asks.py"
    path.write_text(textwrap.dedent(text))
    variables = {"PENSTOCK_HOME": str(home), "PYTHONPATH": str(REPOSITORY / "sdk"), "TERM": "xterm"}
    return Terminal([sys.executable, str(path)], {**os.environ, **variables})


ASKS = """
    from penstock import flow, pause_flow_run, task
    import pydantic

    class Order(pydantic.BaseModel):
        count: int
        colour: str = "green"

    @task
    def load():
        return 1

    @flow(timeout_seconds=20)
    def scene():
        load()
        pause_flow_run(message="Publish?", key="publish")
        number = pause_flow_run(int, message="How many?")
        order = pause_flow_run(Order)
        try:
            pause_flow_run(key="publish")
        except Exception as error:
            print("REFUSED", error)
        print("GOT", number, order)

    scene()
"""


def test_a_person_at_the_terminal_approves_and_gives_values(tmp_path, home):
    terminal = at_terminal(tmp_path, home, ASKS)
    terminal.read_until("Publish? [y/N] ")
    terminal.type("perhaps\n")
    terminal.read_until("Publish? [y/N] perhaps\nPublish? [y/N] ")
    terminal.type("y\n")
    terminal.read_until("int: ")
    terminal.type("many\n")
    terminal.read_until("valid integer")
    terminal.type("3\n")
    terminal.read_until("count: ")
    terminal.type("5\n")
    terminal.read_until("colour [green]: ")
    terminal.type("\n")
    assert terminal.end() == 0
    assert "GOT 3 count=5 colour='green'" in terminal.shown
    assert "REFUSED flow run" in terminal.shown


def test_a_person_at_the_terminal_refuses(tmp_path, home):
    terminal = at_terminal(tmp_path, home, ASKS)
    terminal.read_until("Publish? [y/N] ")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "PauseError: not approved: Publish?" in terminal.shown


def test_a_pause_that_is_not_answered_in_time_fails(tmp_path, home):
    terminal = at_terminal(tmp_path, home, ASKS.replace('key="publish")', 'key="publish", timeout=0.1)', 1))
    assert terminal.end() == 1
    assert "The flow was paused and never resumed." in terminal.shown


def test_the_time_of_a_pause_does_not_count_against_the_timeout(tmp_path, home):
    terminal = at_terminal(tmp_path, home, ASKS.replace("timeout_seconds=20", "timeout_seconds=1"))
    terminal.read_until("Publish? [y/N] ")
    time.sleep(1.2)  # not to wait for something, but to take the time that the flow does not have
    terminal.type("y\n")
    terminal.read_until("int: ")
    terminal.type("3\n")
    terminal.read_until("count: ")
    terminal.type("5\n")
    terminal.read_until("colour [green]: ")
    terminal.type("red\n")
    assert terminal.end() == 0


def test_a_terminal_gets_colours_and_a_table(tmp_path, home):
    terminal = at_terminal(tmp_path, home, ASKS)
    terminal.read_until("Publish? [y/N] ")
    terminal.type("n\n")
    terminal.end()
    assert "\033[32mCompleted\033[0m" in terminal.shown
    assert "STATES" in terminal.shown


def test_an_artifact_that_was_not_read_says_how_to_create_one():
    made = Artifact(key="a", type="markdown", data="x")
    assert (made.id, made.key, made.type, made.data) == (None, "a", "markdown", "x")
    for name in ("create", "acreate", "get_or_create"):
        with pytest.raises(NotOfferedError, match=rf"artifacts have no {name}\(\): use the create_..._artifact"):
            getattr(made, name)
