"""The writer against a real API server, and through a proxy that breaks the connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from penstock.kube import writer as writer_module
from penstock.kube.backoff import UNANSWERED_CAP_S, Backoff
from penstock.kube.client import JSON, MERGE_PATCH, METADATA, ApiClient
from penstock.kube.errors import (
    ApiError,
    ApiUnreachableError,
    NotLeaderError,
    is_already_exists,
    is_conflict,
    is_not_found,
    is_precondition_failed,
)
from penstock.kube.resources import CONFIGMAPS
from penstock.kube.writer import RULES, Priority, Writer
from penstock_operator.metrics import Metrics
from tests.api.faults import FaultProxy, Seen

pytestmark = pytest.mark.api


class Clock:
    """Time that passes by sleeping, and by nothing else."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.now += pause_s
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def writing(connection, **changes) -> AsyncIterator[tuple[FaultProxy, Writer, Clock]]:
    clock = Clock()
    settings: dict[str, Any] = {
        "work_in_flight": 4,
        "may_write": lambda: True,
        "clock": clock,
        "sleep": clock.sleep,
        "new_backoff": lambda: Backoff(base_s=1, cap_s=30),
    }
    async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
        yield proxy, Writer(client, **(settings | changes)), clock


@contextlib.asynccontextmanager
async def hanging_work(connection, namespace) -> AsyncIterator[tuple[FaultProxy, Writer, asyncio.Task[Any]]]:
    """Begin a write of priority WORK that gets no answer."""
    async with writing(connection) as (proxy, writer, _):
        proxy.fail(is_post, times=1, hang=True)
        hangs = asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map("hangs")))
        await proxy.wait_for_requests(is_post, 1)
        yield proxy, writer, hangs
        hangs.cancel()


@pytest.fixture
def rules(monkeypatch):
    def change(priority: Priority, **changes: Any) -> None:
        monkeypatch.setitem(writer_module.RULES, priority, RULES[priority]._replace(**changes))

    return change


def config_map(name: str, value: str = "1") -> bytes:
    return json.dumps({"metadata": {"name": name}, "data": {"value": value}}).encode()


def is_post(seen: Seen) -> bool:
    return seen.method == "POST"


def test_objects_are_created_patched_and_deleted(connection, namespace, core):
    async def scenario() -> None:
        async with writing(connection) as (_, writer, _):
            reply = await writer.create(CONFIGMAPS, namespace, config_map("one"), accept=METADATA)
            uid = json.loads(reply.body)["metadata"]["uid"]
            patch = json.dumps([{"op": "replace", "path": "/data/value", "value": "2"}]).encode()
            reply = await writer.patch(CONFIGMAPS, namespace, "one", patch)
            assert json.loads(reply.body)["kind"] == "PartialObjectMetadata"
            patch = json.dumps({"data": {"other": "3"}}).encode()
            reply = await writer.patch(CONFIGMAPS, namespace, "one", patch, content_type=MERGE_PATCH, accept=JSON)
            assert json.loads(reply.body)["data"] == {"value": "2", "other": "3"}
            with pytest.raises(ApiError) as caught:
                await writer.delete(CONFIGMAPS, namespace, "one", "another-uid")
            assert is_conflict(caught.value)
            await writer.delete(CONFIGMAPS, namespace, "one", uid, grace_s=0)
            with pytest.raises(ApiError) as caught:
                await writer.delete(CONFIGMAPS, namespace, "one", uid)
            assert is_not_found(caught.value)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("what", "cap_s"),
    [
        ({"status": 429, "reason": "TooManyRequests"}, 30),
        ({"status": 500, "reason": "InternalError"}, 30),
        ({"status": 503, "reason": "ServiceUnavailable"}, 30),
        ({"status": 409, "reason": "Conflict"}, 30),
        ({"cut": True}, UNANSWERED_CAP_S),
    ],
    ids=["429", "500", "503", "a conflict of quota accounting", "a cut connection"],
)
def test_a_create_that_may_pass_later_is_tried_again_until_it_does(connection, namespace, core, what, cap_s):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, clock):
            proxy.fail(is_post, times=12, **what)
            await writer.create(CONFIGMAPS, namespace, config_map("one"))
            assert proxy.count(is_post) == 13
            assert all(0.5 <= pause_s <= cap_s for pause_s in clock.pauses)
            assert clock.pauses[-1] >= cap_s / 2, "pauses grow to the cap"

    asyncio.run(scenario())
    core.read_namespaced_config_map("one", namespace)


