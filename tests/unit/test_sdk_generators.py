"""Generators as tasks."""

import asyncio
import gc
import logging
import threading
import time

import pytest

from penstock import flow, runtime, task
from penstock.authoring.compilation import compile_flow
from penstock.errors import CompileError


@task
def count(n):
    for i in range(n):
        yield i, runtime.task_run.name


def test_elements_come_one_by_one():
    taken = []

    @task
    def notes():
        for i in range(3):
            taken.append(f"made {i}")
            yield i

    def take(element):
        taken.append(f"took {element}")

    for element in notes():
        take(element)
    assert taken == ["made 0", "took 0", "made 1", "took 1", "made 2", "took 2"]


def test_the_run_is_that_of_the_generator_inside_and_none_outside():
    @flow
    def scene():
        return [(i, name, runtime.task_run.name) for i, name in count(2)]

    assert scene() == [(0, "count-0", None), (1, "count-0", None)]


def test_a_submitted_generator_gives_a_list():
    @flow
    def scene():
        return count.submit(2).result()

    assert scene() == [(0, "count-0"), (1, "count-0")]


def test_a_retry_yields_again_what_was_yielded_before(sleeps):
    @task(retries=2)
    def breaks():
        yield 1
        yield 2
        raise ValueError("no")

    seen: list[int] = []
    taken: list[int] = []

    def note(element):
        taken.append(element)
        return element

    with pytest.raises(ValueError, match="no"):
        seen.extend(note(element) for element in breaks())
    assert taken == [1, 2, 1, 2, 1, 2]


def test_the_elements_of_a_stored_result_are_yielded_again():
    made = []

    @task(persist_result=True)
    def once():
        for i in range(3):
            made.append(i)
            yield i

    @flow
    def scene():
        return list(once()), list(once())

    assert scene() == ([0, 1, 2], [0, 1, 2])
    assert made == [0, 1, 2]


def test_a_generator_whose_elements_are_not_read_is_cancelled(caplog):
    closed = []

    @task
    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    elements = endless()
    next(elements)
    elements.close()
    assert closed == [True]
    assert "stopped before the last element" in caplog.text


def test_only_the_time_of_the_generator_counts_against_its_timeout():
    @task(timeout_seconds=0.1)
    def quick():
        yield from range(3)

    @task(timeout_seconds=0.05)
    def slow():
        yield 1
        while True:
            time.sleep(0.001)

    def work(element):
        time.sleep(0.06)
        return element

    assert [work(element) for element in quick()] == [0, 1, 2]
    with pytest.raises(TimeoutError, match=r"exceeded timeout of 0\.05"):
        list(slow())


def test_asynchronous_generators_are_iterated_and_submitted():
    @task
    async def count(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i, runtime.task_run.name

    @flow
    async def scene():
        return [(i, name, runtime.task_run.name) async for i, name in count(2)], await count.submit(1)

    assert asyncio.run(scene()) == ([(0, "count-0", None), (1, "count-0", None)], [(0, "count-1")])


def test_a_retry_of_an_asynchronous_generator_yields_again(sleeps):
    @task(retries=1)
    async def breaks():
        yield 1
        if runtime.task_run.run_count == 1:
            raise ValueError("no")

    async def scene():
        return [element async for element in breaks()]

    assert asyncio.run(scene()) == [1, 1]


def test_a_generator_flow_yields_while_it_runs_and_its_tasks_are_its_own():
    seen: list[object] = []

    @task
    def double(x):
        return x * 2

    @flow(on_completion=[lambda flow, run, state: seen.append((state.name, state.data))])
    def numbers(n: int):
        for each in range(n):
            seen.append(f"made {each}")
            yield double(each), runtime.flow_run.flow_name

    seen.extend(numbers("2"))
    assert seen == ["made 0", (0, "numbers"), "made 1", (2, "numbers"), ("Completed", [])]
    assert runtime.flow_run.name is None


def test_a_generator_flow_gives_its_state_with_a_list():
    @flow
    def numbers():
        yield 1
        yield 2

    state = numbers(return_state=True)
    assert (state.name, state.result()) == ("Completed", [1, 2])


def test_a_generator_flow_that_raises_is_failed_and_retried():
    attempts = []
    ended = []

    @flow(retries=1, on_failure=[lambda flow, run, state: ended.append(state.name)])
    def numbers():
        attempts.append(1)
        yield len(attempts)
        raise ValueError("after one")

    got = []
    with pytest.raises(ValueError, match="after one"):
        got.extend(numbers())
    assert len(attempts) == 2
    assert ended == ["Failed"]


def test_a_generator_flow_whose_caller_stops_is_cancelled(caplog):
    @task
    def waits(gate):
        gate.wait(10)

    gate = threading.Event()
    runs = []

    @flow
    def numbers():
        runs.append(waits.submit(gate).task_run)
        yield 1
        yield 2

    for _ in numbers():
        gate.set()
        break
    gc.collect()
    assert runs[0].state.is_final()


def test_asynchronous_generators_can_be_flows():
    @flow
    async def numbers():
        yield 1
        yield 2

    @flow
    async def outer():
        return [number async for number in numbers()], (await numbers(return_state=True)).result()

    assert asyncio.run(outer()) == ([1, 2], [1, 2])


def test_what_a_returned_generator_calls_belongs_to_the_flow():
    @task
    def where(x):
        return x, runtime.flow_run.flow_name

    @flow
    def outer():
        return (where(x) for x in range(2))

    assert outer() == [(0, "outer"), (1, "outer")]


@flow
def yields():
    yield from count(1)


def test_a_generator_flow_is_compiled_as_one_pod_only():
    with pytest.raises(CompileError, match=r"flow 'yields' is a generator.*run_as='pod'"):
        compile_flow(yields, image="x")
    [only] = compile_flow(yields.with_options(run_as="pod"), image="x")["spec"]["tasks"]
    assert only["name"] == "yields"


def test_prints_of_a_generator_are_logged(caplog):
    @task(log_prints=True)
    def rows():
        print("in the task")
        yield 1

    @flow(log_prints=True)
    def outer():
        print("in the flow")
        yield from rows()

    with caplog.at_level(logging.INFO):
        assert list(outer()) == [1]
    assert {"in the task", "in the flow"} <= set(caplog.messages)


def test_what_a_generator_returns_is_the_value_of_yield_from():
    @task(timeout_seconds=60)
    def rows():
        yield 1
        yield 2
        return "end"

    @flow
    def all_rows():
        return (yield from rows())

    def collect():
        kept.append((yield from all_rows()))

    kept: list[object] = []
    assert list(collect()) == [1, 2]
    assert kept == ["end"]
