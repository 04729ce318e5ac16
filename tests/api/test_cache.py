"""The cache's entries and locks on a real API server, asked as runs' machines ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Hashable, Mapping
from typing import Any

import msgspec
import pytest
from kubernetes import client as kubernetes_client
from kubernetes import watch

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import CacheBusy, CacheHit, CacheMiss, Fact
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.cache.lookup import CacheLookup
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.cache.sweep import CacheSweep
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.recorder import EventRecorder
from tests.api.faults import Fault, FaultProxy, Seen
from tests.api.impersonation import bind
from tests.api.waiting import Changes

pytestmark = pytest.mark.api

LOAD = TaskInstanceKey("load")
TTL_S = 3600.0
UNREADABLE = b'{"items": [{"metadata"'
"""A list that was cut off."""


class AnswerRegistry(RunRegistry):
    """Keeps the facts that the cache records, and the tasks that it spawns.

    Args:
        writer: see RunRegistry.
        options: likewise.
    """

    def __init__(self, writer: Writer, **options: Any) -> None:
        super().__init__(writer, on_error=lambda run, error: pytest.fail(f"{run.key}: {error}"), **options)
        self.answers: list[tuple[str, Fact]] = []
        self.changes = Changes(lambda: f"answers: {self.answers}")
        self.tasks: set[asyncio.Task[None]] = set()

    def record_fact(self, run: LiveRun, fact: Fact) -> None:
        super().record_fact(run, fact)
        self.answers.append((run.key.name, fact))
        self.changes.touch()

    def spawn_about(self, kind: str, key: Hashable, work: Coroutine[Any, Any, None]) -> None:  # noqa: ARG002 - as in RunRegistry
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.changes.touch()


class CacheProcess:
    """One process that answers for cached tasks, and all its answers.

    Args:
        proxy: the way to the API server.
        namespace: where its runs are.
        recheck_s: see RECHECK_S of the lookup.
        has_policy: whether the chart's admission policy is said to be in force.
    """

    def __init__(
        self, proxy: FaultProxy, client: ApiClient, namespace: str, recheck_s: float, *, has_policy: bool
    ) -> None:
        self.proxy = proxy
        self.namespace = namespace
        self.now = time.time()
        self.metrics = Metrics()
        writer = Writer(client, work_in_flight=8, may_write=lambda: True)
        self.registry = AnswerRegistry(writer, metrics=self.metrics, fail=self._fail, clock=lambda: self.now)
        self.answers, self.changes, self.tasks = self.registry.answers, self.registry.changes, self.registry.tasks
        store = CacheStore(client, writer)
        self.sweep = CacheSweep(
            client,
            store,
            namespaces=[namespace],
            is_live=lambda uid: self.registry.find_run(uid) is not None,
            metrics=self.metrics,
            fail=self._fail,
            clock=lambda: self.now,
        )
        self.recorder = EventRecorder(writer, instance="test")
        self.cache = CacheLookup(
            store,
            self.registry,
            recorder=self.recorder,
            metrics=self.metrics,
            clock=lambda: self.now,
            has_policy=has_policy,
            recheck_s=recheck_s,
        )

    def _fail(self, error: BaseException) -> None:
        raise AssertionError("this process leads") from error

    def add_run(self, body: Mapping[str, Any]) -> LiveRun:
        """Carry out a run."""
        found = msgspec.convert(body, FlowRun)
        run = LiveRun(
            key=found.key,
            uid=found.uid,
            generation=1,
            resource_version=found.metadata.resource_version,
            object=found,
            flow=found.flow,
        )
        self.registry.add_run(run)
        return run

    def end(self, run: LiveRun) -> None:
        """Forget a finished run."""
        self.registry.remove_run(run)
        self.cache.forget_run(run)

    async def ask(self, run: LiveRun, key: TaskInstanceKey = LOAD, digest: str = "d", ttl_s: float = TTL_S) -> Fact:
        """Ask, and return the next answer to that task instance of the run."""
        before = len(self.answers)
        self.cache.handle_effect(run, AskCache(key, digest, ttl_s))
        return await self.answer(run, key, after=before)

    async def answer(self, run: LiveRun, key: TaskInstanceKey = LOAD, *, after: int) -> Fact:
        def found() -> list[Fact]:
            return [fact for name, fact in self.answers[after:] if (name, fact.key) == (run.key.name, key)]

        await self.changes.until(lambda: bool(found()), f"an answer to {run.key.name} about {key}")
        return found()[0]

    async def release(
        self,
        run: LiveRun,
        outputs: dict[str, Any] | None,
        key: TaskInstanceKey = LOAD,
        digest: str = "d",
        ttl_s: float = TTL_S,
    ) -> None:
        """Hand in the outcome of a task instance, and wait until it is stored."""
        self.cache.handle_effect(run, ReleaseCacheLock(key, digest, ttl_s, outputs))
        await self.changes.until(
            lambda: not any(worker.releases for worker in self.cache._workers.values()), "the release of the lock"
        )
        if not any(worker.questions for worker in self.cache._workers.values()):
            await self.idle()

    async def idle(self) -> None:
        await self.changes.until(lambda: not self.tasks, "all to be answered and stored")

    def lookups(self, result: str) -> float:
        value: float = self.metrics.cache_lookups.labels(result)._value.get()
        return value


@contextlib.asynccontextmanager
async def cache_process(
    connection, namespace, recheck_s: float = 600.0, *, has_policy: bool = False
) -> AsyncIterator[CacheProcess]:
    async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
        made = CacheProcess(proxy, client, namespace, recheck_s, has_policy=has_policy)
        try:
            yield made
        finally:
            for task in list(made.tasks):
                task.cancel()
            await asyncio.gather(*made.tasks, return_exceptions=True)


@pytest.fixture
def flow_run(scene):
    """Creates runs of a Flow that no operator carries out."""
    return lambda name, flow="orders": scene.start_of(flow, name)


def entries(core, namespace) -> list[Any]:
    return list(core.list_namespaced_config_map(namespace, label_selector=names.LABEL_CACHE).items)


def the_entry(core, namespace) -> Any:
    (found,) = entries(core, namespace)
    return found


def finish(scene, name: str) -> None:
    """End a run as the operator would."""
    scene.patch("FlowRun", name, {"status": {"state": "Completed"}}, is_status=True)


def is_write(seen: Seen) -> bool:
    return "configmaps" in seen.path and seen.method != "GET"


# Hits and misses


def test_the_second_run_reuses_the_outputs_of_the_first(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))

            assert await here.ask(first) == CacheMiss(LOAD)
            await here.release(first, {"rows": 3, "text": "ä"})
            here.end(first)

            assert await here.ask(second) == CacheHit(LOAD, {"rows": 3, "text": "ä"}, "first")
            assert (here.lookups("hit"), here.lookups("miss")) == (1, 1)
            entry = the_entry(core, scene.namespace)
            assert entry.metadata.labels[names.LABEL_CACHE] == "outputs"
            assert (entry.metadata.labels[names.LABEL_FLOW], entry.metadata.labels[names.LABEL_TASK]) == (
                "orders",
                "load",
            )

    asyncio.run(scenario())


def test_another_digest_flow_or_namespace_is_another_entry(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            other_flow = here.add_run(flow_run("other", flow="invoices"))
            await here.ask(first)
            await here.release(first, {"rows": 3})

            assert await here.ask(second, digest="e") == CacheMiss(LOAD)
            assert await here.ask(other_flow) == CacheMiss(LOAD)
            assert len(entries(core, scene.namespace)) == 3

    asyncio.run(scenario())


def test_runs_of_the_same_inline_spec_share_and_others_do_not(scene, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            spec = {"name": "load", "image": "a"}
            first, second = (
                here.add_run(scene.start(spec, name="first")),
                here.add_run(scene.start(spec, name="second")),
            )
            other = here.add_run(scene.start(spec, name="other", description="another"))
            await here.ask(first)
            await here.release(first, {"rows": 3})

            assert isinstance(await here.ask(second), CacheHit)
            assert isinstance(await here.ask(other), CacheMiss)

    asyncio.run(scenario())


def test_a_run_that_asks_again_has_its_lock_still(core, scene, flow_run, connection):
    body = flow_run("first")

    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(body)
            await here.ask(run)
            assert await here.ask(run) == CacheMiss(LOAD)
        # The operator was killed and came back.
        async with cache_process(connection, scene.namespace) as there:
            again = there.add_run(body)
            assert await there.ask(again) == CacheMiss(LOAD)
            await there.release(again, {"rows": 1})
            assert json.loads(the_entry(core, scene.namespace).data["outputs"]) == {"rows": 1}

    asyncio.run(scenario())


def test_of_ten_items_of_which_one_changed_one_runs(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            for item in range(10):
                await here.ask(first, TaskInstanceKey("load", item), f"file-{item}")
                await here.release(first, {"item": item}, TaskInstanceKey("load", item), f"file-{item}")

            digests = [f"file-{item}" for item in range(9)] + ["file-new"]
            answers = [
                await here.ask(second, TaskInstanceKey("load", item), digest) for item, digest in enumerate(digests)
            ]

            assert [isinstance(answer, CacheHit) for answer in answers] == [True] * 9 + [False]

    asyncio.run(scenario())


# Time


def test_outputs_that_are_too_old_are_produced_again(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first, ttl_s=60)
            await here.release(first, {"rows": 1}, ttl_s=60)
            here.now += 61

            assert await here.ask(second, ttl_s=60) == CacheMiss(LOAD)
            await here.release(second, {"rows": 2}, ttl_s=60)

            entry = the_entry(core, scene.namespace)
            assert (entry.data["run"], json.loads(entry.data["outputs"])) == ("second", {"rows": 2})

    asyncio.run(scenario())


# Two at once


def test_of_two_identical_tasks_at_once_one_runs_and_the_other_waits_for_it(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)

            busy = await here.ask(second)
            assert isinstance(busy, CacheBusy)
            assert "run first" in busy.message
            before = len(here.answers)
            await here.release(first, {"rows": 3})

            assert await here.answer(second, after=before) == CacheHit(LOAD, {"rows": 3}, "first")

    asyncio.run(scenario())


def test_when_the_one_that_ran_fails_the_next_one_runs(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second, third = (here.add_run(flow_run(name)) for name in ("first", "second", "third"))
            await here.ask(first)
            await here.ask(second)
            assert isinstance(await here.ask(third), CacheBusy)
            before = len(here.answers)
            await here.release(first, None)

            assert await here.answer(second, after=before) == CacheMiss(LOAD)
            renewed = await here.answer(third, after=before)
            assert isinstance(renewed, CacheBusy)
            assert "run second" in renewed.message

    asyncio.run(scenario())


def test_two_items_of_one_run_with_the_same_key_run_once(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(flow_run("first"))
            one, two = TaskInstanceKey("load", 0), TaskInstanceKey("load", 1)
            assert await here.ask(run, one) == CacheMiss(one)
            assert isinstance(await here.ask(run, two), CacheBusy)
            before = len(here.answers)
            await here.release(run, {"rows": 1}, one)

            assert await here.answer(run, two, after=before) == CacheHit(two, {"rows": 1}, "first")

    asyncio.run(scenario())


def test_many_that_ask_at_the_same_moment_get_one_lock(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            runs = [here.add_run(flow_run(f"run-{number}")) for number in range(20)]
            for run in runs:
                here.cache.handle_effect(run, AskCache(LOAD, "d", TTL_S))
            await here.changes.until(lambda: len(here.answers) == 20, "all answers")

            assert sum(isinstance(fact, CacheMiss) for _, fact in here.answers) == 1
            assert here.proxy.count(is_write) == 1

    asyncio.run(scenario())


def test_two_processes_that_break_a_lock_do_not_both_get_it(scene, flow_run, connection):
    async def scenario() -> None:
        async with (
            cache_process(connection, scene.namespace) as here,
            cache_process(connection, scene.namespace) as there,
        ):
            gone = here.add_run(flow_run("gone"))
            await here.ask(gone)
            scene.delete("FlowRun", "gone")
            here.end(gone)
            one, two = here.add_run(flow_run("one")), there.add_run(flow_run("two"))

            answers = await asyncio.gather(here.ask(one), there.ask(two))

            assert sorted(type(answer).__name__ for answer in answers) == ["CacheBusy", "CacheMiss"]

    asyncio.run(scenario())


# Locks whose holder is no more


def test_a_lock_is_free_when_its_run_is_deleted_while_another_waits(scene, flow_run, connection):
    # The holder dies
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            assert isinstance(await here.ask(second), CacheBusy)
            before = len(here.answers)
            scene.delete("FlowRun", "first")
            here.end(first)

            assert await here.answer(second, after=before) == CacheMiss(LOAD)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"state": "Completed"}, id="the run has finished"),
        pytest.param(
            {"state": "Running", "tasks": [{"name": "load", "state": "Completed"}]}, id="only the task has finished"
        ),
    ],
)
def test_a_lock_whose_release_was_lost_with_its_process_is_taken(status, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as dead:
            await dead.ask(dead.add_run(flow_run("first")))
        scene.patch("FlowRun", "first", {"status": status}, is_status=True)
        async with cache_process(connection, scene.namespace) as here:
            assert await here.ask(here.add_run(flow_run("second"))) == CacheMiss(LOAD)

    asyncio.run(scenario())


def test_a_lock_of_a_live_run_of_another_process_is_read_again_after_a_while(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as other:
            first = other.add_run(flow_run("first"))
            await other.ask(first)
            async with cache_process(connection, scene.namespace, recheck_s=0.2) as here:
                second = here.add_run(flow_run("second"))
                assert isinstance(await here.ask(second), CacheBusy)
                before = len(here.answers)
                # This process is not notified.
                await other.release(first, {"rows": 1})
                assert await here.answer(second, after=before) == CacheHit(LOAD, {"rows": 1}, "first")

    asyncio.run(scenario())


def test_a_namesake_of_the_holder_does_not_keep_its_lock(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as dead:
            await dead.ask(dead.add_run(flow_run("first")))
        scene.delete("FlowRun", "first")
        namesake = flow_run("first")
        async with cache_process(connection, scene.namespace) as here:
            assert await here.ask(here.add_run(namesake)) == CacheMiss(LOAD)

    asyncio.run(scenario())


def test_who_lost_its_lock_does_not_touch_what_the_next_one_made_of_it(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as late:
            first = late.add_run(flow_run("first"))
            await late.ask(first)
            finish(scene, "first")
            async with cache_process(connection, scene.namespace) as here:
                second = here.add_run(flow_run("second"))
                assert await here.ask(second) == CacheMiss(LOAD)
                await late.release(first, {"rows": 1})
                assert the_entry(core, scene.namespace).metadata.labels[names.LABEL_CACHE] == "lock"
                await here.release(second, {"rows": 2})
                assert the_entry(core, scene.namespace).data["run"] == "second"

    asyncio.run(scenario())


def test_a_question_of_a_deleted_run_gets_no_lock(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.ask(second)
            here.end(second)
            await here.release(first, None)
            await here.idle()

            assert entries(core, scene.namespace) == []

    asyncio.run(scenario())


def test_a_task_instance_that_ends_while_it_waits_or_asks_leaves_no_lock(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(flow_run("first"))
            here.cache.handle_effect(run, AskCache(LOAD, "d", TTL_S))
            await here.proxy.wait_for_requests(lambda seen: "configmaps" in seen.path, 1)
            await here.release(run, None)
            await here.idle()

            assert entries(core, scene.namespace) == []

    asyncio.run(scenario())


# Hands that meddle


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": {"outputs": "not json"}}, id="outputs that are not JSON"),
        pytest.param({"data": None}, id="no data at all"),
        pytest.param({"data": {"time": None}, "binaryData": {"time": "AA=="}}, id="a key of another kind in the way"),
        pytest.param({"data": {"time": "2060-01-01T00:00:00Z"}, "immutable": True}, id="it can't be changed any more"),
    ],
)
def test_an_entry_that_was_edited_by_hand_is_replaced(change, core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, {"rows": 1})
            core.patch_namespaced_config_map(the_entry(core, scene.namespace).metadata.name, scene.namespace, change)

            assert await here.ask(second) == CacheMiss(LOAD)
            await here.release(second, {"rows": 2})
            assert json.loads(the_entry(core, scene.namespace).data["outputs"]) == {"rows": 2}

    asyncio.run(scenario())


RUBBISH: list[dict[str, str] | None] = [
    {"run": "", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    {"run": "..", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    {"run": "../../../api/v1/pods", "runUid": "x", "task": "t", "time": "2026-01-01T00:00:00Z"},
    {"run": "r", "runUid": "", "task": "t", "time": "2026-01-01T00:00:00Z"},
    {"run": "r", "runUid": "x", "task": "t", "time": "0001-01-01"},
    {"run": "r", "runUid": "x", "task": "t", "time": "9999-12-31T23:59:59-23:59"},
    {"run": "r", "runUid": "x", "task": "t", "item": "9" * 5000, "time": "2026-01-01T00:00:00Z"},
    {"run": "r", "time": "2026-01-01T00:00:00Z", "ttlSeconds": "1e999", "outputs": "{}"},
    {"run": "r", "time": "2026-01-01T00:00:00Z", "ttlSeconds": "1", "outputs": '{"o":' + "[" * 8000},
    {"outputs": ""},
    {},
    None,
]
"""What anybody may write into a ConfigMap with the labels of an entry."""


@pytest.mark.parametrize("data", RUBBISH)
def test_a_task_that_meets_rubbish_runs_and_its_lock_takes_the_place(data, core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, {"rows": 1})
            entry = the_entry(core, scene.namespace)
            entry.data = data
            core.replace_namespaced_config_map(entry.metadata.name, scene.namespace, entry)

            assert await here.ask(second) == CacheMiss(LOAD)
            assert the_entry(core, scene.namespace).data["run"] == "second"
            assert here.metrics.internal_errors.labels("cache entry")._value.get() == 0

    asyncio.run(scenario())


def test_the_sweep_removes_rubbish(api, core, scene, flow_run, connection):
    tenant = bind(api, f"{scene.namespace}:tenant", "edit", namespace=scene.namespace)

    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_CACHE: "lock"}
            for number, data in enumerate(RUBBISH):
                body: Any = {"metadata": {"name": f"cache-{number}", "labels": labels}, "data": data}
                kubernetes_client.CoreV1Api(tenant).create_namespaced_config_map(scene.namespace, body)
            held = here.add_run(flow_run("held"))
            await here.ask(held)

            await here.sweep.sweep()

            assert [entry.data["run"] for entry in entries(core, scene.namespace)] == ["held"]
            assert here.metrics.internal_errors.labels("cache entry")._value.get() == 0

    asyncio.run(scenario())


def test_an_entry_that_cannot_be_removed_does_not_end_the_sweep(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_CACHE: "lock"}
            for name in ("cache-1", "cache-2", "cache-3"):
                core.create_namespaced_config_map(scene.namespace, {"metadata": {"name": name, "labels": labels}})
            here.proxy.faults.append(
                Fault(
                    lambda seen: seen.method == "DELETE" and seen.path.endswith("cache-2"),
                    status=403,
                    reason="Forbidden",
                )
            )

            await here.sweep.sweep()

            assert [entry.metadata.name for entry in entries(core, scene.namespace)] == ["cache-2"]

    asyncio.run(scenario())


def test_a_list_that_cannot_be_read_does_not_end_the_sweeps(core, scene, connection, monkeypatch):
    monkeypatch.setattr("penstock_operator.runs.cache.sweep.SWEEP_S", 0.01)

    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_CACHE: "lock"}
            core.create_namespaced_config_map(scene.namespace, {"metadata": {"name": "cache-1", "labels": labels}})
            here.proxy.fail(lambda seen: seen.is_list, times=1, body=UNREADABLE)
            sweeps = asyncio.create_task(here.sweep.run())
            removal = asyncio.create_task(here.proxy.wait_for_requests(lambda seen: seen.method == "DELETE", 1))

            await asyncio.wait([sweeps, removal], return_when=asyncio.FIRST_COMPLETED)

            assert removal.done(), sweeps
            sweeps.cancel()

    asyncio.run(scenario())


def test_a_deleted_lock_costs_no_outputs(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(flow_run("first"))
            await here.ask(run)
            core.delete_namespaced_config_map(the_entry(core, scene.namespace).metadata.name, scene.namespace)
            await here.release(run, {"rows": 1})

            assert json.loads(the_entry(core, scene.namespace).data["outputs"]) == {"rows": 1}

    asyncio.run(scenario())


# The sweep


def test_the_sweep_removes_what_will_not_be_used_and_nothing_else(core, scene, flow_run, connection, monkeypatch):
    monkeypatch.setattr("penstock_operator.runs.cache.sweep.PAGE_ITEMS", 2)

    async def scenario() -> None:
        async with (
            cache_process(connection, scene.namespace) as here,
            cache_process(connection, scene.namespace) as other,
        ):
            mine, gone = here.add_run(flow_run("mine")), here.add_run(flow_run("gone"))
            theirs = other.add_run(flow_run("theirs"))
            await here.ask(mine, digest="held by a run of this process")
            await other.ask(theirs, digest="held by a run of another process")
            await here.ask(gone, digest="without a holder")
            for digest, ttl_s in (("old", 10.0), ("young", 100.0), ("edited", 100.0)):
                await here.ask(mine, digest=digest)
                await here.release(mine, {"text": digest}, digest=digest, ttl_s=ttl_s)
            edited = next(
                entry for entry in entries(core, scene.namespace) if "edited" in entry.data.get("outputs", "")
            )
            core.patch_namespaced_config_map(edited.metadata.name, scene.namespace, {"data": {"time": "x"}})
            stranger = {"metadata": {"name": "stranger", "labels": {names.LABEL_CACHE: "outputs"}}}
            core.create_namespaced_config_map(scene.namespace, stranger)
            scene.delete("FlowRun", "gone")
            here.end(gone)
            here.now += 20

            await here.sweep.sweep()

            left = [(entry.data or {}).get("run", "stranger") for entry in entries(core, scene.namespace)]
            assert sorted(left) == ["mine", "mine", "stranger", "theirs"]
            assert here.metrics.removals.labels("cache entry")._value.get() == 3

    asyncio.run(scenario())


# An API server that says no


def test_a_full_quota_lets_the_task_run_and_is_reported_once(core, scene, flow_run, connection):
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"count/configmaps": "0"}}}
    core.create_namespaced_resource_quota(scene.namespace, quota)
    stream = watch.Watch()
    for seen in stream.stream(core.list_namespaced_resource_quota, scene.namespace, timeout_seconds=30):
        # The quota is not enforced until its usage is counted.
        if seen["object"].status.used:
            stream.stop()

    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(flow_run("first"))
            assert await here.ask(run) == CacheMiss(LOAD)
            assert await here.ask(run, TaskInstanceKey("other"), "e") == CacheMiss(TaskInstanceKey("other"))
            await here.release(run, {"rows": 1})
            assert here.lookups("unavailable") == 2
            await here.recorder.flush()
            assert here.proxy.count(lambda seen: seen.path.endswith("/events")) == 1

    asyncio.run(scenario())
    event = scene.event("CacheUnavailable", "first")
    assert event.type == "Warning"
    assert "exceeded quota" in event.message
    assert entries(core, scene.namespace) == []


def test_an_api_server_that_stumbles_is_asked_again(core, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            run = here.add_run(flow_run("first"))
            of_entry = lambda seen: "configmaps" in seen.path  # noqa: E731 - three words
            here.proxy.fail(of_entry, times=1, status=503)
            here.proxy.fail(of_entry, times=1, cut=True)
            here.proxy.fail(is_write, times=1, lose_reply=True)
            assert await here.ask(run) == CacheMiss(LOAD)
            here.proxy.fail(is_write, times=1, lose_reply=True)
            await here.release(run, {"rows": 1})

            assert json.loads(the_entry(core, scene.namespace).data["outputs"]) == {"rows": 1}

    asyncio.run(scenario())