def test_the_pause_that_the_server_asks_for_is_the_least(connection, namespace):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, clock):
            proxy.fail(is_post, times=1, status=429, headers={"Retry-After": "90"})
            await writer.create(CONFIGMAPS, namespace, config_map("one"))
            assert 90.5 <= clock.pauses[0] <= 91

    asyncio.run(scenario())


def test_a_create_whose_answer_got_lost_says_that_the_object_exists(connection, namespace):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, _):
            proxy.fail(is_post, times=1, lose_reply=True)
            with pytest.raises(ApiError) as caught:
                await writer.create(CONFIGMAPS, namespace, config_map("one"))
            assert is_already_exists(caught.value)

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [config_map("not a name"), b"{"], ids=["an invalid name", "no JSON"])
def test_a_final_refusal_is_raised_immediately(connection, namespace, body):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, clock):
            with pytest.raises(ApiError):
                await writer.create(CONFIGMAPS, namespace, body)
            assert (proxy.count(is_post), clock.pauses) == (1, [])

    asyncio.run(scenario())


def test_a_patch_whose_test_fails_is_raised_immediately(connection, namespace, core):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "one"}, "data": {"epoch": "8"}})
    patch = [{"op": "test", "path": "/data/epoch", "value": "7"}, {"op": "add", "path": "/data/x", "value": "y"}]

    async def scenario() -> None:
        async with writing(connection) as (_, writer, clock):
            with pytest.raises(ApiError) as caught:
                await writer.patch(CONFIGMAPS, namespace, "one", json.dumps(patch).encode())
            assert is_precondition_failed(caught.value)
            assert clock.pauses == []

    asyncio.run(scenario())
    assert core.read_namespaced_config_map("one", namespace).data == {"epoch": "8"}


def test_at_the_deadline_the_last_error_is_raised(connection, namespace):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, clock):
            fault = proxy.fail(is_post, status=503)
            with pytest.raises(ApiError, match="503"):
                await writer.create(CONFIGMAPS, namespace, config_map("one"), deadline=clock() + 20)
            assert clock() <= 20
            fault.cut = True
            with pytest.raises(ApiUnreachableError):
                await writer.create(CONFIGMAPS, namespace, config_map("one"), deadline=clock() + 20)

    asyncio.run(scenario())


def test_a_writer_that_must_not_write_sends_nothing(connection, namespace):
    async def scenario() -> None:
        async with writing(connection, may_write=lambda: False) as (proxy, writer, _):
            with pytest.raises(NotLeaderError):
                await writer.create(CONFIGMAPS, namespace, config_map("one"))
            assert proxy.seen == []

    asyncio.run(scenario())


def test_a_leader_deposed_between_two_tries_sends_nothing_more(connection, namespace):
    async def scenario() -> None:
        # Each try is asked for twice: before it waits for a connection, and when it has one.
        tries = iter([True] * 4)
        async with writing(connection, may_write=lambda: next(tries, False)) as (proxy, writer, _):
            proxy.fail(is_post, status=500)
            with pytest.raises(NotLeaderError):
                await writer.create(CONFIGMAPS, namespace, config_map("one"))
            assert proxy.count(is_post) == 2

    asyncio.run(scenario())


