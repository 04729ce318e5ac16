"""What holds for any Flow, any order of events and any crash. `World` checks each step: no task starts before its
dependencies, never two live attempts of one task instance, no budget overdrawn, no finalizer removed before the end of
its Pod is stored."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec, Task
from penstock.engine.compiler.graph import in_order
from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.intervals import decode_intervals
from penstock.engine.restart import Restart, RestartedTask
from penstock.engine.state import COMPLETED_TASK_STATES, FINAL_RUN_STATES, FINAL_TASK_STATES
from tests.simulation import World, fixed_fate
from tests.strategies import flow_specs

STEPS = 5000
EXAMPLES = settings(max_examples=550)

rates = st.sampled_from([0.0, 0.1, 0.5])


def meddle(world: World) -> None:
    """Do to the run's spec what people do."""
    stronger = {None: ["Drain", "Cancel", "Terminate"], "Drain": ["Cancel", "Terminate"], "Cancel": ["Terminate"]}
    modes = stronger.get(world.control.shutdown, [])
    if modes and world.rng.random() < 0.3:
        world.change(shutdown=world.rng.choice(modes))
    else:
        world.change(is_suspended=not world.control.is_suspended)


def play(
    world: World,
    *,
    crash_rate: float = 0.0,
    deletion_rate: float = 0.0,
    control_rate: float = 0.0,
    approval_rate: float = 1.0,
) -> dict[str, Any]:
    """Let things happen in a random order until the run has finished and is stored; returns the stored status."""
    rng = world.rng
    for _ in range(STEPS):
        if rng.random() < crash_rate:
            world.crash()
        step = world.step(crash_before_writes=rng.random() < crash_rate / 2)
        if rng.random() < 0.4:
            world.flush()
        if world.pods and rng.random() < 0.2:
            world.repeat(rng.choice(list(world.pods.values())))
        act(world, control_rate=control_rate, approval_rate=approval_rate)
        live = world.live_pods()
        if live and rng.random() < deletion_rate:
            world.delete(rng.choice(live))
        elif live and rng.random() < 0.8:
            world.progress(rng.choice(live))
        elif step.wake_at is not None and rng.random() < 0.5:
            world.now = max(world.now, step.wake_at)
        world.now += rng.random()
        if world.machine.is_finished:
            world.flush()
            world.step()
            if world.machine.is_finished_and_stored:
                return world.status
    raise AssertionError(f"the run does not end: {world.status}")


def act(world: World, *, control_rate: float, approval_rate: float) -> None:
    """Do what people do: decide about approvals, suspend and resume, end the run early."""
    rng = world.rng
    asked = world.open_approvals()
    if asked and rng.random() < 0.5:
        world.decide(rng.choice(asked), is_approved=rng.random() < approval_rate)
    if rng.random() < control_rate:
        meddle(world)
    elif world.control.is_suspended and rng.random() < 0.3:
        world.change(is_suspended=False)


def make(spec: FlowSpec, seed: int, *, failure_rate: float, disruption_rate: float) -> World:
    plan = compile_plan(spec)
    fate = fixed_fate(seed, failure_rate=failure_rate, disruption_rate=disruption_rate)
    return World(
        plan,
        fate,
        random.Random(seed),
        resolve_params(plan.params, {}),
        is_slow_to_end=True,
        busy_rate=seed % 2 * 0.5,
        cached_below="5" if seed % 3 else "",
    )


@EXAMPLES
@given(flow_specs(), st.integers(0, 2**32), rates, rates)
def test_every_run_ends_and_accounts_for_every_task(spec, seed, failure_rate, disruption_rate):
    world = make(spec, seed, failure_rate=failure_rate, disruption_rate=disruption_rate)

    status = play(world, deletion_rate=0.05, control_rate=0.02, approval_rate=0.8)

    states = [entry["state"] for entry in status["tasks"]]
    assert status["state"] in FINAL_RUN_STATES
    assert set(states) <= FINAL_TASK_STATES
    assert status["counts"] == Counter(states)
    assert status["progress"] == f"{len(states)}/{len(states)}"
    assert not any(pod.is_tracked for pod in world.pods.values()), "a Pod kept its finalizer"


@EXAMPLES
@given(flow_specs(), st.integers(0, 2**32), rates, rates)
def test_a_crash_at_any_point_loses_nothing(spec, seed, failure_rate, disruption_rate):
    world = make(spec, seed, failure_rate=failure_rate, disruption_rate=disruption_rate)

    status = play(world, crash_rate=0.1, deletion_rate=0.02, control_rate=0.02, approval_rate=0.8)

    assert status["state"] in FINAL_RUN_STATES
    assert len(world.created) == len(set(world.created)), "an attempt was made twice"
    assert not any(pod.is_tracked for pod in world.pods.values()), "a Pod kept its finalizer"
    restored = world.build()
    assert restored.is_finished_and_stored
    assert restored.state == status["state"]


