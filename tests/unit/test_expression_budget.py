"""What expressions may cost together that are cheap one by one: costs are counted, no time is measured."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock.api.flow import Param
from penstock.api.schedule import ScheduleSpec
from penstock.engine.compiler.params import resolve_params
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit, OnLimit
from penstock.engine.expressions.budget import FIELDS_COST, limited, spend, spent, unlimited
from penstock.engine.expressions.expression import Scope, compile_expression
from penstock.engine.expressions.slow_evaluation import set_slow_evaluator
from penstock.engine.expressions.template import compile_template
from penstock.engine.machine.starter import ATTEMPT_COST, RENDERED_COST
from penstock.engine.triggers.trigger import compile_trigger, webhook_event
from penstock.errors import ExpressionError, InvalidSpecError, SlowExpressionError
from penstock_operator.runs.stepper import STEP_COST
from penstock_operator.runtime.expression_workers import MOST_AT_ONCE, allow_waiting
from penstock_operator.runtime.turn import Turn
from tests.simulation import START
from tests.unit.test_machine import inputs_of, world
from tests.unit.test_machine_bounds import Place

PARAMS = {"big": "a" * 33_000}
HEAD = "params: [{name: big, type: string}]\n"
SEARCH = 'params.big.indexOf(params.big.substring(0,16500)+"b") < 0'
"""Almost ten milliseconds, so that it counts as cheap."""
SHORT_SEARCH = 'params.big.indexOf(params.big.substring(0,2000)+"b") < 0'
"""About two milliseconds."""
ONE_MORE = 10_000_000
"""At most the cost of the one expression that reaches a limit, where it cannot be refused."""


@pytest.fixture
def place():
    place = Place()
    before = set_slow_evaluator(place)
    yield place
    set_slow_evaluator(before)


def cost_of_search(source: str = SEARCH) -> int:
    began_with = spent()
    compile_expression(source, Scope(frozenset({"params"}))).evaluate({"params": PARAMS})
    return spent() - began_with


# Expressions


def test_an_expression_is_refused_when_the_limit_of_all_together_is_reached(place):
    expression = compile_expression(SEARCH, Scope(frozenset({"params"})))

    with limited(2 * cost_of_search()):
        assert expression.evaluate({"params": PARAMS})
        spend(cost_of_search())
        with pytest.raises(SlowExpressionError):
            expression.evaluate({"params": PARAMS})
        with unlimited():
            assert expression.evaluate({"params": PARAMS})
    assert expression.evaluate({"params": PARAMS})


def test_a_limit_inside_another_never_allows_more(place):
    expression = compile_expression(SEARCH, Scope(frozenset({"params"})))

    with limited(1_000), limited(1 << 60), pytest.raises(SlowExpressionError):
        expression.evaluate({"params": PARAMS})


def test_what_costs_little_is_counted_as_little(place):
    expression = compile_expression("params.big + '-x'", Scope(frozenset({"params"})))
    expression.evaluate({"params": {"big": "day"}})
    began_with = spent()

    expression.evaluate({"params": {"big": "day"}})

    assert 0 < spent() - began_with < 50_000


def test_values_of_middling_size_are_measured_before_they_are_refused(place):
    expression = compile_expression("params.rows[3] + '-x'", Scope(frozenset({"params"})))
    values = {"params": {"rows": [f"row{number}" for number in range(500)]}}
    expression.evaluate(values)

    with limited(1_500_000):
        assert expression.evaluate(values) == "row3-x"


def test_a_thread_that_may_wait_keeps_pythons_lock_for_little_at_once(place):
    place.may_wait = True

    def evaluate() -> tuple[list[str], int]:
        allow_waiting()
        place.evaluated.clear()
        began_with = spent()
        for source in (SEARCH, "params.big == 'a'", "1 + 1 == 2"):
            compile_expression(source, Scope(frozenset({"params"}))).evaluate({"params": PARAMS})
        return list(place.evaluated), spent() - began_with

    elsewhere, cost = ThreadPoolExecutor(1).submit(evaluate).result()

    assert elsewhere == [SEARCH]
    assert cost > MOST_AT_ONCE


# Attempts and steps


def test_a_large_fan_out_of_cheap_expressions_takes_one_step_no_more_than_its_limit(place):
    args = ", ".join([f"'$({SEARCH})'"] * 5)
    existing = world(f"{HEAD}tasks: [{{name: a, forEach: {{count: 2000}}, args: [{args}]}}]", params=PARAMS)
    began_with = spent()

    with limited(STEP_COST):
        step = existing.machine.advance(START)

    assert len(step.creates) == 2000
    assert spent() - began_with <= STEP_COST + ONE_MORE
    # None is tried again where others wait.
    assert all(create.is_slow for create in step.creates)
    place.may_wait = True
    assert inputs_of(step.creates[1999]).args == ["true"] * 5


def test_an_attempt_with_a_thousand_cheap_expressions_is_rendered_elsewhere(place):
    args = ", ".join([f"'$({SHORT_SEARCH})'"] * 1024)
    existing = world(f"{HEAD}tasks: [{{name: a, args: [{args}]}}]", params=PARAMS)
    (create,) = existing.machine.advance(START).creates
    began_with = spent()

    assert create.is_slow
    with pytest.raises(SlowExpressionError):
        _ = create.inputs

    assert spent() - began_with <= ATTEMPT_COST + ONE_MORE
    place.may_wait = True
    assert inputs_of(create).args == ["true"] * 1024


def test_an_ordinary_attempt_is_rendered_at_once(place):
    existing = world(
        "params: [{name: day, type: string}]\n"
        "tasks: [{name: a, forEach: {count: 100}, args: ['--day=$(params.day)', '$(params.day + string(index))']}]",
        params={"day": "2026-01-05"},
    )

    with limited(STEP_COST):
        step = existing.machine.advance(START)

    assert len(step.creates) == 100
    assert not any(create.is_slow or callable(create.source) for create in step.creates)


def test_a_step_on_a_thread_renders_no_more_than_a_step_elsewhere(place):
    place.may_wait = True
    existing = world(f"{HEAD}tasks: [{{name: a, forEach: {{count: 50}}, args: ['$({SEARCH})']}}]", params=PARAMS)

    step = existing.machine.advance(START)

    assert len(step.creates) == 50
    assert len(place.evaluated) * cost_of_search() <= RENDERED_COST + 2 * ONE_MORE


def test_conditions_beyond_the_limit_of_a_step_wait_for_the_next_one(place):
    tasks = ", ".join(f"{{name: t{number}, when: '{SHORT_SEARCH}'}}" for number in range(100))
    existing = world(f"{HEAD}tasks: [{tasks}]", params=PARAMS)
    began_with = spent()

    with limited(STEP_COST):
        step = existing.machine.advance(START)

    assert step.is_slow
    assert spent() - began_with <= STEP_COST + ONE_MORE
    first = len(step.creates)
    assert 0 < first < 100
    place.may_wait = True
    assert len(existing.machine.advance(START).creates) == 100 - first


def test_cache_keys_beyond_the_limit_of_a_step_wait_for_the_next_one(place):
    existing = world(
        f"{HEAD}tasks: [{{name: a, forEach: {{count: 100}}, cache: {{key: '$({SHORT_SEARCH})'}}}}]", params=PARAMS
    )
    asked: list[Any] = []
    steps = 0

    while len(asked) < 100:
        began_with = spent()
        with limited(STEP_COST):
            step = existing.machine.advance(START)
        asked += step.cache
        steps += 1
        assert spent() - began_with <= STEP_COST + ONE_MORE
        assert step.is_slow is (len(asked) < 100)

    assert steps > 5
    assert sorted(ask.key.item for ask in asked) == list(range(100))


# Fields that cannot wait


def test_the_params_of_an_event_are_bounded_together(place):
    event = "event.body.indexOf(event.body.substring(0,16500)+'b') < 0"
    spec = ScheduleSpec.model_validate(
        {
            "runTemplate": {"spec": {"flow": {"name": "f"}}},
            "events": [
                {
                    "name": "e",
                    "webhook": {
                        "secretRef": {"name": "s", "key": "k"},
                        "params": {f"p{number}": f"$({event})" for number in range(100)},
                    },
                }
            ],
        }
    )
    began_with = spent()

    with pytest.raises(ExpressionError, match="too expensive for this field"):
        compile_trigger(spec, 0).evaluate(webhook_event("e", "1", "2026-01-05T12:00:00Z", PARAMS["big"]))

    assert spent() - began_with <= FIELDS_COST + ONE_MORE


def test_the_patterns_of_params_are_bounded_together(place):
    text = "a" * 5_000
    params = [
        Param.model_validate({"name": f"p{n}", "type": "string", "pattern": f"^[ab{n}]{{1,}}$"}) for n in range(99)
    ]
    began_with = spent()

    with pytest.raises(InvalidSpecError, match="cannot be matched"):
        resolve_params(params, {param.name: text * 2 for param in params})

    assert spent() - began_with <= FIELDS_COST + ONE_MORE


def test_the_key_of_a_concurrency_limit_is_small(place):
    key = compile_template("$(params.big.indexOf(params.big + 'b'))", Scope(frozenset({"params"})))
    limit = ConcurrencyLimit(1, OnLimit.QUEUE, key)

    assert limit.key_of({"params": {"big": "a"}}) == "-1"
    with pytest.raises(ExpressionError, match=r"concurrency\.key: .*too expensive for this field"):
        limit.key_of({"params": PARAMS})


# The event loop


def test_workers_that_spend_much_let_others_run_in_between():
    order: list[str] = []

    async def work(turn: Turn, name: str) -> None:
        for _ in range(3):
            await turn.wait()
            spend(2_000)
            order.append(name)

    async def stand_by() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
            order.append("bystander")

    async def together() -> None:
        turn = Turn(1_000)
        await asyncio.gather(stand_by(), work(turn, "a"), work(turn, "b"))

    asyncio.run(together())

    # In the order in which they asked: a's second time was before b's first.
    assert [name for name in order if name != "bystander"] == ["a", "a", "b", "a", "b", "b"]
    for first, second in itertools.pairwise(order):
        assert "bystander" in (first, second)


def test_a_turn_in_which_little_was_spent_is_not_ended():
    order: list[str] = []

    async def work(turn: Turn, name: str) -> None:
        await turn.wait()
        spend(10)
        order.append(name)

    async def together() -> None:
        turn = Turn(1_000)
        other = asyncio.create_task(work(turn, "other"))
        for _ in range(9):
            await work(turn, "first")
        await other

    asyncio.run(together())

    assert order == ["first"] * 9 + ["other"]
