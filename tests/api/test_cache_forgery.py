"""Entries of the cache that somebody else than an operator wrote: where they would run code, they must be proved."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.machine.facts import CacheHit, CacheMiss
from penstock_operator.runs.cache.entry import content_hash
from tests.api.impersonation import bind
from tests.api.test_cache import LOAD, cache_process, flow_run, the_entry

__all__ = ["flow_run"]

pytestmark = pytest.mark.api

PICKLED: dict[str, Any] = {"result": "x", "pickle": "gASVBQAAAAAAAACMAXiULg=="}
FORGED: dict[str, Any] = {"result": "x", "pickle": "Y29zCnN5c3RlbQooUydpZCcKdFIu"}


@pytest.fixture
def attacker(api: kubernetes_client.ApiClient, namespace: str) -> kubernetes_client.CoreV1Api:
    """A ServiceAccount with the ClusterRole `edit` in the run's namespace, and nothing else."""
    return kubernetes_client.CoreV1Api(bind(api, f"{namespace}:attacker", "edit", namespace=namespace))


def forge(attacker, entry, outputs: dict[str, Any], **labels: str | None) -> None:
    """Change an entry, and its hash with it."""
    metadata = entry.metadata
    data = {**entry.data, "outputs": json.dumps(outputs)}
    labels = {names.LABEL_CACHE_HASH: content_hash(ObjectKey(metadata.namespace, metadata.name), data), **labels}
    attacker.patch_namespaced_config_map(
        metadata.name, metadata.namespace, {"metadata": {"labels": labels}, "data": data}
    )


def store(scene, name: str, outputs: dict[str, Any]) -> None:
    """Store in the status of a run what its task has produced, as the operator does."""
    tasks = [{"name": LOAD.task, "state": "Completed", "attempt": 1, "outputs": outputs}]
    scene.patch("FlowRun", name, {"status": {"state": "Completed", "tasks": tasks}}, is_status=True)


def test_an_entry_whose_content_does_not_match_its_hash_is_replaced(scene, flow_run, connection, attacker):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace, has_policy=True) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, {"rows": 1})
            entry = the_entry(scene.core, scene.namespace)
            attacker.patch_namespaced_config_map(
                entry.metadata.name, scene.namespace, {"data": {"outputs": json.dumps({"rows": 1_000_000})}}
            )

            assert await here.ask(second) == CacheMiss(LOAD)

    asyncio.run(scenario())


def test_a_config_map_under_the_name_of_an_entry_without_its_labels_is_ignored(scene, flow_run, connection, attacker):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace, has_policy=True) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, {"rows": 1})
            entry = the_entry(scene.core, scene.namespace)
            attacker.delete_namespaced_config_map(entry.metadata.name, scene.namespace)
            body: Any = {"metadata": {"name": entry.metadata.name}, "data": entry.data}
            attacker.create_namespaced_config_map(scene.namespace, body)

            assert await here.ask(second) == CacheMiss(LOAD)

    asyncio.run(scenario())


def test_a_forged_pickle_is_not_reused(scene, flow_run, connection, attacker):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, PICKLED)
            store(scene, "first", PICKLED)
            forge(attacker, the_entry(scene.core, scene.namespace), FORGED)

            assert await here.ask(second) == CacheMiss(LOAD)

    asyncio.run(scenario())


def test_a_pickle_that_this_process_stored_is_reused_without_another_read(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as here:
            first, second = here.add_run(flow_run("first")), here.add_run(flow_run("second"))
            await here.ask(first)
            await here.release(first, PICKLED)

            assert await here.ask(second) == CacheHit(LOAD, PICKLED, "first")
            assert here.proxy.count(lambda seen: "flowruns" in seen.path) == 0

    asyncio.run(scenario())


def test_a_pickle_of_an_earlier_process_is_proved_by_the_status_of_its_run(scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as before:
            first = before.add_run(flow_run("first"))
            await before.ask(first)
            await before.release(first, PICKLED)
        store(scene, "first", PICKLED)
        async with cache_process(connection, scene.namespace) as here:
            second = here.add_run(flow_run("second"))

            assert await here.ask(second) == CacheHit(LOAD, PICKLED, "first")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("has_policy", "want"),
    [
        pytest.param(False, CacheMiss(LOAD), id="without the policy it proves nothing"),
        pytest.param(True, CacheHit(LOAD, PICKLED, "first"), id="with the policy an operator wrote it"),
    ],
)
def test_a_pickle_whose_run_was_deleted(has_policy, want, scene, flow_run, connection):
    async def scenario() -> None:
        async with cache_process(connection, scene.namespace) as before:
            first = before.add_run(flow_run("first"))
            await before.ask(first)
            await before.release(first, PICKLED)
        scene.delete("FlowRun", "first")
        async with cache_process(connection, scene.namespace, has_policy=has_policy) as here:
            second = here.add_run(flow_run("second"))

            assert await here.ask(second) == want

    asyncio.run(scenario())
