"""What bounds a step of the machine: expressions that take too long where it is made, and inputs that are large."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from penstock.engine.expressions.cel import compile_program
from penstock.engine.expressions.failure import SlowFailure
from penstock.engine.expressions.slow_evaluation import set_slow_evaluator
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import RenderFailed
from penstock.engine.reasons import Reason
from penstock.errors import ExpressionError, SlowExpressionError
from tests.simulation import START, World
from tests.unit.test_machine import finish, inputs_of, world

BIG = {"big": "a" * 250_000, "half": "a" * 125_000 + "b"}
SLOW = "params.big.indexOf(params.half)"
HEAD = "params: [{name: big, type: string}, {name: half, type: string}]\n"


class Place:
    """Where expressions are evaluated: on a thread that may wait, or on one that must not.

    Attributes:
        may_wait: which of them.
        evaluated: the expressions that were too expensive to be evaluated anywhere.
    """

    def __init__(self) -> None:
        self.may_wait = False
        self.evaluated: list[str] = []

    def check_place(self) -> None:
        if not self.may_wait:
            raise SlowFailure("it is too expensive for this field")

    def evaluate(self, source: str, roots: frozenset[str], data: Any) -> Any:
        self.evaluated.append(source)
        return compile_program(source, roots).evaluate(data)


@pytest.fixture
def place():
    place = Place()
    before = set_slow_evaluator(place)
    yield place
    set_slow_evaluator(before)


def entries(existing: World) -> dict[str, Any]:
    existing.flush()
    return {entry["name"]: entry for entry in existing.status["tasks"]}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(f"when: '{SLOW} < 0'", id="when"),
        pytest.param(f"forEach: {{count: '$({SLOW} + 2)'}}", id="forEach"),
    ],
)
def test_a_task_whose_expression_takes_too_long_here_waits_and_the_others_start(place, fields):
    existing = world(f"{HEAD}tasks: [{{name: slow, {fields}}}, {{name: quick}}]", params=BIG)

    step = existing.machine.advance(START)

    assert [create.key.task for create in step.creates] == ["quick"]
    assert step.is_slow

    place.may_wait = True
    step = existing.machine.advance(START)

    assert [create.key.task for create in step.creates] == ["slow"]
    assert not step.is_slow
    assert place.evaluated


def test_a_run_finishes_when_its_outputs_could_be_evaluated(place):
    existing = world(f"{HEAD}tasks: [{{name: a}}]\noutputs: {{at: '$({SLOW})'}}", params=BIG)
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])

    assert existing.machine.advance(START).is_slow
    assert not existing.machine.is_finished

    place.may_wait = True
    existing.machine.advance(START)
    assert existing.machine.outputs == {"at": -1}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(f"retry: {{limit: 1, when: '{SLOW} < 0'}}", id="retry.when"),
        pytest.param(f"cache: {{key: '$({SLOW})'}}", id="cache.key"),
        pytest.param(f"approval: {{message: 'at $({SLOW})'}}", id="approval"),
    ],
)
def test_facts_are_handled_elsewhere_if_they_may_ask_for_a_slow_expression(fields):
    image = "" if "approval" in fields else "image: busybox, "

    assert world(f"{HEAD}tasks: [{{name: a, {image}{fields}}}]", params=BIG).machine.may_be_slow


@pytest.mark.parametrize(
    "fields",
    [
        "retry: {limit: 1, when: 'failure.exitCode == 75'}",
        "retry: {limit: 1, when: 'failure.message.contains(\"busy\")'}",
        "cache: {key: '$(params.half)'}",
        "when: 'size(params.big) > 1'",
        "args: ['$(params.big)']",
    ],
)
def test_an_ordinary_run_is_handled_where_events_come_in(fields):
    existing = world(f"{HEAD}tasks: [{{name: a, {fields}}}]", params={"big": "a" * 100, "half": "b"})

    assert not existing.machine.may_be_slow


def test_inputs_that_take_too_long_here_are_rendered_when_they_are_sent(place):
    existing = world(f"{HEAD}tasks: [{{name: a, args: ['$({SLOW})']}}]", params=BIG)

    (create,) = existing.machine.advance(START).creates

    with pytest.raises(SlowExpressionError):
        _ = create.inputs
    place.may_wait = True
    assert inputs_of(create).args == ["-1"]


def test_an_attempt_whose_inputs_could_not_be_rendered_fails_for_good():
    existing = world("tasks: [{name: a, retry: {limit: 3}}]")
    existing.machine.advance(START)

    existing.machine.observe(RenderFailed(TaskInstanceKey("a"), 1, "args[0]: it is too expensive"), START)
    existing.step()

    entry = entries(existing)["a"]
    assert (entry["state"], entry["reason"], entry["message"]) == (
        "Failed", Reason.EXPRESSION_ERROR, "args[0]: it is too expensive",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ("args: [a, '$(LOOP)']", "args[1]"),
        ("env: [{name: X, value: '$(LOOP)'}]", "env X"),
        ("image: 'busybox:$(LOOP)'", "image"),
        ("when: LOOP", "when"),
        ("forEach: {items: '$([LOOP])'}", "forEach.items"),
    ],
)
def test_a_refused_expression_fails_its_task_and_names_the_field(fields, field):
    loop = 'params.big.matches("(.{1,30}){1,30}c")'
    existing = world(f"{HEAD}tasks:\n- name: a\n  {fields.replace('LOOP', loop)}", params=BIG)

    entry = finish(existing)["a"]

    assert (entry["state"], entry["reason"]) == ("Failed", Reason.EXPRESSION_ERROR)
    assert entry["message"].startswith(f"{field}: {loop}" if "[LOOP]" not in fields else f"{field}: ")
    assert "it is too expensive" in entry["message"]


def test_a_large_fan_out_takes_the_memory_of_a_few_of_its_attempts():
    existing = world(
        "params: [{name: big, type: string}]\n"
        "tasks: [{name: a, forEach: {count: 2000}, args: ['$(params.big)$(index)']}]",
        params={"big": "x" * 250_000},
    )
    tracemalloc.start()
    try:
        step = existing.machine.advance(START)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(step.creates) == 2000
    assert kept_bytes < 20 << 20
    assert inputs_of(step.creates[1999]).args == ["x" * 250_000 + "1999"]


def test_an_item_whose_inputs_cannot_be_rendered_is_found_out_at_once_if_they_are_small():
    existing = world("tasks: [{name: a, forEach: {count: 3}, args: ['$([1, 2][index])']}]")

    step = existing.machine.advance(START)

    assert [create.key.item for create in step.creates] == [0, 1]


def test_an_item_whose_large_inputs_cannot_be_rendered_is_found_out_when_they_are_sent():
    existing = world(
        "params: [{name: big, type: string}]\n"
        "tasks: [{name: a, forEach: {count: 4}, args: ['$(params.big)', '$([1, 2, 3][index])']}]",
        params={"big": "x" * 500_000},
    )

    last = existing.machine.advance(START).creates[-1]

    assert last.key.item == 3
    with pytest.raises(ExpressionError, match=r"args\[1\]: "):
        _ = last.inputs