def test_a_leader_deposed_while_a_write_waits_for_a_connection_sends_nothing(connection, namespace):
    leading, asked = True, asyncio.Event()

    def may_write() -> bool:
        asked.set()
        return leading

    async def scenario() -> None:
        nonlocal leading
        async with (
            FaultProxy(connection) as proxy,
            ApiClient(proxy.connection, metrics=Metrics(), connection_limit=1) as client,
        ):
            held = proxy.hold(lambda seen: seen.method == "GET")
            reading = asyncio.create_task(client.request("GET", CONFIGMAPS.path(namespace)))
            await proxy.wait_for_requests(lambda seen: seen.method == "GET", 1)
            writer = Writer(client, may_write=may_write)
            writing = asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map("late")))
            await asked.wait()
            leading = False
            held.released.set()
            await reading
            with pytest.raises(NotLeaderError):
                await writing
            assert proxy.count(is_post) == 0

    asyncio.run(scenario())


def test_no_more_writes_than_allowed_are_in_flight_and_the_rest_go_in_order(connection, namespace):
    async def scenario() -> None:
        async with writing(connection, work_in_flight=2) as (proxy, writer, _):
            hanging = proxy.fail(is_post, times=2, hang=True)
            first = [
                asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map(f"hangs-{number}")))
                for number in range(2)
            ]
            await proxy.wait_for_requests(is_post, 2)
            rest = [
                asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map(f"c{number}", str(number))))
                for number in range(6)
            ]
            await asyncio.sleep(0)
            assert (writer.in_flight, proxy.count(is_post), hanging.times) == (2, 2, 0)
            first[0].cancel()
            replies = await asyncio.gather(*rest)
            versions = [int(json.loads(reply.body)["metadata"]["resourceVersion"]) for reply in replies]
            assert versions == sorted(versions)
            first[1].cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("priority", [Priority.FINALIZER, Priority.EVENT, Priority.OWNER])
def test_a_background_write_is_sent_once_no_foreground_write_is_in_progress(connection, namespace, priority):
    async def scenario() -> None:
        async with hanging_work(connection, namespace) as (proxy, writer, hangs):
            waits = asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map("waits"), priority=priority))
            await writer.create(CONFIGMAPS, namespace, config_map("goes-first"))
            assert proxy.count(is_post) == 2
            hangs.cancel()
            await waits

    asyncio.run(scenario())


def test_a_background_write_waits_for_statuses_too(connection, namespace):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, _):
            proxy.fail(is_post, times=1, hang=True)
            status = writer.create(CONFIGMAPS, namespace, config_map("hangs"), priority=Priority.STATUS)
            hangs = asyncio.create_task(status)
            await proxy.wait_for_requests(is_post, 1)
            event = writer.create(CONFIGMAPS, namespace, config_map("waits"), priority=Priority.EVENT)
            waits = asyncio.create_task(event)
            await writer.create(CONFIGMAPS, namespace, config_map("goes-first"))
            assert proxy.count(is_post) == 2
            hangs.cancel()
            await waits

    asyncio.run(scenario())


@pytest.mark.parametrize("priority", [Priority.FINALIZER, Priority.EVENT, Priority.OWNER])
def test_a_background_write_does_not_wait_for_longer_than_its_rule_says(connection, namespace, rules, priority):
    rules(priority, longest_wait_s=0.1)

    async def scenario() -> None:
        async with hanging_work(connection, namespace) as (_, writer, hangs):
            await writer.create(CONFIGMAPS, namespace, config_map("waits"), priority=priority)
            assert not hangs.done()

    asyncio.run(scenario())


@pytest.mark.parametrize("priority", [Priority.CACHE, Priority.REMOVAL])
def test_neither_the_cache_nor_a_removal_waits_for_foreground_writes_or_holds_up_background_ones(
    connection, namespace, priority
):
    async def scenario() -> None:
        async with hanging_work(connection, namespace) as (_, writer, hangs):
            await writer.create(CONFIGMAPS, namespace, config_map("does-not-wait"), priority=priority)
            assert not hangs.done()
        async with writing(connection) as (proxy, writer, _):
            proxy.fail(is_post, times=1, hang=True)
            write = writer.create(CONFIGMAPS, namespace, config_map("hangs"), priority=priority)
            hangs = asyncio.create_task(write)
            await proxy.wait_for_requests(is_post, 1)
            await writer.create(CONFIGMAPS, namespace, config_map("event"), priority=Priority.EVENT)
            assert not hangs.done()
            hangs.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("priority", [each for each in Priority if each is not Priority.WORK])
