"""What holds for any Flow that runs on this machine: it ends, in a status that the cluster would take, and nothing is
left behind. Containers are fakes, with random exit codes, outputs and behaviour; time is virtual.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec
from penstock.api.flow_run import FlowRunStatus
from penstock.engine.keys import RunKey
from penstock.engine.machine.run.shutdown import ShutdownMode
from penstock.engine.state import FINAL_RUN_STATES, FINAL_TASK_STATES
from penstock.engine.validation.parsing import parse
from penstock.local.pods.compiled_specs import compile_flow
from penstock.local.pods.container_runtime import Ended, StartError
from penstock.local.pods.executor import LocalExecutor
from penstock.local.pods.local_run import new_run
from penstock.local.pods.manifest_objects import Objects
from tests.strategies import flow_specs
from tests.unit import virtual_time

START = 1_000_000.0
CHILD = FlowSpec.model_validate(
    {
        "params": [{"name": f"p{place}", "default": ""} for place in range(9)],
        "tasks": [{"name": "one", "image": "x", "args": ["$(params.p0)"]}, {"name": "two", "image": "x"}],
        "concurrency": {"limit": 1},
        "outputs": {"rows": "$(tasks.one.outputs.rows)"},
    }
)


class FakeContainer:
    """A container that runs for a random time, and ends with an exit code and outputs; some ignore SIGTERM."""

    def __init__(self, runtime: FakeRuntime, container: Any) -> None:
        self._runtime = runtime
        self._container = container
        self._killed = asyncio.Event()
        self._exit_code = runtime.rng.choice([0, 0, 0, 0, 1, 3, 137])
        self._is_stubborn = runtime.rng.random() < 0.2
        self._signalled_at: float | None = None

    async def wait(self) -> Ended:
        try:
            async with asyncio.timeout(self._runtime.rng.choice([0.0, 0.5, 3.0, 45.0, 500.0])):
                await self._killed.wait()
            self._exit_code = 143
        except TimeoutError:
            if not self._exit_code:
                rows = self._runtime.rng.choice(["", '{"rows": 3}', '{"rows": 0}', "no JSON"])
                self._container.outputs.write_text(rows)
        self._runtime.live.discard(self._container.name)
        if self._signalled_at is not None:
            assert virtual_time.now() <= self._signalled_at + self._container.grace_s, (
                "a container outlives its grace period"
            )
        return Ended(self._exit_code)

    def signal(self, number: signal.Signals) -> None:
        if self._signalled_at is None:
            self._signalled_at = virtual_time.now()
        if number is signal.SIGKILL or not self._is_stubborn:
            self._killed.set()


class FakeRuntime:
    """Starts fake containers, and records which of them are running."""

    name = "player"
    outputs_path: str | None = None

    def __init__(self, rng: random.Random, most: int) -> None:
        self.rng = rng
        self.live: set[str] = set()
        self.started: Counter[str] = Counter()
        self._most = most

    async def start(self, container: Any, output: Any) -> FakeContainer:
        if self.rng.random() < 0.05:
            raise StartError("no such program")
        self.live.add(container.name)
        self.started[container.name] += 1
        assert len(self.live) <= self._most, "more containers run at once than may"
        assert self.started[container.name] == 1, "an attempt is started twice"
        output.feed_chunk(b"a line\n")
        return FakeContainer(self, container)


class Approver:
    """Approves or rejects tasks immediately."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.executor: LocalExecutor
        self.states: list[str] = []

    def on_line(self, line: Any) -> None:
        assert line.text == "a line"

    def on_run(self, run: Any) -> None:
        self.states.append(run["status"]["state"] if run.get("status") else "")
        decided = {one["task"] for one in run["spec"].get("approvals", ())}
        for task in (run.get("status") or {}).get("tasks", ()):
            if task["state"] == "Paused" and task.get("reason") == "AwaitingApproval" and task["name"] not in decided:
                key = RunKey(run["metadata"]["namespace"], run["metadata"]["name"])
                is_approved = self.rng.random() < 0.7
                asyncio.get_running_loop().call_soon(self.decide, key, task["name"], is_approved)

    def decide(self, run: RunKey, task: str, is_approved: bool) -> None:  # noqa: FBT001 - as call_soon hands it over
        self.executor.decide_approval(run, task, is_approved=is_approved, comment=None)


