"""What type checkers know of flows and tasks. `# E: word` says that the line is an error whose text has the word."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, assert_type

import penstock
from penstock import Variable, allow_failure, flow, runtime, tags, task, unmapped
from penstock.flow_runs import pause_flow_run
from penstock.futures import Future, FutureList, as_completed, wait
from penstock.states import State


@task
def add(x: int, y: int = 0) -> int:
    return x + y


@task(retries=2, retry_delay_seconds=[1, 2], tags=["a"])
def name(x: int) -> str:
    return str(x)


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task
def count(upto: int) -> Iterator[int]:
    yield from range(upto)


@task(retries=1)
async def pages(upto: int) -> AsyncIterator[str]:
    for number in range(upto):
        yield str(number)


@task
def letters() -> Generator[str, None, int]:
    yield "a"
    return 1


@flow
def total(day: str, *, limit: int = 10) -> int:
    return limit + len(day)


@flow(log_prints=True)
async def gather(urls: list[str]) -> int:
    return len(urls)


@flow(run_as="pod", storage="s3://a", workspace={"size": "1Gi"}, image="b", env={"C": "c"})
def whole(day: str) -> int:
    return len(day)


def check_calls() -> None:
    assert_type(whole("mon"), int)
    assert_type(add(1, 2), int)
    assert_type(add(1, y=2), int)
    assert_type(name(1), str)
    assert_type(total("mon", limit=3), int)
    assert_type(add(1, return_state=True), State[int])
    assert_type(total("mon", return_state=True), State[int])
    assert_type(total("mon", return_state=True).result(), int)
    assert_type(total(name.submit(1), limit=3), int)
    assert_type(add(1, wait_for=[add.submit(1)]), int)
    add("1")  # E: call-overload
    add(1, z=3)  # E: call-overload
    total(5)  # E: call-overload
    total("mon", limit="3")  # E: call-overload


async def check_coroutines() -> None:
    assert_type(await fetch("a"), bytes)
    assert_type(await gather(["a"]), int)
    assert_type(await gather(["a"], return_state=True), State[int])
    assert_type(fetch.submit("a"), Future[bytes])
    assert_type(await fetch.submit("a"), bytes)
    assert_type(fetch.map(["a"]), FutureList[bytes])
    assert_type(await fetch.map(["a"])[0], bytes)
    assert_type(fetch.map(unmapped("a"), return_state=True), list[State[bytes]])
    assert_type(fetch.with_options(retries=1).submit("a"), Future[bytes])
    await fetch(5)  # E: call-overload
    fetch("a")  # E: unused-coroutine
    await gather("a")  # E: call-overload


async def check_generators() -> None:
    assert_type(count(3), Iterator[int])
    assert_type(list(count(3)), list[int])
    assert_type(letters(), Iterator[str])
    assert_type(count.submit(3), Future[list[int]])
    assert_type(count.submit(3).result(), list[int])
    assert_type(count.map([1, 2]), FutureList[list[int]])
    assert_type(count(3, return_state=True), State[list[int]])
    assert_type([page async for page in pages(3)], list[str])
    assert_type(pages.submit(3).result(), list[str])
    assert_type(await pages(3, return_state=True), State[list[str]])
    count("3")  # E: call-overload
    count.submit("3")  # E: call-overload


def check_futures() -> None:
    future = add.submit(1, 2)
    assert_type(future, Future[int])
    assert_type(future.result(), int)
    assert_type(future.state, State[int])
    assert_type(name.submit(future), Future[str])
    assert_type(add.submit(1, future), Future[int])
    assert_type(add.submit(x=future, y=future), Future[int])
    assert_type(add.submit(1, 2, wait_for=[future]), Future[int])
    assert_type(add.submit(1, return_state=True), State[int])
    assert_type(add.submit(allow_failure(future)), Future[int])
    assert_type(add.map([1, 2], unmapped(3)), FutureList[int])
    assert_type(add.map([1, 2]).result(), list[int])
    assert_type(add.map([1, 2], return_state=True), list[State[int]])
    for each in as_completed([future]):
        assert_type(each, Future[int])
    assert_type(wait([future]).done, set[Future[Any]])
    add.submit("1")  # E: call-overload
    name.submit(1, 2)  # E: call-overload


def check_options() -> None:
    assert_type(add.with_options(name="plus")(1), int)
    assert_type(total.with_options(retries=1)("mon"), int)
    task(retries="3")  # E: call-overload
    task(retrys=3)  # E: call-overload
    flow(result_storages="a")  # E: call-overload
    flow(run_as="job")  # E: call-overload
    task(env={"A": 1})  # E: dict-item
    task(image="a", resources={"limits": {"cpu": 2}}, pod_template={"spec": {}})(len)
    add.with_options(asset_deps=[])  # E: call-arg


class Loader:
    @task
    def load(self, x: int) -> int:
        return x

    @flow
    def run(self) -> int:
        return self.load(1)


def check_surroundings() -> None:
    assert_type(Loader().load(1), int)
    assert_type(runtime.flow_run.name, str | None)
    assert_type(pause_flow_run(int), int)
    pause_flow_run()
    with tags("a", "b") as names:
        assert_type(names, frozenset[str])
    Variable.set("a", 1)
    penstock.get_client  # E: attr-defined
