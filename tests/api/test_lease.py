"""Leader election against a real API server: never two at a time, and never none for long."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from kubernetes import client as kubernetes_client

from penstock.errors import OptionError
from penstock.kube.backoff import UNANSWERED_CAP_S
from penstock.kube.client import ApiClient
from penstock.kube.errors import NotLeaderError
from penstock.kube.lease import LeaderElection, LeaseTimes
from penstock.kube.resources import CONFIGMAPS
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from tests.api.faults import FaultProxy, Seen
from tests.api.waiting import Changes

pytestmark = pytest.mark.api

TIMES = LeaseTimes(15, 10, 2)
DEADLINE_S = 30


class Time:
    """Time that a test turns by hand; whoever sleeps wakes when its time has come."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleepers: list[tuple[float, asyncio.Event]] = []
        self.changes = Changes(lambda: f"{len(self.sleepers)} sleep, it is {self.now:g}")

    def __call__(self) -> float:
        return self.now

    async def sleep(self, pause_s: float) -> None:
        sleeper = (self.now + pause_s, asyncio.Event())
        self.sleepers.append(sleeper)
        self.changes.touch()
        try:
            await sleeper[1].wait()
        finally:
            self.sleepers.remove(sleeper)
            self.changes.touch()

    async def pass_by(self, pause_s: float, asleep: int = 1) -> None:
        """Let time pass, and wait until so many sleep again (or are done)."""
        await self.changes.until(lambda: len(self.sleepers) >= asleep, f"{asleep} to sleep")
        self.now += pause_s
        due = [sleeper for sleeper in self.sleepers if sleeper[0] <= self.now]
        for _, woken in due:
            woken.set()
        await self.changes.until(lambda: not set(due) & set(self.sleepers), "the sleepers to wake")


@contextlib.asynccontextmanager
async def clients(connection) -> AsyncIterator[tuple[FaultProxy, ApiClient]]:
    async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
        yield proxy, client


def candidate(client, namespace, identity, time) -> LeaderElection:
    return LeaderElection(
        client, namespace=namespace, name="leader", identity=identity, times=TIMES, clock=time, sleep=time.sleep
    )


async def acquire(election: LeaderElection) -> int:
    return await asyncio.wait_for(election.acquire(), DEADLINE_S)


async def lose(election: LeaderElection) -> None:
    await asyncio.wait_for(election.lost.wait(), DEADLINE_S)


@pytest.fixture
def leases(api) -> kubernetes_client.CoordinationV1Api:
    return kubernetes_client.CoordinationV1Api(api)


@pytest.fixture(autouse=True)
def released(namespace, leases) -> None:
    """Have a Lease without a holder, as the last one leaves it: it can be acquired at once."""
    leases.create_namespaced_lease(
        namespace, {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "", "leaseTransitions": 1}}
    )


def is_renewal(seen: Seen) -> bool:
    return seen.method == "PUT"


