"""Large specs are compiled one at a time, and delay no small one."""

from __future__ import annotations

import asyncio

from penstock_operator.flows.large_specs import LARGE_BYTES, LargeSpecs

SMALL = {"tasks": [{"name": "a"}]}
LARGE = {"tasks": [{"name": "a", "script": "x" * LARGE_BYTES}]}


def test_one_large_spec_has_its_turn_at_a_time_and_namespaces_alternate():
    order: list[str] = []

    async def compile_one(specs: LargeSpecs, namespace: str) -> None:
        async with specs.turn(namespace, LARGE):
            order.append(f"{namespace} begins")
            await asyncio.sleep(0)
            order.append(f"{namespace} ends")

    async def scenario() -> None:
        specs = LargeSpecs()
        async with asyncio.TaskGroup() as tasks:
            for namespace in ("a", "a", "a", "b"):
                tasks.create_task(compile_one(specs, namespace))

    asyncio.run(scenario())
    assert order == [f"{namespace} {what}" for namespace in ("a", "b", "a", "a") for what in ("begins", "ends")]


def test_a_small_spec_waits_for_no_large_one():
    async def scenario() -> None:
        specs = LargeSpecs()
        async with specs.turn("a", LARGE), asyncio.timeout(1), specs.turn("a", SMALL), specs.turn("a", b"{}"):
            await asyncio.sleep(0)

    asyncio.run(scenario())
