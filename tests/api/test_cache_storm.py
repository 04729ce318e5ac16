"""Many runs, two processes, deaths at any point: none runs what another runs, none waits forever, nothing is wrong."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import CacheHit, CacheMiss
from penstock_operator.runs.live_run import LiveRun
from tests.api.scene import Scene
from tests.api.test_cache import TTL_S, CacheProcess, cache_process

pytestmark = pytest.mark.api

RUNS = 12
DIGESTS = ("one", "two")
RECHECK_S = 0.2


class Storm:
    """Runs that need the same outputs, and what becomes of them.

    Args:
        scene: where they are.
        seed: decides what happens.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.random = random.Random(seed)
        self.at_work: Counter[str] = Counter()
        self.made: dict[str, dict[str, Any]] = {}
        self.hits = 0

    async def live(self, here: CacheProcess, run: LiveRun) -> None:
        """Let a run have both outputs, one after the other, or die on the way."""
        for digest in self.random.sample(DIGESTS, len(DIGESTS)):
            if not await self._get(here, run, digest):
                return
        self.scene.patch("FlowRun", run.key.name, {"status": {"state": "Completed"}}, is_status=True)
        here.end(run)

    async def _get(self, here: CacheProcess, run: LiveRun, digest: str) -> bool:
        key = TaskInstanceKey(digest)
        while True:
            before = len(here.answers)
            here.cache.handle_effect(run, AskCache(key, digest, TTL_S))
            answer = await self._answer(here, run, key, before)
            if isinstance(answer, CacheHit):
                assert answer.outputs == self.made[answer.run + digest], "outputs that this run never made"
                self.hits += 1
                return True
            self.at_work[digest] += 1
            assert self.at_work[digest] == 1, "two run the same"
            for _ in range(self.random.randrange(20)):
                await asyncio.sleep(0)
            fate = self.random.random()
            self.at_work[digest] -= 1
            if fate < 0.2:
                # Deleted, and its process is notified, or is not because that has ended too.
                self.scene.delete("FlowRun", run.key.name)
                if fate < 0.1:
                    here.end(run)
                return False
            if fate < 0.5:
                here.cache.handle_effect(run, ReleaseCacheLock(key, digest, TTL_S, None))
                continue
            outputs = {"by": run.key.name, "for": digest}
            self.made[run.key.name + digest] = outputs
            here.cache.handle_effect(run, ReleaseCacheLock(key, digest, TTL_S, outputs))
            return True

    async def _answer(self, here: CacheProcess, run: LiveRun, key: TaskInstanceKey, after: int) -> CacheHit | CacheMiss:
        def found() -> list[CacheHit | CacheMiss]:
            mine = [fact for name, fact in here.answers[after:] if (name, fact.key) == (run.key.name, key)]
            return [fact for fact in mine if isinstance(fact, CacheHit | CacheMiss)]

        await here.changes.until(lambda: bool(found()), f"an answer to {run.key.name} about {key.task}")
        return found()[0]


@pytest.mark.parametrize("seed", range(6))
def test_through_any_order_of_events_each_is_run_by_one_at_a_time(seed, scene, connection):
    storm = Storm(scene, seed)
    bodies = [scene.start_of("orders", f"run-{number}") for number in range(RUNS)]

    async def scenario() -> None:
        async with (
            cache_process(connection, scene.namespace, RECHECK_S) as one,
            cache_process(connection, scene.namespace, RECHECK_S) as two,
        ):
            lives = [(here := (one, two)[number % 2], here.add_run(body)) for number, body in enumerate(bodies)]
            await asyncio.gather(*(storm.live(here, run) for here, run in lives))

    asyncio.run(scenario())
    assert storm.hits, "no outputs were reused"