def without_clocks(spec: FlowSpec) -> FlowSpec:
    def still(task: Task) -> Task:
        update: dict[str, Any] = {"timeout": None, "queue_timeout": None, "deadline": None}
        if task.approval is not None:
            update["approval"] = task.approval.model_copy(update={"timeout": None})
        return task.model_copy(update=update)

    update = {"tasks": [still(task) for task in spec.tasks], "timeout": None, "finally_timeout": None}
    if spec.finally_:
        update["finally_"] = [still(task) for task in spec.finally_]
    return spec.model_copy(update=update)


@EXAMPLES
@given(flow_specs(), st.integers(0, 2**32))
def test_a_run_with_crashes_ends_as_one_without(spec, seed):
    # Without failures nothing depends on what happens first, and without clocks nothing on when.
    spec = without_clocks(spec)
    calm = make(spec, seed, failure_rate=0.0, disruption_rate=0.0)
    wild = make(spec, seed, failure_rate=0.0, disruption_rate=0.0)
    want, got = play(calm), play(wild, crash_rate=0.15)

    def essence(status: dict[str, Any]) -> dict[str, Any]:
        return {
            entry["name"]: (entry["state"], entry.get("reason"), entry.get("outputs"), entry.get("attempt"))
            for entry in status["tasks"]
        }

    # A task that fails on an expression stops the run, and then it matters what had started by then.
    if "ExpressionError" not in str(want):
        assert sorted(wild.created) == sorted(calm.created)
        assert essence(got) == essence(want)
        assert (got["state"], got.get("outputs")) == (want["state"], want.get("outputs"))


@EXAMPLES
@given(flow_specs(), st.integers(0, 2**32))
def test_a_retried_run_keeps_what_was_completed_and_runs_the_rest(spec, seed):
    before = make(spec, seed, failure_rate=0.4, disruption_rate=0.0)
    old = play(before, approval_rate=0.5)
    after = make(spec, seed + 1, failure_rate=0.0, disruption_rate=0.0)
    after.kept = old["tasks"]
    after.machine = after.build()

    new = play(after, crash_rate=0.1)

    was = {entry["name"]: entry for entry in old["tasks"]}
    kept = [entry for entry in new["tasks"] if entry.get("run") == "before"]
    again = {key.task for key, _ in after.created}
    assert new["state"] in FINAL_RUN_STATES
    assert new["retryOf"]["name"] == "before"
    for entry in kept:
        assert was[entry["name"]]["state"] in ("Completed", "Cached")
        assert entry.get("outputs") == was[entry["name"]].get("outputs")
        assert entry["name"] not in again, "a task that was kept ran again"
        assert not entry.get("finally"), "a finally task was kept"
    for task in after.plan.tasks:
        if was[task.name]["state"] == "Completed" and not task.upstream and not task.is_finally:
            assert task.name not in again, "a task that waited for nothing and had completed ran again"


@EXAMPLES
@given(flow_specs(), st.integers(0, 2**32), st.data())
def test_a_retry_runs_what_it_is_asked_to_and_all_that_follows_and_keeps_the_rest(spec, seed, data):
    before = make(spec, seed, failure_rate=0.3, disruption_rate=0.0)
    old = play(before, approval_rate=0.5)
    main = [task for task in before.plan.tasks if not task.is_finally]
    asked = data.draw(st.sets(st.sampled_from([task.name for task in main]), max_size=2))
    changed = data.draw(st.sets(st.sampled_from([param.name for param in before.plan.params]), max_size=1))
    items = data.draw(st.frozensets(st.integers(0, 3), max_size=2))
    after = make(spec, seed + 1, failure_rate=0.0, disruption_rate=0.0)
    after.kept = old["tasks"]
    after.restart = Restart(tasks=dict.fromkeys(asked, RestartedTask(items)), params=frozenset(changed))
    after.machine = after.build()

    new = play(after, crash_rate=0.1)

    was = {entry["name"]: entry for entry in old["tasks"]}
    again: set[int] = set()
    for position in in_order([[one.task for one in task.upstream] for task in before.plan.tasks]):
        task = before.plan.tasks[position]
        is_asked = task.name in asked or task.is_finally or not changed.isdisjoint(task.params)
        is_asked |= task.kind is TaskKind.APPROVAL and bool(asked or changed)
        is_complete = was[task.name]["state"] in COMPLETED_TASK_STATES
        if is_asked or not is_complete or any(one.task in again for one in task.upstream):
            again.add(position)
    ran = {(key.task, key.item) for key, _ in after.created}
    assert new["state"] in FINAL_RUN_STATES
    assert {task.name for task in main if task.position not in again}.isdisjoint({name for name, _ in ran})
    for entry in new["tasks"]:
        if entry.get("run") == "before":
            assert before.plan.positions[entry["name"]] not in again
    for task in main:
        entry = was[task.name]
        is_only_asked = changed.isdisjoint(task.params) and all(one.task not in again for one in task.upstream)
        if task.name in asked and items and is_only_asked and "items" in entry and entry["state"] == "Completed":
            # Failures that the task tolerates did not complete: these items run too.
            indexes = entry["items"].get("indexes", {})
            done = {index for state in COMPLETED_TASK_STATES for index in decode_intervals(indexes.get(state, ""))}
            assert {item for name, item in ran if name == task.name}.isdisjoint(done - items)
