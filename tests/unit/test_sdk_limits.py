"""Limits within a process: `concurrency`, `rate_limit` and limits of tags."""

import asyncio
import threading
import time

import pytest

from penstock import flow, task
from penstock.authoring.compilation import compile_flow
from penstock.authoring.limits import Limits, Rule, read_limits
from penstock.concurrency.asyncio import concurrency as concurrency_async
from penstock.concurrency.asyncio import rate_limit as rate_limit_async
from penstock.concurrency.sync import concurrency, rate_limit
from penstock.errors import CompileError, LimitError, NotOfferedError
from penstock.task_runners import ThreadPoolTaskRunner


class Gauge:
    """Counts how many are inside at once. Nobody leaves before as many as wanted have arrived."""

    def __init__(self, wanted):
        self.inside = self.most = 0
        self._lock = threading.Lock()
        self._full = threading.Event()
        self._wanted = wanted

    def __enter__(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == self._wanted:
                self._full.set()
        self._full.wait(10)

    def __exit__(self, *_):
        with self._lock:
            self.inside -= 1


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("database=5", {"database": Rule(5, None)}),
        ("a=1 b=2,c=3", {"a": Rule(1, None), "b": Rule(2, None), "c": Rule(3, None)}),
        ("api=100/1m", {"api": Rule(100, 60)}),
        ("api=3/s tag:etl=2", {"api": Rule(3, 1), "tag:etl": Rule(2, None)}),
        ("", {}),
    ],
)
def test_limits_are_read_from_a_text(text, want):
    assert read_limits(text) == want


@pytest.mark.parametrize("text", ["database", "a=0", "a=-1", "a=5/d", "=5", "a=five", "tag:=1", "a=1/0s"])
def test_an_entry_that_is_invalid_is_named(text):
    with pytest.raises(LimitError, match="PENSTOCK_LIMITS: invalid entry"):
        read_limits(text)


def test_a_limit_that_is_set_twice_is_named():
    with pytest.raises(LimitError, match="PENSTOCK_LIMITS sets 'a' twice"):
        read_limits("a=1 b=2 a=3")


