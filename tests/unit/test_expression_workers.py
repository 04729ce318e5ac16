"""The processes that evaluate expensive expressions, and what happens to them at a limit."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from penstock.engine.expressions.expression import Scope, compile_expression
from penstock.engine.expressions.failure import Failure, SlowFailure
from penstock.engine.expressions.slow_evaluation import set_slow_evaluator
from penstock.errors import ExpressionError
from penstock_operator.runtime.expression_workers import ExpressionWorkers
from penstock_operator.runtime.slow_pool import SlowPool

ROOTS = frozenset({"params"})
ENDLESS = 'params.list.all(x, params.big.indexOf(params.big.substring(0,125000)+"b") < 0)'
DATA = {"params": {"big": "a" * 250_000, "list": list(range(1000))}}


@pytest.fixture(scope="module")
def workers():
    workers = ExpressionWorkers()
    yield workers
    workers.close()


def test_an_expensive_expression_has_the_same_value_as_in_this_process(workers):
    source, values = "size(params.big) + params.list.size()", DATA
    here = compile_expression(source, Scope(ROOTS)).evaluate(values)

    assert workers.evaluate(source, ROOTS, values) == here == 251_000


def test_a_path_that_does_not_exist_is_explained_as_in_this_process(workers):
    source, values = "params.big.indexOf(params.half) < params.lizt", DATA["params"] | {"half": "a" * 125_000 + "b"}
    expression = compile_expression(source, Scope(ROOTS))

    async def check() -> None:
        pool = SlowPool()
        async with pool.hold("lab"):
            await pool.call(lambda: expression.evaluate({"params": values}))

    before = set_slow_evaluator(workers)
    try:
        with pytest.raises(ExpressionError, match='params has no "lizt"'):
            asyncio.run(check())
    finally:
        set_slow_evaluator(before)


def test_an_evaluation_is_ended_when_it_has_used_its_time_and_the_next_one_works(workers):
    began = time.monotonic()

    with pytest.raises(Failure, match="it was stopped because it used more than 2 s of CPU time; simplify"):
        workers.evaluate(ENDLESS, ROOTS, DATA)

    assert time.monotonic() - began < 30
    assert workers.evaluate("1 + 1", ROOTS, {}) == 2


def test_an_evaluation_that_takes_too_much_memory_fails_and_the_next_one_works(workers):
    with pytest.raises(Failure, match="memory"):
        workers.evaluate("params.list.map(i, params.big + params.big)", ROOTS, DATA)

    assert workers.evaluate("1 + 1", ROOTS, {}) == 2


def test_an_evaluation_that_waits_too_long_for_a_processor_is_ended():
    workers = ExpressionWorkers(wall_s=0.5)
    try:
        with pytest.raises(Failure, match=r"it was stopped because it took more than 0\.5 s; simplify it"):
            workers.evaluate(ENDLESS, ROOTS, DATA)
    finally:
        workers.close()


def test_threads_share_the_processes(workers):
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda number=number: found.append(workers.evaluate(f"{number}", ROOTS, {})))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(8))


def test_only_threads_that_may_wait_wait_for_them(workers):
    with pytest.raises(SlowFailure, match="too expensive for this field"):
        workers.check_place()

    async def check() -> None:
        pool = SlowPool()
        async with pool.hold("lab"):
            await pool.call(workers.check_place)
        pool.close()

    asyncio.run(check())
