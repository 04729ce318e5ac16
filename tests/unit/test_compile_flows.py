"""Python flows become Flows: what calls become, and that the result is a Flow that the cluster would take."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Flow, allow_failure, flow, task, unmapped
from penstock.authoring.compilation import compile_flow
from penstock.engine.validation import check_flow, parse_flow
from penstock.errors import CompileError


@task
def load(day: str) -> int:
    return len(day)


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def total(rows: list[int]) -> int:
    return sum(rows)


def compiled(made: Flow[..., Any], **options: Any) -> dict[str, Any]:
    """Compile a flow of a test's own, and have its Flow checked as the cluster would."""
    manifest = compile_flow(made, entrypoint="tests:flow", image="penstock:dev", **options)
    assert check_flow(parse_flow(manifest)) == []
    return manifest


def tasks(made: Flow[..., Any]) -> dict[str, Any]:
    return {each["name"]: each for each in compiled(made)["spec"]["tasks"]}


def values(compiled_task: dict[str, Any]) -> str:
    found: str = next(each["value"] for each in compiled_task["env"] if each["name"] == "PENSTOCK_VALUES")
    return found


def test_a_result_handed_on_is_a_dependency():
    @flow
    def etl(day: str):
        total.submit([load.submit(day)])

    made = tasks(etl)

    assert made["total"]["dependsOn"] == ["load"]
    assert values(made["total"]) == "$([tasks.load.outputs, run.name, run.uid])"


def test_calls_wait_for_each_other_and_submitted_tasks_do_not():
    @flow
    def etl():
        load("a")
        load.submit("b")
        load.submit("c")
        load("d")
        load("e")

    made = tasks(etl)

    waits = {name: each.get("dependsOn") for name, each in made.items()}
    assert waits == {"load": None, "load-2": ["load"], "load-3": ["load"], "load-4": ["load"], "load-5": ["load-4"]}


def test_map_over_a_param_over_results_and_over_the_items_of_another():
    @flow
    def etl(days: list[str]):
        rows = load.map(days)
        more = add.map(rows, unmapped(2))
        add.map(total.submit(more), [1, 2])

    made = tasks(etl)

    assert made["load"]["forEach"] == {"items": "$(params.days)"}
    assert made["add"]["forEach"] == {"count": "$(size(params.days))"}
    assert made["add-2"]["forEach"] == {"items": [1, 2]}


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (bool, "used as a condition"),
        (lambda rows: f"{rows}", "made text"),
        (lambda rows: rows + 1, "calculated with"),
        (lambda rows: rows > 1, "compared"),
        (len, "asked for its length"),
        (list, "gone through"),
        (lambda rows: rows.real, "asked for its .real"),
        (lambda rows: {rows: 1}, "looked up in a dictionary"),
    ],
)
def test_what_depends_on_data_is_refused_with_its_line_and_what_to_do(use, told):
    @flow
    def etl():
        use(load("a"))

    with pytest.raises(
        CompileError, match=rf"test_compile_flows\.py:\d+: the result of 'load' is .*{told}.*run_as='pod'"
    ):
        compile_flow(etl, entrypoint="tests:flow")


def test_a_failure_that_is_allowed_neither_skips_what_follows_nor_fails_the_run():
    @flow
    def etl():
        total.submit(allow_failure(load.submit("a")))

    made = tasks(etl)

    assert made["load"]["allowFailed"] == 1
    assert made["total"]["dependsOnStates"] == [
        {"task": "load", "states": ["Completed", "Failed", "Cancelled", "Skipped"]}
    ]
