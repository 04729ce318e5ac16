"""Generators as tasks."""

import asyncio
import time

import pytest

from penstock import flow, runtime, task
from penstock.errors import OptionError


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


def test_a_flow_can_be_no_generator():
    with pytest.raises(OptionError, match="is a generator function: return a list, or use @task"):

        @flow
        def yields():
            yield 1