def test_no_priority_takes_the_places_of_another(connection, namespace, rules, priority):
    rules(priority, longest_wait_s=0.0)

    async def scenario() -> None:
        async with writing(connection, work_in_flight=1) as (proxy, writer, _):
            places = RULES[priority].in_flight
            proxy.fail(is_post, times=places, hang=True)
            hanging = [
                asyncio.create_task(
                    writer.create(CONFIGMAPS, namespace, config_map(f"hangs-{number}"), priority=priority)
                )
                for number in range(places + 1)
            ]
            await proxy.wait_for_requests(is_post, places)
            await writer.create(CONFIGMAPS, namespace, config_map("work"))
            assert writer.in_flight == places
            assert proxy.count(is_post) == places + 1
            for each in hanging:
                each.cancel()

    asyncio.run(scenario())


def test_writes_without_an_answer_keep_their_places_so_that_not_all_are_sent_again_and_again(connection, namespace):
    sent: set[int] = set()

    def build(number: int) -> bytes:
        sent.add(number)
        return config_map(f"c{number}")

    async def scenario() -> None:
        async with writing(connection, work_in_flight=2) as (proxy, writer, _):
            away = proxy.fail(is_post, cut=True)
            writes = [
                asyncio.create_task(writer.create(CONFIGMAPS, namespace, partial(build, number)))
                for number in range(20)
            ]
            await proxy.wait_for_requests(is_post, 40)
            assert len(sent) == 2
            away.times = 0
            await asyncio.gather(*writes)

    asyncio.run(scenario())


def test_a_status_does_not_queue_behind_creates(connection, namespace):
    async def scenario() -> None:
        async with writing(connection, work_in_flight=1) as (proxy, writer, _):
            proxy.fail(is_post, times=1, hang=True)
            creates = [
                asyncio.create_task(writer.create(CONFIGMAPS, namespace, config_map(f"c{number}")))
                for number in range(3)
            ]
            await proxy.wait_for_requests(is_post, 1)
            await writer.create(CONFIGMAPS, namespace, config_map("status"), priority=Priority.STATUS)
            assert not any(create.done() for create in creates)
            for create in creates:
                create.cancel()

    asyncio.run(scenario())


def test_finalizers_beyond_so_many_are_removed_with_the_work(connection, namespace, rules):
    rules(Priority.FINALIZER, most_pending=2)

    async def scenario() -> None:
        async with hanging_work(connection, namespace) as (proxy, writer, hangs):
            waiting = [
                asyncio.create_task(
                    writer.create(CONFIGMAPS, namespace, config_map(f"waits-{number}"), priority=Priority.FINALIZER)
                )
                for number in range(2)
            ]
            await asyncio.sleep(0)
            await writer.create(CONFIGMAPS, namespace, config_map("surplus"), priority=Priority.FINALIZER)
            assert not any(write.done() for write in waiting)
            assert proxy.count(is_post) == 2
            hangs.cancel()
            await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_a_background_write_waits_a_moment_after_writes_are_expected(connection, namespace):
    async def scenario() -> None:
        async with writing(connection) as (proxy, writer, _):
            writer.expect_writes()
            event = writer.create(CONFIGMAPS, namespace, config_map("event"), priority=Priority.EVENT)
            waits = asyncio.create_task(event)
            await writer.create(CONFIGMAPS, namespace, config_map("work"))
            assert proxy.count(is_post) == 1
            await waits

    asyncio.run(scenario())
