"""The reflector against a real API server, and through a proxy that breaks the connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import NamedTuple

import msgspec
import pytest

from penstock.kube.backoff import UNANSWERED_CAP_S, Backoff
from penstock.kube.client import ApiClient
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.reflector import HEALTHY_S, EventType, Reflector
from penstock.kube.resources import CONFIGMAPS
from penstock_operator.metrics import Metrics
from tests.api.faults import FaultProxy
from tests.api.waiting import Changes

pytestmark = pytest.mark.api

ADDED, MODIFIED, DELETED = EventType.ADDED, EventType.MODIFIED, EventType.DELETED
# A namespace gets it from the controller manager, at some time.
SELECTOR = "test=yes"


class ConfigMap(msgspec.Struct):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class Reported(NamedTuple):
    event: EventType
    name: str
    value: str
    uid: str


class Ear:
    """Remembers the events of a reflector."""

    def __init__(self) -> None:
        self.reported: list[Reported] = []
        self.changes = Changes(lambda: f"reported: {self.reported[-10:]}")

    def __call__(self, event: EventType, item: ConfigMap | PartialObject) -> None:
        value = item.data.get("value", "") if isinstance(item, ConfigMap) else ""
        self.reported.append(Reported(event, item.metadata.name, value, item.metadata.uid))
        self.changes.touch()

    @property
    def events(self) -> list[tuple[EventType, str]]:
        return [(reported.event, reported.name) for reported in self.reported]

    async def wait_for(self, event: EventType, name: str, value: str | None = None) -> Reported:
        def found() -> Reported | None:
            matching = (
                reported
                for reported in self.reported
                if reported[:2] == (event, name) and value in (None, reported.value)
            )
            return next(matching, None)

        await self.changes.until(lambda: found() is not None, f"{event} {name} {value or ''}")
        reported = found()
        assert reported is not None
        return reported


def make_reflector(client, namespace, ear, **changes) -> Reflector:
    settings = {
        "kind": ConfigMap,
        "on_event": ear,
        "namespace": namespace,
        "label_selector": SELECTOR,
        "backoff": Backoff(base_s=0.01, cap_s=0.1),
    }
    return Reflector(client, CONFIGMAPS, **(settings | changes))


@contextlib.asynccontextmanager
async def running(reflector: Reflector) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        yield
        assert not task.done(), "a reflector never ends by itself"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def reflecting(connection, namespace, **changes) -> AsyncIterator[tuple[FaultProxy, Reflector, Ear]]:
    """A reflector that is synced and watches through a proxy."""
    ear = Ear()
    async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
        reflector = make_reflector(client, namespace, ear, **changes)
        async with running(reflector):
            await asyncio.wait_for(reflector.synced.wait(), 30)
            await proxy.wait_for_streams(1)
            yield proxy, reflector, ear


@pytest.fixture
def make(core, namespace):
    def make(name: str, value: str = "1") -> None:
        metadata = {"name": name, "labels": {"test": "yes"}}
        core.create_namespaced_config_map(namespace, {"metadata": metadata, "data": {"value": value}})

    return make


@pytest.fixture
def change(core, namespace):
    def change(name: str, **what: object) -> None:
        core.patch_namespaced_config_map(name, namespace, what)

    return change


@pytest.fixture
def drop(core, namespace):
    def drop(*names: str) -> None:
        for name in names:
            core.delete_namespaced_config_map(name, namespace)

    return drop


def names_of(reported: Iterable[Reported], event: EventType) -> set[str]:
    return {item.name for item in reported if item.event is event}


def test_every_change_is_reported_once_and_in_order(connection, namespace, make, change, drop):
    make("before")

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (_, _, ear):
            make("after")
            change("after", data={"value": "2"})
            drop("after")
            await ear.wait_for(DELETED, "after")
            assert ear.events == [(ADDED, "before"), (ADDED, "after"), (MODIFIED, "after"), (DELETED, "after")]
            assert [reported.value for reported in ear.reported] == ["1", "1", "2", "2"]

    asyncio.run(scenario())


def test_a_list_of_several_pages_is_whole(connection, namespace, make, monkeypatch):
    monkeypatch.setattr("penstock.kube.reflector.PAGE_ITEMS", 3)
    for number in range(8):
        make(f"c{number}")

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (proxy, _, ear):
            assert proxy.count(lambda seen: seen.is_list) == 3
            assert ear.events == [(ADDED, f"c{number}") for number in range(8)]

    asyncio.run(scenario())


def test_an_expired_continue_token_restarts_the_list_which_finds_what_was_deleted_meanwhile(
    connection, namespace, make, drop, monkeypatch
):
    monkeypatch.setattr("penstock.kube.reflector.PAGE_ITEMS", 2)
    for number in range(5):
        make(f"c{number}")

    async def scenario() -> None:
        ear = Ear()
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            proxy.fail(lambda seen: "continue" in seen.query, times=1, status=410, reason="Expired")

            def on_event(event: EventType, item: ConfigMap) -> None:
                ear(event, item)
                if item.metadata.name == "c1":
                    drop("c0")

            reflector = make_reflector(client, namespace, on_event)
            async with running(reflector):
                await ear.wait_for(ADDED, "c4")
                await ear.wait_for(DELETED, "c0")
                assert names_of(ear.reported, ADDED) == {f"c{number}" for number in range(5)}
                assert len(ear.reported) == 6, "nothing is reported twice"

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["Expired", "Gone"])
def test_what_happened_during_a_gap_is_found_by_the_next_list(connection, namespace, make, change, drop, reason):
    for name in ("stays", "changes", "goes", "replaced"):
        make(name)

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (proxy, _, ear):
            before = {reported.name: reported.uid for reported in ear.reported}
            ear.reported.clear()
            gate = proxy.fail(lambda seen: seen.is_watch, status=503)
            proxy.cut_streams()
            await proxy.wait_for_streams(0)
            change("changes", data={"value": "2"})
            drop("goes", "replaced")
            make("replaced", "new")
            make("comes")
            proxy.fail(lambda seen: seen.is_watch, times=1, status=410, reason=reason)
            proxy.faults.remove(gate)
            await ear.wait_for(ADDED, "comes")
            await proxy.wait_for_streams(1)
            assert sorted(ear.events) == sorted(
                [(MODIFIED, "changes"), (DELETED, "goes"), (DELETED, "replaced"), (ADDED, "replaced"), (ADDED, "comes")]
            )
            assert (await ear.wait_for(DELETED, "goes")).uid == before["goes"]
            assert (await ear.wait_for(DELETED, "replaced")).uid == before["replaced"]
            assert (await ear.wait_for(ADDED, "replaced")).uid != before["replaced"]

    asyncio.run(scenario())


def test_a_cut_stream_continues_where_it_was_without_a_list(connection, namespace, make, drop):
    make("goes")

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (proxy, _, ear):
            gate = proxy.fail(lambda seen: seen.is_watch, cut=True)
            proxy.cut_streams()
            await proxy.wait_for_streams(0)
            drop("goes")
            make("comes")
            proxy.faults.remove(gate)
            await ear.wait_for(ADDED, "comes")
            assert ear.events == [(ADDED, "goes"), (DELETED, "goes"), (ADDED, "comes")]
            assert proxy.count(lambda seen: seen.is_list) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "reason", "lists"),
    [(410, "Expired", 2), (500, "InternalError", 1), (504, "Timeout", 1), (429, "TooManyRequests", 1)],
)
def test_an_error_inside_the_stream_is_survived(connection, namespace, make, code, reason, lists):
    error = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": "invented",
    }

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (proxy, _, ear):
            await proxy.inject({"type": "ERROR", "object": error})
            await proxy.wait_for_requests(lambda seen: seen.is_watch, 2)
            make("comes")
            await ear.wait_for(ADDED, "comes")
            assert proxy.count(lambda seen: seen.is_list) == lists

    asyncio.run(scenario())


def test_a_silent_stream_is_opened_again(connection, namespace, make):
    async def scenario() -> None:
        async with reflecting(connection, namespace, inactivity_s=0.3) as (proxy, _, ear):
            proxy.stall_streams()
            make("unheard")
            await proxy.wait_for_requests(lambda seen: seen.is_watch, 2)
            proxy.flow()
            await ear.wait_for(ADDED, "unheard")

    asyncio.run(scenario())


def test_a_storm_of_refusals_is_waited_out_and_the_pause_asked_for_is_kept(connection, namespace, make):
    pauses: list[float] = []

    async def scenario() -> None:
        async def note(pause_s: float) -> None:
            pauses.append(pause_s)
            await asyncio.sleep(0)

        ear = Ear()
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            proxy.fail(lambda seen: seen.is_list, times=20, status=429, headers={"Retry-After": "7"})
            proxy.fail(lambda seen: seen.is_watch, times=5, status=429, headers={"Retry-After": "2"})
            proxy.fail(lambda seen: seen.is_watch, times=5, status=500)
            proxy.fail(lambda seen: seen.is_watch, times=5, cut=True)
            make("there")
            reflector = make_reflector(client, namespace, ear, sleep=note)
            async with running(reflector):
                await proxy.wait_for_streams(1)
                make("comes")
                await ear.wait_for(ADDED, "comes")
                assert ear.events == [(ADDED, "there"), (ADDED, "comes")]

    asyncio.run(scenario())
    # aiohttp tries a request of its own accord again when a connection that it kept was closed.
    assert len(pauses) > 30
    assert all(7 <= pause_s <= 7.1 for pause_s in pauses[:20])
    assert all(2 <= pause_s <= 2.1 for pause_s in pauses[20:25])


def test_after_a_long_absence_of_the_api_server_a_version_that_is_too_old_is_followed_by_a_list_immediately(
    connection, namespace, make
):
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0)

    async def scenario() -> None:
        async with reflecting(connection, namespace, sleep=note, backoff=Backoff()) as (proxy, _, ear):
            proxy.fail(lambda seen: seen.is_watch, times=60, cut=True)
            proxy.fail(lambda seen: seen.is_watch, times=3, status=503)
            proxy.fail(lambda seen: seen.is_watch, times=1, status=410, reason="Expired")
            proxy.cut_streams()
            await proxy.wait_for_requests(lambda seen: seen.is_list, 2)
            make("comes")
            await ear.wait_for(ADDED, "comes")

    asyncio.run(scenario())
    *away, first, second, third = pauses
    assert max(away) <= UNANSWERED_CAP_S
    # What a server that has returned refuses at first is asked for again soon; after the last of it there is no pause.
    assert first <= 0.1
    assert second <= 0.2
    assert third <= 0.4


def test_a_version_that_is_too_old_again_and_again_is_not_listed_in_a_tight_loop(connection, namespace, make):
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0)

    async def scenario() -> None:
        async with reflecting(connection, namespace, sleep=note, backoff=Backoff()) as (proxy, _, ear):
            proxy.fail(lambda seen: seen.is_watch, times=8, status=410, reason="Expired")
            proxy.cut_streams()
            await proxy.wait_for_requests(lambda seen: seen.is_list, 9)
            make("comes")
            await ear.wait_for(ADDED, "comes")

    asyncio.run(scenario())
    assert len(pauses) >= 7
    assert pauses[-1] > 3


def test_after_a_watch_that_was_well_the_next_failure_counts_as_the_first(connection, namespace):
    # Every watch lasts long, and as nothing changes, it receives nothing before it breaks.
    now = itertools.count(1000.0, HEALTHY_S)
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0)

    async def scenario() -> None:
        clock = partial(next, now)
        async with reflecting(connection, namespace, sleep=note, clock=clock, backoff=Backoff()) as (proxy, *_):
            for _ in range(6):
                proxy.fail(lambda seen: seen.is_watch, times=1, status=503)
                watches = proxy.count(lambda seen: seen.is_watch)
                proxy.cut_streams()
                await proxy.wait_for_requests(lambda seen: seen.is_watch, watches + 2)
                await proxy.wait_for_streams(1)

    asyncio.run(scenario())
    assert max(pauses) <= 0.1


def test_a_callback_that_raises_does_not_end_the_stream(connection, namespace, make, caplog):
    ear = Ear()

    def on_event(event: EventType, item: ConfigMap) -> None:
        ear(event, item)
        raise RuntimeError("the callback's own mistake")

    async def scenario() -> None:
        async with reflecting(connection, namespace, on_event=on_event):
            make("first")
            make("second")
            await ear.wait_for(ADDED, "second")

    asyncio.run(scenario())
    assert f"Failed to handle ADDED of configmaps {namespace}/second" in caplog.text


def test_an_object_that_cannot_be_decoded_hides_no_other(connection, namespace, make, change, caplog):
    class Strict(msgspec.Struct):
        metadata: ObjectMeta
        data: dict[str, int] | None = None

    make("odd", "text")
    ear = Ear()

    async def scenario() -> None:
        async with reflecting(
            connection, namespace, kind=Strict, on_event=lambda event, item: ear(event, PartialObject(item.metadata))
        ):
            make("odd-too", "text")
            change("odd", metadata={"labels": {"x": "y"}})
            change("odd", data={"value": None})
            await ear.wait_for(ADDED, "odd")

    asyncio.run(scenario())
    assert ear.events == [(ADDED, "odd")]
    assert f"Cannot decode configmaps {namespace}/odd: " in caplog.text
    assert f"Cannot decode configmaps {namespace}/odd-too: " in caplog.text


def test_text_that_is_not_utf_8_ends_neither_a_watch_nor_a_list(connection, namespace, make):
    metadata = b"""{"name": "odd", "namespace": "%s", "uid": "1", "resourceVersion": "%d"}"""
    odd = b"""{"metadata": %s, "data": {"value": "\xff"}}""" % metadata

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (proxy, reflector, ear):
            line = odd % (namespace.encode(), int(reflector.version))
            await proxy.inject_line(b"""{"type": "ADDED", "object": %s}""" % line)
            await ear.wait_for(ADDED, "odd", "\N{REPLACEMENT CHARACTER}")
            make("comes")
            await ear.wait_for(ADDED, "comes")
            assert proxy.count(lambda seen: seen.is_watch) == 1
            body = b"""{"metadata": {"resourceVersion": "%s"}, "items": [%s]}""" % (reflector.version.encode(), line)
            proxy.fail(lambda seen: seen.is_list, times=1, body=body)
            proxy.fail(lambda seen: seen.is_watch, times=1, status=410, reason="Expired")
            proxy.cut_streams()
            await ear.wait_for(DELETED, "comes")
        assert [event for event, name in ear.events if name == "odd"] == [ADDED]

    asyncio.run(scenario())


def test_metadata_alone_can_be_watched(connection, namespace, make, drop):
    make("one")

    async def scenario() -> None:
        async with reflecting(connection, namespace, kind=PartialObject, metadata_only=True) as (_, _, ear):
            make("two")
            drop("one")
            await ear.wait_for(DELETED, "one")
            assert ear.events == [(ADDED, "one"), (ADDED, "two"), (DELETED, "one")]

    asyncio.run(scenario())


def test_leaving_the_selection_is_reported_as_deletion(connection, namespace, make, change):
    make("one")

    async def scenario() -> None:
        async with reflecting(connection, namespace) as (_, _, ear):
            change("one", metadata={"labels": {"test": "no"}})
            await ear.wait_for(DELETED, "one")

    asyncio.run(scenario())


def test_kept_objects_are_reported_whole_when_they_were_deleted_unseen(connection, namespace, make, drop):
    make("goes", "precious")

    async def scenario() -> None:
        async with reflecting(connection, namespace, keep_objects=True) as (proxy, reflector, ear):
            assert [item.data["value"] for item in reflector.objects.values()] == ["precious"]
            gate = proxy.fail(lambda seen: seen.is_watch, status=410)
            proxy.cut_streams()
            drop("goes")
            await ear.wait_for(DELETED, "goes", "precious")
            assert not reflector.objects
            proxy.faults.remove(gate)

    asyncio.run(scenario())


def test_an_object_of_a_megabyte_arrives(connection, namespace, make, change):
    async def scenario() -> None:
        async with reflecting(connection, namespace) as (_, _, ear):
            make("big", "x" * 900_000)
            reported = await ear.wait_for(ADDED, "big")
            assert len(reported.value) == 900_000

    asyncio.run(scenario())


def test_age_counts_from_the_last_word_of_the_api_server(connection, namespace, make):
    now = 1000.0

    async def scenario() -> None:
        nonlocal now
        async with reflecting(connection, namespace, clock=lambda: now) as (_, reflector, ear):
            now += 50
            assert reflector.age_s(now) == 50
            make("one")
            await ear.wait_for(ADDED, "one")
            assert reflector.age_s(now) == 0

    asyncio.run(scenario())


def test_a_kind_that_cannot_stand_for_a_deleted_object_is_refused_immediately(connection):
    class Demanding(msgspec.Struct):
        metadata: ObjectMeta
        data: dict[str, str]

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            with pytest.raises(TypeError, match="Demanding cannot stand for a deleted object"):
                Reflector(client, CONFIGMAPS, kind=Demanding, on_event=lambda *_: None)

    asyncio.run(scenario())
