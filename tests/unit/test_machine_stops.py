"""How attempts are stopped: in place if that keeps a log, else by deletion; and what decides about them afterwards."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.machine.effects.effects import StopAttempt
from penstock.engine.machine.facts import AttemptSeen, Cause, Outcome
from penstock.engine.machine.tasks.attempt_deadlines import IN_PLACE_MARGIN_S
from penstock.engine.reasons import Reason
from tests.simulation import GRACE_S, START, World, fixed_fate

ALWAYS_WELL = fixed_fate(0, failure_rate=0.0, disruption_rate=0.0)
DONE = Outcome(Cause.SUCCESS, START, exit_code=0, outputs={"x": 1})
KILLED = Outcome(Cause.FAILURE, START, Reason.EXIT_CODE, "killed", 143)


def world(text: str = "tasks: [{name: a, timeout: 60s}]", **options: Any) -> World:
    spec = FlowSpec.model_validate({"defaults": {"image": "busybox"}} | yaml.safe_load(text))
    return World(compile_plan(spec), ALWAYS_WELL, random.Random(0), is_slow_to_end=True, **options)


def start(existing: World, *, is_running: bool = True) -> AttemptSeen:
    """Have the only Pod created, and started; returns it."""
    existing.step()
    existing.flush()
    (pod,) = existing.live_pods()
    if is_running:
        existing.progress(pod)
    else:
        existing.repeat(pod)
    existing.step()
    existing.flush()
    return existing.pods[pod.pod]


def stops(existing: World) -> list[StopAttempt]:
    """Have the machine decide, store that, and return what it stops."""
    before = existing.machine.advance(existing.now).stops
    existing.flush()
    return [*before, *existing.machine.advance(existing.now).stops]


def end(existing: World, pod: AttemptSeen, outcome: Outcome) -> dict[str, Any]:
    """Let a Pod end, and return the stored entry of its task."""
    existing.pods[pod.pod] = pod._replace(outcome=outcome._replace(finished_at=existing.now), is_finished=True)
    existing.repeat(existing.pods[pod.pod])
    for _ in range(3):
        existing.step()
        existing.flush()
    entry: dict[str, Any]
    (entry,) = (entry for entry in existing.status["tasks"] if entry["name"] == pod.key.task)
    return entry


def ask_to_end(existing: World, pod: AttemptSeen) -> AttemptSeen:
    """Have a Pod show that it was asked to end in place."""
    existing.pods[pod.pod] = pod._replace(end_due_at=existing.now + GRACE_S)
    existing.repeat(existing.pods[pod.pod])
    return existing.pods[pod.pod]


@pytest.mark.parametrize(
    ("is_running", "change", "want"),
    [
        pytest.param(True, {"shutdown": "Cancel"}, True, id="a running Pod is ended in place by a cancel"),
        pytest.param(False, {"shutdown": "Cancel"}, False, id="a Pod that has not started is deleted"),
        pytest.param(True, {"shutdown": "Terminate"}, False, id="a running Pod is deleted by Terminate"),
    ],
)
def test_how_a_pod_is_stopped(is_running, change, want):
    existing = world()
    start(existing, is_running=is_running)

    existing.change(**change)

    assert [stop.is_in_place for stop in stops(existing)] == [want]


def test_a_pod_that_starts_while_its_stop_waits_to_be_stored_keeps_its_log():
    existing = world("tasks: [{name: a, queueTimeout: 60s}]")
    pod = start(existing, is_running=False)
    existing.now += 60
    existing.machine.advance(existing.now)

    existing.progress(pod)

    assert [stop.is_in_place for stop in stops(existing)] == [True]


def test_a_pod_that_ends_while_its_stop_waits_to_be_stored_is_left_alone():
    existing = world()
    pod = start(existing)
    existing.now += 60
    existing.machine.advance(existing.now)

    existing.pods[pod.pod] = pod._replace(outcome=DONE._replace(finished_at=existing.now), is_finished=True)
    existing.repeat(existing.pods[pod.pod])

    assert stops(existing) == []
    existing.flush()
    assert existing.status["tasks"][0]["reason"] == "DeadlineExceeded"


def test_a_pod_that_is_ending_is_not_asked_again():
    existing = world()
    pod = start(existing)
    existing.now += 60
    assert len(stops(existing)) == 1

    ask_to_end(existing, pod)

    step = existing.machine.advance(existing.now)
    assert (step.stops, step.wake_at) == ([], existing.now + GRACE_S + IN_PLACE_MARGIN_S)


def test_a_pod_that_does_not_end_in_time_is_deleted_and_then_its_node_may_count_as_lost():
    existing = world("tasks: [{name: a, timeout: 60s, retry: {limit: 1, nodeLostAfter: 10m}}]")
    pod = start(existing)
    existing.now += 60
    stops(existing)
    pod = ask_to_end(existing, pod)
    existing.machine.advance(existing.now)

    existing.now += GRACE_S + IN_PLACE_MARGIN_S
    overdue = stops(existing)
    existing.pods[pod.pod] = pod._replace(is_deleting=True, gone_due_at=existing.now + GRACE_S)
    existing.repeat(existing.pods[pod.pod])
    waiting = existing.machine.advance(existing.now)
    existing.now += GRACE_S + 600
    lost = existing.machine.advance(existing.now)
    existing.flush()

    assert [stop.is_in_place for stop in overdue] == [False]
    assert (waiting.stops, waiting.wake_at) == ([], existing.now)
    assert lost.is_changed
    # The reason of the stop decides, not the node.
    assert existing.status["tasks"][0]["attempts"][0]["reason"] == "DeadlineExceeded"


def test_terminate_deletes_a_pod_that_is_ending_and_the_first_reason_stays():
    existing = world()
    pod = start(existing)
    existing.change(shutdown="Cancel")
    stops(existing)
    pod = ask_to_end(existing, pod)

    existing.change(shutdown="Terminate")
    terminated = stops(existing)

    assert [(stop.is_in_place, stop.reason) for stop in terminated] == [(False, "RunCancelled")]
    assert end(existing, pod, KILLED)["reason"] == "RunCancelled"


@pytest.mark.parametrize("outcome", [DONE, KILLED], ids=["exit code 0", "exit code 143"])
@pytest.mark.parametrize("is_rebuilt", [False, True], ids=["same operator", "another operator"])
def test_the_stored_reason_decides_whatever_the_exit_code(outcome, is_rebuilt):
    existing = world()
    pod = start(existing)
    existing.now += 60
    stops(existing)
    pod = ask_to_end(existing, pod)
    if is_rebuilt:
        existing.crash()

    entry = end(existing, pod, outcome)

    assert (entry["state"], entry["reason"], entry["exitCode"]) == ("TimedOut", "DeadlineExceeded", outcome.exit_code)
    assert "outputs" not in entry


SCRIPT = ("start", "late", "ask", "overdue", "delete", "end")
"""What happens to a Pod that is stopped, in this order; a run may end after any of it."""


@settings(max_examples=200)
@given(
    crashes=st.sets(st.integers(0, len(SCRIPT))),
    ends_after=st.integers(0, len(SCRIPT) - 1),
    cause=st.sampled_from(["timeout", "Cancel", "Terminate"]),
    outcome=st.sampled_from([DONE, KILLED]),
)
def test_the_same_is_decided_about_a_stopped_pod_whenever_the_operator_is_replaced(crashes, ends_after, cause, outcome):
    calm = _play(cause, outcome, ends_after=ends_after, crashes=set())
    wild = _play(cause, outcome, ends_after=ends_after, crashes=crashes)

    assert wild[1] == calm[1]
    assert set(calm[0]) <= set(wild[0])
    for point, is_in_place in wild[0]:
        # An operator that is new may ask again for what the last one had asked for.
        assert any(earlier <= point and way is is_in_place for earlier, way in calm[0])


def _play(
    cause: str, outcome: Outcome, *, ends_after: int, crashes: set[int]
) -> tuple[list[tuple[int, bool]], dict[str, Any]]:
    """Stop a Pod; returns by which point it was stopped and how, and what is stored of its end."""
    existing = world("tasks: [{name: a, timeout: 60s, retry: {nodeLostAfter: Never}}]")
    pod = start(existing)
    found: list[tuple[int, bool]] = []
    for point, word in enumerate(SCRIPT):
        if word == "late":
            existing.now += 60
            if cause != "timeout":
                existing.change(shutdown=cause)
        elif word == "ask" and cause != "Terminate":
            pod = ask_to_end(existing, pod)
        elif word == "overdue":
            existing.now += GRACE_S + IN_PLACE_MARGIN_S
        elif word == "delete":
            pod = existing.pods[pod.pod] = pod._replace(is_deleting=True, gone_due_at=existing.now + GRACE_S)
            existing.repeat(pod)
        found += [(point, stop.is_in_place) for stop in stops(existing)]
        if point in crashes:
            existing.crash()
            found += [(point, stop.is_in_place) for stop in stops(existing)]
        if point > 0 and point >= ends_after:
            break
    entry = end(existing, pod, outcome)
    return found, {name: entry.get(name) for name in ("state", "reason", "message", "exitCode", "attempt")}