def test_of_many_that_try_at_the_same_time_one_leads(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            elections = [candidate(client, namespace, f"replica-{number}", time) for number in range(6)]
            tasks = [asyncio.create_task(election.acquire()) for election in elections]
            await time.changes.until(lambda: len(time.sleepers) == 6, "all to have tried")
            leaders = [election for election in elections if election.is_leading()]
            assert len(leaders) == 1
            assert sum(task.done() for task in tasks) == 1
            assert leases.read_namespaced_lease("leader", namespace).spec.lease_transitions == leaders[0].epoch
            for task in tasks:
                task.cancel()
            await leaders[0].release()

    asyncio.run(scenario())


def test_a_lease_is_created_only_when_a_holder_of_a_deleted_one_has_missed_it(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            holder, newcomer = (candidate(client, namespace, identity, time) for identity in ("a", "b"))
            epoch = await acquire(holder)
            leases.delete_namespaced_lease("leader", namespace)
            starting = asyncio.create_task(newcomer.acquire())
            await time.changes.until(lambda: len(time.sleepers) == 2, "the holder and the newcomer to wait")
            assert holder.is_leading()
            await time.pass_by(TIMES.retry_period_s, asleep=2)
            await lose(holder)
            while not starting.done():
                assert not newcomer.is_leading()
                await time.pass_by(TIMES.retry_period_s / 4)
                await asyncio.sleep(0)
            assert await starting > epoch
            await newcomer.release()

    asyncio.run(scenario())


def test_a_clean_stop_hands_over_immediately_with_a_greater_epoch(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            first, second = candidate(client, namespace, "a", time), candidate(client, namespace, "b", time)
            await acquire(first)
            waiting = asyncio.create_task(second.acquire())
            await time.changes.until(lambda: len(time.sleepers) == 2, "the second to have looked")
            await first.release()
            assert first.lost.is_set()
            assert not first.is_leading()
            await time.pass_by(3)
            assert await asyncio.wait_for(waiting, DEADLINE_S) == first.epoch + 1
            assert second.is_leading()
            assert leases.read_namespaced_lease("leader", namespace).spec.holder_identity == "b"
            await second.release()
            assert not leases.read_namespaced_lease("leader", namespace).spec.holder_identity

    asyncio.run(scenario())


def test_a_holder_that_crashed_is_followed_after_the_lease_ran_out_and_not_before(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            crashed, standby = candidate(client, namespace, "a", time), candidate(client, namespace, "b", time)
            epoch = await acquire(crashed)
            await time.changes.until(lambda: len(time.sleepers) == 1, "the holder to sleep")
            assert crashed._renewing is not None
            crashed._renewing.cancel()
            await time.changes.until(lambda: not time.sleepers, "the holder to be dead")
            waiting = asyncio.create_task(standby.acquire())
            seen_at = time()
            while time() - seen_at < TIMES.lease_duration_s - 3:
                await time.pass_by(2.9)
                assert not waiting.done()
            await time.changes.until(lambda: len(time.sleepers) == 1, "the standby to have looked")
            await time.pass_by(3)
            assert await asyncio.wait_for(waiting, DEADLINE_S) == epoch + 1
            await standby.release()

    asyncio.run(scenario())


def test_a_standby_follows_a_holder_that_crashed_at_most_a_few_seconds_after_the_lease_ran_out(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            crashed, standby = candidate(client, namespace, "a", time), candidate(client, namespace, "b", time)
            await acquire(crashed)
            waiting = asyncio.create_task(standby.acquire())
            await time.changes.until(lambda: len(time.sleepers) == 2, "both to sleep")
            renewed_at = time()
            assert crashed._renewing is not None
            crashed._renewing.cancel()
            await time.changes.until(lambda: len(time.sleepers) == 1, "the holder to be dead")
            while not waiting.done():
                (wakes_at, _), *_ = time.sleepers
                assert wakes_at - time() <= 0.6 * TIMES.retry_period_s
                await time.pass_by(wakes_at - time())
                await time.changes.until(lambda: bool(time.sleepers), "the standby to have read the Lease")
            assert time() - renewed_at <= TIMES.lease_duration_s + 2 * 0.6 * TIMES.retry_period_s
            await standby.release()

    asyncio.run(scenario())


def test_a_standby_asks_an_api_server_that_is_away_every_second(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            away = proxy.fail(lambda seen: "/leases" in seen.path, cut=True)
            standby = candidate(client, namespace, "a", time)
            waiting = asyncio.create_task(standby.acquire())
            for _ in range(20):
                await time.changes.until(lambda: len(time.sleepers) == 1, "the standby to have tried")
                (wakes_at, _), *_ = time.sleepers
                assert wakes_at - time() <= UNANSWERED_CAP_S
                await time.pass_by(wakes_at - time())
            await time.changes.until(lambda: len(time.sleepers) == 1, "the standby to have tried")
            away.times = 0
            await time.pass_by(UNANSWERED_CAP_S)
            await asyncio.wait_for(waiting, DEADLINE_S)
            await standby.release()

    asyncio.run(scenario())


def test_a_holder_that_renews_keeps_the_lease(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            holder, standby = candidate(client, namespace, "a", time), candidate(client, namespace, "b", time)
            await acquire(holder)
            acquired = proxy.count(is_renewal)
            waiting = asyncio.create_task(standby.acquire())
            for _ in range(20):
                await time.pass_by(2.5, asleep=2)
            await time.changes.until(lambda: len(time.sleepers) == 2, "both to sleep")
            assert holder.is_leading()
            assert not waiting.done()
            assert proxy.count(is_renewal) - acquired == 20
            waiting.cancel()
            await holder.release()

    asyncio.run(scenario())


def test_the_same_identity_after_a_restart_is_a_new_holder_immediately(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            before, after = candidate(client, namespace, "pod-0", time), candidate(client, namespace, "pod-0", time)
            epoch = await acquire(before)
            assert await acquire(after) == epoch + 1
            await time.pass_by(2, asleep=2)
            await lose(before)
            assert after.is_leading()
            await after.release()

    asyncio.run(scenario())


def test_a_holder_that_cannot_renew_stops_writing_before_another_may_start(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            holder = candidate(client, namespace, "a", time)
            await acquire(holder)
            writer = Writer(client, work_in_flight=1, may_write=holder.is_leading)
            await writer.create(CONFIGMAPS, namespace, json.dumps({"metadata": {"name": "early"}}).encode())
            proxy.fail(is_renewal, cut=True)
            sent_at = time()
            while time() < sent_at + TIMES.renew_deadline_s - 2:
                await time.pass_by(2)
                assert holder.is_leading()
            await time.pass_by(2)
            assert not holder.is_leading()
            with pytest.raises(NotLeaderError):
                await writer.create(CONFIGMAPS, namespace, json.dumps({"metadata": {"name": "late"}}).encode())
            await lose(holder)
            assert proxy.count(lambda seen: seen.method == "POST" and "configmaps" in seen.path) == 1

    asyncio.run(scenario())


def test_time_that_ran_out_while_the_process_was_stopped_is_noticed_immediately(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            holder = candidate(client, namespace, "a", time)
            await acquire(holder)
            await time.changes.until(lambda: len(time.sleepers) == 1, "the holder to sleep")
            time.now += TIMES.renew_deadline_s
            assert not holder.is_leading()
            await time.pass_by(0)
            await lose(holder)

    asyncio.run(scenario())


def test_a_deposed_holder_notices_at_its_next_renewal(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            holder = candidate(client, namespace, "a", time)
            epoch = await acquire(holder)
            leases.patch_namespaced_lease(
                "leader", namespace, {"spec": {"holderIdentity": "b", "leaseTransitions": epoch + 1}}
            )
            await time.pass_by(2)
            await lose(holder)
            assert leases.read_namespaced_lease("leader", namespace).spec.holder_identity == "b"

    asyncio.run(scenario())


def test_a_holder_that_asks_the_lease_is_confirmed_at_once_and_all_who_ask_together_share_the_answer(
    connection, namespace
):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            holder = candidate(client, namespace, "a", time)
            await acquire(holder)
            before = proxy.count(is_renewal)
            time.now += 1
            asking = asyncio.gather(*(holder.confirm() for _ in range(20)))
            assert await asyncio.wait_for(asking, DEADLINE_S) == [True] * 20
            # The first asks at once; what it has sent says nothing to those who ask after that.
            assert proxy.count(is_renewal) <= before + 2
            assert holder.is_leading()
            await holder.release()
            assert not await holder.confirm()

    asyncio.run(scenario())


def test_a_deposed_holder_that_asks_the_lease_stops_at_once(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            holder = candidate(client, namespace, "a", time)
            epoch = await acquire(holder)
            leases.patch_namespaced_lease(
                "leader", namespace, {"spec": {"holderIdentity": "b", "leaseTransitions": epoch + 1}}
            )
            assert not await asyncio.wait_for(holder.confirm(), DEADLINE_S)
            assert holder.lost.is_set()
            assert not holder.is_leading()

    asyncio.run(scenario())


@pytest.mark.parametrize("cause", ["a person set a label", "the answer to a renewal got lost"])
def test_a_conflict_that_is_not_a_takeover_is_survived(connection, namespace, leases, cause):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            holder = candidate(client, namespace, "a", time)
            await acquire(holder)
            if cause == "a person set a label":
                leases.patch_namespaced_lease("leader", namespace, {"metadata": {"labels": {"x": "y"}}})
            else:
                # aiohttp itself sends a PUT again on a cut connection: that one must be lost too.
                proxy.fail(is_renewal, times=2, lose_reply=True)
            for _ in range(8):
                await time.pass_by(2)
            await time.changes.until(lambda: len(time.sleepers) == 1, "the holder to sleep")
            assert holder.is_leading()
            await holder.release()
            assert not leases.read_namespaced_lease("leader", namespace).spec.holder_identity

    asyncio.run(scenario())


def test_a_lease_that_was_deleted_ends_leadership_and_the_next_epoch_is_greater_still(connection, namespace, leases):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (_, client):
            holder, standby = candidate(client, namespace, "a", time), candidate(client, namespace, "b", time)
            epoch = await acquire(holder)
            waiting = asyncio.create_task(standby.acquire())
            await time.changes.until(lambda: len(time.sleepers) == 2, "the standby to have looked")
            leases.delete_namespaced_lease("leader", namespace)
            await time.pass_by(2.5, asleep=2)
            await lose(holder)
            assert not waiting.done(), "the standby saw a holder a moment ago, which may still write"
            for _ in range(6):
                await time.pass_by(2.5)
            assert await asyncio.wait_for(waiting, DEADLINE_S) > epoch
            await standby.release()

    asyncio.run(scenario())


def test_an_api_server_that_fails_is_asked_on_until_it_answers(connection, namespace):
    async def scenario() -> None:
        time = Time()
        async with clients(connection) as (proxy, client):
            proxy.fail(lambda _: True, times=3, status=500)
            election = candidate(client, namespace, "a", time)
            waiting = asyncio.create_task(election.acquire())
            for _ in range(3):
                await time.pass_by(3)
            await asyncio.wait_for(waiting, DEADLINE_S)
            await election.release()

    asyncio.run(scenario())


def test_times_that_leave_no_room_to_renew_are_refused():
    with pytest.raises(OptionError, match=r"--lease-duration \(10s\) must be greater than --lease-renew-deadline"):
        LeaseTimes(10, 10, 2)
