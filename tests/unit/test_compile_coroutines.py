"""Coroutine functions as flows: what is awaited, gathered and grouped becomes tasks, or is refused by its line."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from penstock import flow, pause_flow_run, task
from penstock.authoring.compilation import CompileWarning, compile_flow
from penstock.errors import CompileError


@task
async def fetch(value: Any) -> Any:
    return value


@task
async def pages(n: int = 3):
    for number in range(n):
        yield number


@task
def take(value: Any) -> Any:
    return value


@flow
async def numbers(n: int = 3):
    for number in range(n):
        yield await fetch(number)


def waits(fn: Any) -> dict[str, Any]:
    """Compile a function as a flow, and return what each of its tasks waits for."""
    manifest = compile_flow(flow(fn), entrypoint="tests:flow", image="penstock:dev")
    return {each["name"]: each.get("dependsOn") for each in manifest["spec"]["tasks"]}


def test_what_coroutines_may_await_can_be_compiled():
    async def etl():
        state = await fetch(1, return_state=True)
        await pause_flow_run(key="ok", timeout=60)  # type: ignore[misc]  # awaited, it is a coroutine
        return take(await state.result())

    made = waits(etl)

    assert list(made) == ["fetch", "ok", "take"]
    assert sorted(made["take"]) == ["fetch", "ok"]


def test_tasks_in_a_group_run_side_by_side():
    async def etl():
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(fetch(number)) for number in range(2)]
        await fetch([each.result() for each in both])

    assert waits(etl) == {"fetch": None, "fetch-2": None, "fetch-3": ["fetch", "fetch-2"]}


def test_a_loop_over_a_default_in_a_group_is_unrolled():
    async def etl(days: list[str] = ["mon", "tue"]):  # noqa: B006 - as users write it
        async with asyncio.TaskGroup() as group:
            for day in days:
                group.create_task(fetch(day))

    with pytest.warns(CompileWarning, match="it is always its default"):
        assert list(waits(etl)) == ["fetch", "fetch-2"]


async def gathers_a_lock():
    await asyncio.gather(fetch(threading.Lock()))


async def groups_a_condition(n: int):
    async with asyncio.TaskGroup() as group:
        group.create_task(fetch(1 if n > 3 else 2))


async def gathers_in_a_try():
    try:
        await asyncio.gather(fetch(1))
    except* ValueError:
        take("b")


async def reads_a_generator():
    return [page async for page in pages()]


async def reads_a_flow():
    return [number async for number in numbers()]


@pytest.mark.parametrize(
    ("fn", "line", "message"),
    [
        (gathers_a_lock, 1, "an argument of 'fetch', a lock, cannot be written to a manifest"),
        (groups_a_condition, 2, "a value made of the param 'n' is used as a condition"),
        (gathers_in_a_try, 2, "'fetch' is called inside the `try` of line"),
        (reads_a_generator, 1, "the result of 'pages' is iterated over"),
        (reads_a_flow, 1, "the result of 'numbers' is iterated over"),
    ],
)
def test_what_is_refused_names_the_line_of_the_call(fn, line, message):
    number = fn.__code__.co_firstlineno + line
    with pytest.raises(CompileError, match=rf"test_compile_coroutines\.py:{number}: {re.escape(message)}"):
        waits(fn)


def test_a_handler_of_those_who_compile_is_none_of_the_flow():
    @flow
    async def etl():
        return await asyncio.gather(fetch(1), fetch(2))

    try:
        made = compile_flow(etl, entrypoint="tests:flow", image="x")
    except CompileError as error:
        pytest.fail(str(error))
    assert len(made["spec"]["tasks"]) == 2