def test_no_more_hold_a_limit_than_it_has_slots(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=2")
    gauge = Gauge(wanted=2)

    @task
    def query(n):
        with concurrency("database"), gauge:
            return n

    @flow
    def scene():
        return query.map(range(6)).result()

    assert scene() == [0, 1, 2, 3, 4, 5]
    assert gauge.most == 2


def test_several_slots_are_taken_at_once(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=3")
    with concurrency("database", occupy=2):
        with pytest.raises(TimeoutError, match="no slots of database"), concurrency("database", 2, timeout_seconds=0):
            pass
        with concurrency("database", 1, timeout_seconds=0):
            pass


def test_more_slots_than_there_are_is_an_error_and_not_a_wait(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=3")
    with pytest.raises(LimitError, match="has 3 slots, fewer than the 4"), concurrency("database", occupy=4):
        pass


def test_of_two_limits_all_or_none_are_taken(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "a=1 b=1")
    with concurrency("a"):
        with pytest.raises(TimeoutError), concurrency(["a", "b"], timeout_seconds=0):
            pass
        with concurrency("b", timeout_seconds=0):
            pass


def test_slots_are_given_back_when_the_block_raises(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=1")
    with pytest.raises(ValueError, match="inside"), concurrency("database"):
        raise ValueError("inside")
    with concurrency("database", timeout_seconds=0):
        pass


def test_a_limit_that_does_not_exist_is_warned_of_once_in_a_run(caplog):
    @task
    def load(day):
        with concurrency("nothing"):
            return day

    @flow
    def etl():
        return load.map([1, 2, 3]).result()

    assert [etl(), etl()] == [[1, 2, 3], [1, 2, 3]]
    assert caplog.text.count("limit 'nothing' does not exist") == 2


def test_a_limit_that_does_not_exist_does_not_limit_and_says_so(caplog):
    with concurrency("nothing"):
        pass
    assert "limit 'nothing' does not exist: set PENSTOCK_LIMITS='nothing=5'; not limited" in caplog.text


def test_a_limit_that_must_exist_is_an_error():
    with pytest.raises(LimitError, match="'nothing' does not exist"), concurrency("nothing", strict=True):
        pass


def test_coroutines_wait_without_blocking_their_loop(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=2")
    inside = most = 0

    async def query():
        nonlocal inside, most
        async with concurrency_async("database"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def main():
        await asyncio.gather(*[query() for _ in range(8)])

    asyncio.run(main())
    assert most == 2


def test_a_coroutine_gets_the_slot_that_a_thread_releases(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=1")
    is_held, go = threading.Event(), threading.Event()

    def hold():
        with concurrency("database"):
            is_held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(10)

    async def main():
        asyncio.get_running_loop().call_soon(go.set)
        async with concurrency_async("database", timeout_seconds=10):
            return "got it"

    assert asyncio.run(main()) == "got it"
    thread.join()


@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_a_coroutine_that_gets_no_slot_in_time_gets_a_timeout_error(timeout_s, monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=1")

    async def main():
        async with concurrency_async("database"):
            with pytest.raises(TimeoutError, match="no slots of database"):
                async with concurrency_async("database", timeout_seconds=timeout_s):
                    pass

    asyncio.run(main())


def test_one_that_waits_is_woken_once_however_often_it_has_tried(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=1")
    limits, woken = Limits(), []
    names = limits.find(["database"])
    assert limits.try_take(names, 1, print) == 0

    def wake():
        woken.append(1)

    for _ in range(3):
        assert limits.try_take(names, 1, wake) is None
    limits.release(names, 1)
    assert woken == [1]


def test_a_rate_lets_so_many_through_in_a_time(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "api=2/1h")
    rate_limit("api")
    asyncio.run(rate_limit_async("api"))
    with pytest.raises(TimeoutError):
        rate_limit("api", timeout_seconds=0)


def test_the_slots_of_a_rate_become_free_by_time(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "api=20/1s")
    began = time.monotonic()
    for _ in range(22):
        rate_limit("api")
    # Twenty at once, and one more after each twentieth of a second.
    assert time.monotonic() - began >= 0.09


def test_a_limit_without_a_rate_is_not_a_rate_limit(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=2")
    with pytest.raises(LimitError, match="has no rate: write PENSTOCK_LIMITS='database=2/1m'"):
        rate_limit("database")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_tag_limits_the_task_runs_that_have_it(is_async, monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:database=1")
    inside = most = 0
    lock = threading.Lock()

    def enter(step):
        nonlocal inside, most
        with lock:
            inside += step
            most = max(most, inside)

    if is_async:

        @task(tags=["database", "other"])
        async def query(n):
            enter(1)
            await asyncio.sleep(0.001)
            enter(-1)
    else:

        @task(tags=["database", "other"])
        def query(n):
            enter(1)
            time.sleep(0.001)
            enter(-1)

    @flow
    def scene():
        query.map(range(5)).result()

    scene()
    assert most == 1


def test_a_task_that_waits_for_a_limit_frees_its_slot_of_the_pool(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "database=1")
    released = threading.Event()

    @task
    def holds():
        with concurrency("database"):
            released.wait(10)

    @task
    def waits():
        with concurrency("database"):
            pass

    @task
    def frees():
        released.set()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def scene():
        futures = [holds.submit(), waits.submit(), frees.submit()]
        return [future.result() for future in futures]

    assert scene() == [None, None, None]


def test_the_elements_of_a_generator_are_made_within_the_limit(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:database=1")

    @task(tags=["database"])
    def rows():
        yield from (1, 2)

    @flow
    def scene():
        found = []
        for row in rows():
            found.append(row)
            with pytest.raises(TimeoutError), concurrency("tag:database", timeout_seconds=0):
                pass
        with concurrency("tag:database", timeout_seconds=0):
            return found

    assert scene() == [1, 2]


def test_limits_are_refused_in_a_pod(monkeypatch):
    monkeypatch.setenv("PENSTOCK_CALL", "{}")
    with pytest.raises(NotOfferedError, match=r"within one process.*`concurrency` on the Flow, or maxParallel"):
        rate_limit("api")


@task
def work(): ...


@flow
def limited():
    with concurrency("database"):
        work()


def test_limits_are_refused_when_a_flow_is_compiled():
    with pytest.raises(CompileError, match=r"test_sdk_limits\.py:\d+: limits hold within one process"):
        compile_flow(limited, image="x")


@task(tags=["database"])
def tagged(): ...


@flow
def uses_tagged():
    tagged()


def test_a_limit_of_a_tag_is_refused_when_a_flow_is_compiled_and_in_its_pods(monkeypatch):
    compile_flow(uses_tagged, image="x")
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:database=1")
    with pytest.raises(CompileError, match="'tag:database' limits 'tagged' within one process"):
        compile_flow(uses_tagged, image="x")
    monkeypatch.setenv("PENSTOCK_CALL", "{}")
    with pytest.raises(NotOfferedError, match="within one process"):
        uses_tagged()


def test_a_task_that_needs_the_slot_of_its_caller_is_refused_and_does_not_wait_forever(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:x=1")

    @task(tags=["x"])
    def inner():
        return 1

    @task(tags=["x"])
    def outer():
        return inner()

    with pytest.raises(LimitError, match="'tag:x' has 1 slots, and the code around holds 1 of them while it waits"):
        flow(lambda: [outer()], name="nested")()
    assert flow(lambda: [inner(), inner()], name="one-by-one")() == [1, 1]


def test_a_coroutine_that_needs_the_slot_of_its_caller_is_refused(monkeypatch):
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:x=1 db=1")

    @task(tags=["x"])
    async def inner():
        return 1

    @task(tags=["x"])
    async def outer():
        return await inner()

    @flow
    async def nested():
        return await outer()

    async def blocks():
        async with concurrency_async("db"), concurrency_async("db"):
            pass

    with pytest.raises(LimitError, match="'tag:x' has 1 slots, and the code around holds 1"):
        asyncio.run(nested())
    with pytest.raises(LimitError, match="'db' has 1 slots, and the code around holds 1"):
        asyncio.run(blocks())


def test_a_submitted_task_gets_the_slot_when_the_one_that_submitted_it_has_ended(monkeypatch, caplog):
    monkeypatch.setenv("PENSTOCK_LIMITS", "tag:x=1")

    @task(tags=["x"])
    def inner():
        return 1

    @task(tags=["x"])
    def outer():
        future = inner.submit()
        for _ in range(1000):
            if "waiting for limit" in caplog.text:
                break
            future.wait(0.01)
        return future

    @flow
    def nested():
        return outer().result()

    assert nested() == 1
    assert "waiting for limit 'tag:x', of which the code that started this holds 1 of 1 slots" in caplog.text