async def play(spec: FlowSpec, rng: random.Random, folder: Path, shutdowns: list[tuple[float, ShutdownMode]]) -> Any:
    places = rng.choice([1, 3, 100])
    runtime, approver = FakeRuntime(rng, places), Approver(rng)
    executor = LocalExecutor(
        {"child": compile_flow("child", CHILD)},
        Objects([]),
        container_runtime=runtime,
        observers=approver,
        folder=folder,
        max_containers=places,
        approvals={},
        clock=lambda: START + virtual_time.now(),
    )
    approver.executor = executor
    loop = asyncio.get_running_loop()
    for delay_s, mode in shutdowns:
        loop.call_later(delay_s, executor.shut_down, mode)
    run = await executor.run_to_completion(new_run("it", {"flow": {"name": "it"}}), compile_flow("it", spec))
    assert not runtime.live, "containers are left behind"
    return run, [one.body for one in executor.runs]


@settings(max_examples=150, deadline=None)
@given(
    spec=flow_specs(),
    seed=st.integers(0, 2**32),
    shutdowns=st.lists(
        st.tuples(st.sampled_from([0.0, 0.2, 1.0, 20.0]), st.sampled_from(list(ShutdownMode))), max_size=2
    ),
)
def test_any_run_ends_in_a_status_that_the_cluster_would_take_and_leaves_nothing(spec, seed, shutdowns):
    shutdowns.sort(key=lambda one: (one[0], one[1]))
    if len(shutdowns) == 2 and shutdowns[1][1] < shutdowns[0][1]:
        shutdowns.pop()
    with tempfile.TemporaryDirectory() as folder:
        run, everyone = virtual_time.run(play(spec, random.Random(seed), Path(folder), shutdowns))
        assert not list(Path(folder).glob("*/outputs")), "files are left behind"

    for body in everyone:
        status = body["status"]
        assert status["state"] in FINAL_RUN_STATES
        assert all(task["state"] in FINAL_TASK_STATES for task in status.get("tasks", ()))
        parse(FlowRunStatus, json.loads(json.dumps(status)), "status")
    if not shutdowns:
        assert run["status"]["progress"] == f"{len(run['status']['tasks'])}/{len(run['status']['tasks'])}"


def test_child_runs_beyond_the_limit_of_their_flow_are_queued():
    spec = FlowSpec.model_validate({"tasks": [{"name": "a", "forEach": {"count": 3}, "flow": {"name": "child"}}]})
    with tempfile.TemporaryDirectory() as folder:
        run, everyone = virtual_time.run(play(spec, random.Random(3), Path(folder), []))

    assert len(everyone) == 4
    spans = sorted((body["status"]["startTime"], body["status"]["completionTime"]) for body in everyone[1:])
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert run["status"]["state"] in FINAL_RUN_STATES


def test_a_flow_that_runs_itself_forever_ends_at_the_depth_that_is_allowed():
    spec = FlowSpec.model_validate({"tasks": [{"name": "again", "flow": {"name": "deep"}}]})

    async def scenario(folder: Path) -> Any:
        executor = LocalExecutor(
            {"deep": compile_flow("deep", spec)},
            Objects([]),
            container_runtime=FakeRuntime(random.Random(1), 9),
            observers=Approver(random.Random(1)),
            folder=folder,
            max_containers=9,
            approvals={},
            clock=lambda: START + virtual_time.now(),
        )
        await executor.run_to_completion(new_run("it", {"flow": {"name": "deep"}}), compile_flow("deep", spec))
        return [one.body for one in executor.runs]

    with tempfile.TemporaryDirectory() as folder:
        everyone = virtual_time.run(scenario(Path(folder)))

    assert len(everyone) == 9
    assert everyone[-1]["status"]["tasks"][0]["reason"] == "TooDeep"
    assert {body["status"]["state"] for body in everyone} == {"Failed"}
