"""Approvals, suspension, shutdowns, finally tasks and clocks: one behaviour a test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.engine.audit import DecisionRecord, Record
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import (
    ApprovalDecision,
    AttemptGone,
    AttemptSeen,
    CacheBusy,
    CacheHit,
    CacheMiss,
    Cause,
    CreateHeld,
    Outcome,
)
from penstock.engine.machine.run.history import HISTORY_BYTES
from penstock.engine.reasons import Reason
from tests.simulation import START, World
from tests.unit.test_machine import ALWAYS_EVICTED, ALWAYS_FAILS, ALWAYS_WELL, created, finish, inputs_of, world


def failing(*names: str, code: int = 1):
    """Return a fate in which these tasks always fail."""

    def fate(key: TaskInstanceKey, attempt: int) -> Outcome:
        if key.task in names:
            return Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, f"exit code {code}", code)
        return ALWAYS_WELL(key, attempt)

    return fate


def entries(existing: World) -> dict[str, tuple[str, Any]]:
    return {entry["name"]: (entry["state"], entry.get("reason")) for entry in existing.status["tasks"]}


def step(existing: World) -> None:
    existing.step()
    existing.flush()
    existing.step()


def start(existing: World) -> None:
    """Let what can start run."""
    step(existing)
    for pod in existing.live_pods():
        existing.progress(pod)
    step(existing)


# How tasks wait for each other


@pytest.mark.parametrize(
    ("flow", "fate", "want", "run"),
    [
        pytest.param(
            "tasks: [{name: a}, {name: b, dependsOnStates: [{task: a, states: [Failed]}]}]",
            failing("a"),
            {"a": ("Failed", "ExitCode"), "b": ("Completed", None)},
            "Failed",
            id="a failure that is waited for stops nothing and fails the run all the same",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, dependsOnStates: [{task: a, states: [Failed]}]}]",
            ALWAYS_EVICTED,
            {"a": ("Crashed", "Evicted"), "b": ("Crashed", "Evicted")},
            "Crashed",
            id="Failed covers Crashed",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, dependsOnStates: [{task: a, states: [Failed]}]}]",
            ALWAYS_WELL,
            {"a": ("Completed", None), "b": ("Skipped", "StatesNotMet")},
            "Completed",
            id="a task that waits for a failure which does not come is skipped",
        ),
        pytest.param(
            "tasks: [{name: p}, {name: f}, {name: x, dependsOn: [p], dependsOnStates: [{task: f, states: "
            "[Completed, Failed]}]}, {name: y, dependsOn: [p, f]}]",
            failing("f"),
            {
                "p": ("Completed", None),
                "f": ("Failed", "ExitCode"),
                "x": ("Completed", None),
                "y": ("Skipped", "UpstreamFailed"),
            },
            "Failed",
            id="either end of a task will do, if both are named",
        ),
        pytest.param(
            "failurePolicy: Continue\n"
            "tasks: [{name: a}, {name: b}, {name: c, dependsOn: [b]}, {name: d, dependsOn: [a]}]",
            failing("a"),
            {
                "a": ("Failed", "ExitCode"),
                "b": ("Completed", None),
                "c": ("Completed", None),
                "d": ("Skipped", "UpstreamFailed"),
            },
            "Failed",
            id="with Continue every branch continues that can",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b}, {name: c, dependsOn: [b]}]",
            failing("a"),
            {"a": ("Failed", "ExitCode"), "b": ("Completed", None), "c": ("Skipped", "RunStopping")},
            "Failed",
            id="with Stop what runs ends and nothing new starts",
        ),
        pytest.param(
            "tasks: [{name: a, allowFailed: 1}, {name: b, dependsOn: [a]}, {name: c}, {name: d, dependsOn: [c]}, "
            "{name: e, dependsOnStates: [{task: a, states: [Completed, Failed]}]}]",
            failing("a"),
            {
                "a": ("Failed", "ExitCode"),
                "b": ("Skipped", "UpstreamFailed"),
                "c": ("Completed", None),
                "d": ("Completed", None),
                "e": ("Completed", None),
            },
            "Completed",
            id="a tolerated failure neither stops nor fails the run",
        ),
    ],
)
def test_what_follows_from_how_a_task_ended(flow, fate, want, run):
    existing = world(flow, fate)

    finish(existing)

    assert entries(existing) == want
    assert existing.status["state"] == run


@pytest.mark.parametrize(
    ("allowed", "state", "reason"),
    [
        pytest.param("2", "Completed", "ItemsFailed", id="as many as may fail"),
        pytest.param("1", "Failed", "ItemsFailed", id="one more than may fail"),
        pytest.param("20%", "Completed", "ItemsFailed", id="a percentage of the items"),
        pytest.param("19%", "Failed", "ItemsFailed", id="a percentage is rounded down"),
    ],
)
def test_a_fan_out_tolerates_as_many_failures_as_it_allows(allowed, state, reason):
    existing = world(
        f"failurePolicy: Continue\ntasks: [{{name: a, forEach: {{count: 10}}, allowFailed: {allowed}}}, "
        "{name: b, dependsOn: [a]}]",
        lambda key, attempt: (ALWAYS_FAILS if key.item in (3, 7) else ALWAYS_WELL)(key, attempt),
    )

    finish(existing)

    entry = existing.status["tasks"][0]
    assert (entry["state"], entry["reason"]) == (state, reason)
    assert [index for index, outputs in enumerate(entry["outputs"]) if outputs is None] == [3, 7]
    assert entries(existing)["b"][0] == ("Completed" if state == "Completed" else "Skipped")


def test_a_fan_out_within_its_tolerance_continues():
    existing = world(
        "tasks: [{name: a, forEach: {count: 10}, maxParallel: 1, allowFailed: 2}]",
        lambda key, attempt: (ALWAYS_FAILS if key.item in (0, 4, 5) else ALWAYS_WELL)(key, attempt),
    )

    finish(existing)

    assert created(existing) == [f"a[{index}]" for index in range(6)]
    assert existing.status["tasks"][0]["message"] == "item 5: exit code 1; 3 of 10 items failed, 4 not started"
    assert existing.status["message"] == "task a failed: item 5: exit code 1; 3 of 10 items failed, 4 not started"


def test_the_item_that_a_message_names_is_not_one_that_a_later_attempt_completed():
    existing = world(
        "failurePolicy: Continue\ntasks: [{name: a, forEach: {count: 3}, maxParallel: 1, retry: {limit: 1}}]",
        lambda key, attempt: (ALWAYS_FAILS if key.item == 0 or attempt == 1 else ALWAYS_WELL)(key, attempt),
    )

    finish(existing)

    assert existing.status["tasks"][0]["items"]["failed"][-1]["index"] == 2
    assert existing.status["message"] == "task a failed: item 0: exit code 1; 1 of 3 items failed"


# Finally


def test_finally_tasks_run_when_all_others_have_finished_and_see_how_they_ended():
    existing = world(
        "tasks: [{name: a}, {name: b, dependsOn: [a]}]\n"
        "finally: [{name: clean, args: ['$(run.state)', '$(tasks.a.state)', '$(tasks.b.reason)']}]",
        failing("a"),
    )
    step(existing)
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])

    (create,) = existing.machine.advance(existing.now).creates

    assert inputs_of(create).args == ["Failed", "Failed", "UpstreamFailed"]


def test_a_finally_task_that_fails_fails_the_run():
    existing = world("tasks: [{name: a}]\nfinally: [{name: clean}, {name: tell}]", failing("clean"))

    finish(existing)

    assert existing.status["state"] == "Failed"
    assert entries(existing)["tell"] == ("Completed", None)


def test_a_finally_task_that_lacks_outputs_is_skipped_and_the_others_run():
    existing = world(
        "tasks: [{name: a}]\nfinally: [{name: use, args: ['$(tasks.a.outputs.x)']}, {name: clean}]", failing("a")
    )

    finish(existing)

    assert entries(existing) == {
        "a": ("Failed", "ExitCode"),
        "use": ("Skipped", "UpstreamFailed"),
        "clean": ("Completed", None),
    }


def test_finally_runs_after_the_runs_timeout_under_its_own_clock():
    existing = world("timeout: 60s\nfinallyTimeout: 30s\ntasks: [{name: a}]\nfinally: [{name: clean}]")
    start(existing)
    existing.now += 61
    for _ in range(3):
        step(existing)
    (clean,) = existing.live_pods()
    existing.progress(clean)
    existing.now += 31
    for _ in range(3):
        step(existing)

    assert entries(existing) == {"a": ("Cancelled", "RunTimedOut"), "clean": ("Cancelled", "FinallyTimedOut")}
    assert existing.status["state"] == "TimedOut"


# Shutdown


def test_a_drained_run_lets_what_runs_end_with_its_retries_and_starts_nothing_new():
    existing = world(
        "tasks: [{name: a, retry: {limit: 1}}, {name: b, dependsOn: [a]}]\nfinally: [{name: clean}]",
        lambda key, attempt: (ALWAYS_FAILS if key.task == "a" and attempt == 1 else ALWAYS_WELL)(key, attempt),
    )
    start(existing)
    existing.change(shutdown="Drain")

    finish(existing)

    assert entries(existing) == {"a": ("Completed", None), "b": ("Skipped", "RunDrained"), "clean": ("Completed", None)}
    assert (existing.status["state"], existing.status["reason"]) == ("Cancelled", "RunDrained")


def test_a_drain_that_holds_nothing_back_changes_nothing():
    existing = world("tasks: [{name: a}]")
    start(existing)
    existing.change(shutdown="Drain")

    finish(existing)

    assert existing.status["state"] == "Completed"


def test_a_cancelled_run_stops_what_runs_keeps_what_is_done_and_runs_finally():
    existing = world(
        "tasks: [{name: a}, {name: b, dependsOn: [a], retry: {limit: 3}}, {name: c, dependsOn: [b]}]\n"
        "finally: [{name: clean}]"
    )
    start(existing)
    existing.progress(existing.live_pods()[0])
    start(existing)
    existing.change(shutdown="Cancel")
    stopping = [stop.reason for stop in existing.machine.advance(existing.now).stops]

    finish(existing)

    assert stopping == [], "what is stopped waits until its reason is stored"
    assert entries(existing) == {
        "a": ("Completed", None),
        "b": ("Cancelled", "RunCancelled"),
        "c": ("Skipped", "UpstreamFailed"),
        "clean": ("Completed", None),
    }
    assert (existing.status["state"], existing.status["shutdown"]["mode"]) == ("Cancelled", "Cancel")
    assert created(existing).count("b") == 1


def test_a_terminated_run_stops_everything_finally_too():
    existing = world("tasks: [{name: a}]\nfinally: [{name: clean}, {name: tell, dependsOn: [clean]}]")
    start(existing)
    existing.progress(existing.live_pods()[0])
    start(existing)
    existing.change(shutdown="Terminate")

    finish(existing)

    assert entries(existing) == {
        "a": ("Completed", None),
        "clean": ("Cancelled", "RunTerminated"),
        "tell": ("Skipped", "UpstreamFailed"),
    }
    assert existing.status["state"] == "Cancelled"


def test_a_shutdown_is_stored_before_anything_is_stopped_and_survives_a_crash():
    existing = world("tasks: [{name: a}]")
    start(existing)
    existing.change(shutdown="Cancel")
    existing.machine.advance(existing.now)
    existing.flush()
    existing.control = existing.control.__class__()
    existing.crash()

    finish(existing)

    assert existing.status["shutdown"] == {
        "mode": "Cancel",
        "reason": "RunCancelled",
        "message": "spec.shutdown is Cancel",
    }
    assert entries(existing)["a"] == ("Cancelled", "RunCancelled")


@pytest.mark.parametrize("mode", ["Cancel", "Terminate"])
def test_a_pod_that_ended_before_anybody_knew_of_it_is_not_made_again_in_a_run_that_is_stopped(mode):
    existing = world("tasks: [{name: a, retry: {limit: 3}}]")
    existing.step()
    existing.delete(existing.live_pods()[0])
    existing.control = replace(existing.control, shutdown=mode)
    existing.crash()

    finish(existing)

    assert entries(existing)["a"] == ("Cancelled", "RunCancelled" if mode == "Cancel" else "RunTerminated")
    assert created(existing) == ["a"]


def test_an_attempt_that_is_being_stopped_for_its_own_sake_is_not_made_again_in_a_cancelled_run():
    existing = world("tasks: [{name: a, timeout: 60s, retry: {limit: 3}}]")
    start(existing)
    existing.now += 61
    existing.machine.advance(existing.now)
    existing.change(shutdown="Cancel")

    finish(existing)

    assert entries(existing)["a"] == ("Cancelled", "RunCancelled")
    assert (created(existing), existing.status["state"]) == (["a"], "Cancelled")


# Suspension


def test_a_suspended_run_starts_nothing_and_is_paused_once_nothing_runs():
    existing = world("timeout: 100s\ntasks: [{name: a}, {name: b, dependsOn: [a]}]")
    start(existing)
    existing.change(is_suspended=True)
    existing.progress(existing.live_pods()[0])
    step(existing)
    paused = dict(existing.status)
    existing.now += 1000
    existing.change(is_suspended=False)
    step(existing)

    assert (paused["state"], paused["reason"]) == ("Paused", "Suspended")
    assert existing.status["state"] == "Running"
    assert "reason" not in existing.status
    assert existing.status["pausedMilliseconds"] == 1_000_000
    assert created(existing) == ["a", "b"]


def test_a_run_says_at_once_that_it_is_being_suspended_until_it_is():
    existing = world("tasks: [{name: a}, {name: b, dependsOn: [a]}]")
    start(existing)
    existing.change(is_suspended=True)
    step(existing)
    before = (existing.status["state"], existing.status["reason"])
    existing.progress(existing.live_pods()[0])
    step(existing)

    assert before == ("Running", "Suspending")
    assert (existing.status["state"], existing.status["reason"]) == ("Paused", "Suspended")


@pytest.mark.parametrize(
    ("mode", "reason"), [("Drain", "Draining"), ("Cancel", "Cancelling"), ("Terminate", "Terminating")]
)
def test_a_run_says_at_once_that_it_is_being_ended(mode, reason):
    existing = world("tasks: [{name: a}]", is_slow_to_end=True)
    start(existing)
    existing.change(shutdown=mode)
    existing.machine.advance(existing.now)
    existing.flush()

    assert (existing.status["state"], existing.status["reason"]) == ("Running", reason)
    assert existing.status["message"] == f"spec.shutdown is {mode}"


@pytest.mark.parametrize(
    ("reason", "state"),
    [(Reason.EXIT_CODE, "Failed"), (Reason.EVICTED, "Crashed"), (Reason.DEADLINE_EXCEEDED, "TimedOut")],
)
def test_a_run_names_the_first_task_that_failed_in_whatever_way(reason, state):
    cause = Cause.DISRUPTION if state == "Crashed" else Cause.FAILURE

    def fate(key, attempt):
        return Outcome(cause, 0.0, reason, "no") if key.task in ("b", "c") else ALWAYS_WELL(key, attempt)

    existing = world(
        "failurePolicy: Continue\ntasks: [{name: a}, {name: b, retry: {infrastructure: 0}}, {name: c}]", fate
    )
    finish(existing)

    assert entries(existing)["b"][0] == state
    assert existing.status["failedTask"] == "b"
    restored = existing.build()
    assert not restored.take_changes().operations


def test_the_runs_clock_is_paused_with_the_run_and_continues_after_a_crash():
    existing = world("timeout: 100s\ntasks: [{name: a}, {name: b, dependsOn: [a]}]")
    start(existing)
    existing.progress(existing.live_pods()[0])
    existing.change(is_suspended=True)
    step(existing)
    existing.now += 500
    existing.crash()
    existing.change(is_suspended=False)
    start(existing)
    existing.now += 99
    step(existing)
    before = existing.status["state"]
    existing.now += 2
    for _ in range(3):
        step(existing)

    assert (before, existing.status["state"]) == ("Running", "TimedOut")


def test_a_retry_whose_time_comes_while_the_run_is_suspended_waits():
    existing = world("tasks: [{name: a, retry: {limit: 1, delay: 10s}}]", ALWAYS_FAILS)
    start(existing)
    existing.progress(existing.live_pods()[0])
    existing.change(is_suspended=True)
    step(existing)
    existing.now += 60
    step(existing)
    held = created(existing)
    existing.change(is_suspended=False)
    step(existing)

    assert (held, created(existing)) == (["a"], ["a", "a"])


# Approvals


def test_an_approval_pauses_the_run_until_a_person_approves():
    existing = world(
        "tasks: [{name: ok, approval: {message: 'Publish $(run.name)?'}}, {name: b, args: "
        "['$(tasks.ok.outputs.comment)'], dependsOn: [ok]}]"
    )
    step(existing)
    asked = existing.status["tasks"][0]
    paused = (existing.status["state"], existing.status["reason"])
    existing.decide("ok", is_approved=True)
    (create,) = existing.machine.advance(existing.now).creates

    assert (asked["state"], asked["reason"], asked["message"]) == ("Paused", "AwaitingApproval", "Publish run?")
    assert paused == ("Paused", "AwaitingApproval")
    assert inputs_of(create).args == ["so be it"]
    assert existing.pods == {}


def test_an_approval_that_is_rejected_fails_with_the_comment():
    existing = world("tasks: [{name: ok, approval: {}}]")
    step(existing)
    existing.decide("ok", is_approved=False)

    finish(existing)

    assert entries(existing)["ok"] == ("Failed", "Rejected")
    assert existing.status["tasks"][0]["message"] == "so be it"


MANAGERS = "tasks: [{name: ok, approval: {approvers: {groups: [managers], users: [carol]}}}]"


def decision(user: str, *groups: str, is_proved: bool = True) -> ApprovalDecision:
    record = DecisionRecord("Approve", Record(user, "2026-11-30T00:00:00Z"), frozenset(groups))
    return ApprovalDecision(is_approved=True, comment="go", record=record, is_proved=is_proved)


@pytest.mark.parametrize(
    ("existing", "want"),
    [
        pytest.param(decision("alice", "managers"), None, id="a member of a group decides"),
        pytest.param(decision("carol"), None, id="a user decides"),
        pytest.param(decision("bob", "others"), "Approve by bob does not count", id="somebody else decides"),
        pytest.param(decision("carol", is_proved=False), "not proved who decided", id="the record may be forged"),
        pytest.param(ApprovalDecision(is_approved=True), "not proved who decided", id="there is no record"),
    ],
)
def test_a_decision_counts_if_one_of_the_approvers_has_provably_made_it(existing, want):
    run = world(MANAGERS)
    step(run)
    run.change(approvals={"ok": existing}, has_approvers=True)
    step(run)
    for _ in range(2):
        if want is None:
            assert run.status["state"] == "Completed"
            break
        entry = run.status["tasks"][0]
        assert (entry["state"], entry["reason"]) == ("Paused", "DecisionNotProved")
        assert want in entry["message"]
        assert (run.status["state"], run.status["reason"]) == ("Paused", "DecisionNotProved")
        assert want in run.status["message"]
        run.crash()
        step(run)


def test_on_the_machine_of_whoever_decides_approvers_do_not_matter():
    run = world(MANAGERS)
    step(run)
    run.decide("ok", is_approved=True)
    finish(run)
    assert run.status["state"] == "Completed"


def test_an_approval_without_a_decision_times_out_although_the_operator_crashed():
    existing = world("tasks: [{name: ok, approval: {timeout: 1h}}]")
    step(existing)
    existing.now += 3000
    existing.crash()
    step(existing)
    before = entries(existing)["ok"]
    existing.now += 601
    for _ in range(2):
        step(existing)

    assert (before[0], entries(existing)["ok"]) == ("Paused", ("TimedOut", "ApprovalTimeout"))
    assert existing.status["state"] == "Failed"


def test_a_decision_made_before_the_question_counts():
    existing = world("tasks: [{name: a}, {name: ok, approval: {}, dependsOn: [a]}]")
    existing.decide("ok", is_approved=True)

    finish(existing)

    assert existing.status["state"] == "Completed"


# Clocks and retries


def test_what_is_older_than_what_was_seen_changes_nothing():
    existing = world("tasks: [{name: a}]")
    step(existing)
    (pod,) = existing.live_pods()
    waits = pod._replace(version=7, waiting_reason="Unschedulable", waiting_message="no node")
    existing.machine.observe(waits, existing.now)
    existing.machine.observe(pod._replace(version=5), existing.now)
    step(existing)

    assert entries(existing)["a"] == ("Pending", "Unschedulable")


@pytest.mark.parametrize(
    ("waiting", "want"),
    [
        pytest.param(
            {"waiting_reason": "ImagePullFailed", "waiting_message": "no such image"}, "ImagePullFailed", id="image"
        ),
        pytest.param({"waiting_reason": "Unschedulable", "waiting_message": "no node"}, "Unschedulable", id="no node"),
        pytest.param({}, "QueueTimeout", id="no known cause"),
    ],
)
def test_a_pod_that_does_not_start_in_time_ends_as_timed_out_for_what_it_waits_for(waiting, want):
    existing = world("tasks: [{name: a, queueTimeout: 60s}]")
    step(existing)
    (pod,) = existing.live_pods()
    seen = AttemptSeen(pod.key, 1, 0, 0, pod.pod, pod.uid, START, **waiting)
    existing.pods[pod.pod] = seen
    existing.repeat(seen)
    existing.now += 61
    finish(existing)

    assert entries(existing)["a"] == ("TimedOut", want)
    words = f": {waiting['waiting_message']}" if waiting else ""
    assert existing.status["tasks"][0]["message"] == f"not started within queueTimeout{words}"


def test_a_task_that_a_quota_holds_times_out_though_it_never_had_a_pod():
    existing = world("tasks: [{name: a, queueTimeout: 60s}]")
    create = existing.machine.advance(START).creates[0]
    existing.machine.observe(CreateHeld(TaskInstanceKey("a"), 1, "exceeded quota: pods"), START)
    existing.flush()
    existing.crash()
    existing.now += 61
    existing.machine.observe(CreateHeld(TaskInstanceKey("a"), 1, "exceeded quota: pods"), existing.now)

    finish(existing)

    assert entries(existing)["a"] == ("TimedOut", "QuotaExceeded")
    assert existing.status["tasks"][0]["message"] == "not started within queueTimeout: exceeded quota: pods"
    assert not existing.machine.is_wanted(create)


def test_an_attempt_whose_create_may_yet_succeed_is_not_finished_before_that_is_known():
    existing = world("tasks: [{name: a, queueTimeout: 60s, retry: {limit: 1}}]")
    create = existing.machine.advance(START).creates[0]
    existing.flush()

    late = existing.machine.advance(START + 61)
    existing.flush()
    assert (late.creates, [verify.key.task for verify in late.verifies]) == ([], ["a"])
    assert not existing.machine.is_wanted(create)
    existing.machine.observe(CreateHeld(create.key, 1, "exceeded quota: pods"), START + 61)
    assert existing.status["tasks"][0]["attempt"] == 1
    existing.machine.observe(AttemptGone(create.key, 1), START + 62)
    existing.now += 62
    step(existing)

    assert existing.status["tasks"][0]["attempt"] == 2


def test_a_pod_that_appears_after_its_queue_timeout_is_stopped_before_anything_follows():
    existing = world("tasks: [{name: a, queueTimeout: 60s}, {name: b, dependsOnStates: [{task: a, states: [Failed]}]}]")
    create = existing.machine.advance(START).creates[0]
    existing.machine.advance(START + 61)
    seen = AttemptSeen(create.key, 1, 0, 0, "run-a-x", "uid-a", START + 61)
    existing.machine.observe(seen, START + 61)
    assert existing.machine.advance(START + 61).stops == []
    existing.flush()

    stopping = existing.machine.advance(START + 62)
    assert ([stop.uid for stop in stopping.stops], stopping.creates) == (["uid-a"], [])
    ended = Outcome(Cause.FAILURE, START + 63, Reason.EXIT_CODE, "killed", 143)
    existing.machine.observe(seen._replace(is_deleting=True, outcome=ended, is_finished=True), START + 63)

    assert [create.key.task for create in existing.machine.advance(START + 63).creates] == ["b"]


@pytest.mark.parametrize("is_deleted", [False, True], ids=["that ends by itself", "that is deleted"])
def test_an_attempt_counts_as_stopped_only_once_that_is_stored(is_deleted):
    # Until then a crash would lose the reason, and the Pod alone would decide: as an eviction, which is retried.
    existing = world("tasks: [{name: a, timeout: 60s}, {name: b, dependsOnStates: [{task: a, states: [Failed]}]}]")
    step(existing)
    (pod,) = existing.live_pods()
    existing.progress(pod)
    step(existing)
    existing.now += 61
    existing.machine.advance(existing.now)
    if is_deleted:
        existing.machine.observe(AttemptGone(pod.key, 1), existing.now)
    else:
        ended = Outcome(Cause.DISRUPTION, existing.now, Reason.EVICTED, "evicted")
        existing.machine.observe(existing.pods[pod.pod]._replace(outcome=ended, is_finished=True), existing.now)
    assert existing.machine.advance(existing.now).creates == []
    existing.flush()

    assert [create.key.task for create in existing.machine.advance(existing.now).creates] == ["b"]
    existing.flush()
    assert entries(existing)["a"] == ("TimedOut", "DeadlineExceeded")


def test_a_deadline_ends_all_attempts_whatever_is_left_of_the_budget():
    existing = world("tasks: [{name: a, deadline: 100s, retry: {limit: 50, delay: 30s}}]", ALWAYS_FAILS)

    finish(existing)

    assert entries(existing)["a"] == ("TimedOut", "TaskDeadlineExceeded")
    assert existing.status["tasks"][0]["exitCode"] == 1, "of the last attempt"
    assert existing.status["failedTasks"] == 1, "as the column FAILED shows, whatever the state"
    assert len(existing.created) == 4
    assert existing.now == pytest.approx(START + 100)


@pytest.mark.parametrize(
    ("retry", "attempts", "words"),
    [
        pytest.param(
            "limit: 3, when: 'failure.exitCode > 1'", 1, "retry.when is false", id="a condition that is false"
        ),
        pytest.param("limit: 3, when: 'failure.attempt < 3'", 3, "retry.when is false", id="as long as it is true"),
        pytest.param("limit: 3, when: 'failure.attempt / 0 > 1'", 1, "retry.when: ", id="a condition without a value"),
        pytest.param(
            "limit: 3, nonRetryableExitCodes: [1, 7]", 1, "exit code 1 is one of", id="an exit code of the list"
        ),
        pytest.param("limit: 3, nonRetryableExitCodes: [7]", 4, "exit code 1", id="another exit code"),
    ],
)
def test_a_failure_that_is_final_is_not_tried_again(retry, attempts, words):
    existing = world(f"tasks: [{{name: a, retry: {{{retry}}}}}]", failing("a"))

    finish(existing)

    assert len(existing.created) == attempts
    assert words in existing.status["tasks"][0]["message"]


def test_a_condition_of_retries_does_not_apply_to_disruptions():
    existing = world("tasks: [{name: a, retry: {when: 'false', infrastructure: 2}}]", ALWAYS_EVICTED)

    finish(existing)

    assert len(existing.created) == 3
    assert entries(existing)["a"] == ("Crashed", "Evicted")


# The cache


def test_a_hit_reuses_outputs_and_makes_no_pod():
    existing = world("tasks: [{name: a, cache: {key: '$(run.name)'}}, {name: b, args: ['$(tasks.a.outputs.x)']}]")
    (question,) = existing.machine.advance(START).cache
    existing.machine.observe(CacheHit(TaskInstanceKey("a"), {"x": "old"}, "yesterday"), START)
    (create,) = existing.machine.advance(START).creates
    existing.flush()

    assert isinstance(question, AskCache)
    assert inputs_of(create).args == ["old"]
    assert existing.status["tasks"][0] == {
        "name": "a",
        "state": "Cached",
        "run": "yesterday",
        "outputs": {"x": "old"},
        "completionTime": "1970-01-12T13:46:40Z",
    }


def test_a_miss_runs_the_task_and_gives_its_outputs_to_the_cache():
    existing = world("tasks: [{name: a, cache: {key: k, ttl: 1h}}]")
    (question,) = existing.machine.advance(START).cache
    existing.machine.observe(CacheBusy(TaskInstanceKey("a"), "run other runs it"), START)
    existing.flush()
    busy = entries(existing)["a"]
    existing.machine.observe(CacheMiss(TaskInstanceKey("a")), START)
    step(existing)
    for _ in range(2):
        existing.progress(next(iter(existing.pods.values())))
    settled = existing.machine.advance(existing.now).cache
    outcome = next(iter(existing.pods.values())).outcome

    assert busy == ("Queued", "CacheBusy")
    assert outcome is not None
    assert settled == [ReleaseCacheLock(TaskInstanceKey("a"), question.digest, 3600.0, outcome.outputs)]


def test_a_task_that_fails_gives_the_lock_back_without_outputs():
    existing = world("tasks: [{name: a, cache: {key: k}}]", failing("a"))
    existing.machine.advance(START)
    existing.machine.observe(CacheMiss(TaskInstanceKey("a")), START)
    step(existing)
    for _ in range(2):
        existing.progress(next(iter(existing.pods.values())))
    (settled,) = existing.machine.advance(existing.now).cache

    assert isinstance(settled, ReleaseCacheLock)
    assert settled.outputs is None


def test_keys_distinguish_flows_tasks_commands_and_items():
    def digests(task: str) -> set[str]:
        return {question.digest for question in world(f"tasks: [{task}]").machine.advance(START).cache}

    each = digests("{name: a, forEach: {count: 3}, cache: {key: '$(index)'}}")
    same = digests("{name: a, forEach: {count: 3}, cache: {key: 'all'}}")
    plain, other = digests("{name: a, cache: {key: k}}"), digests("{name: b, cache: {key: k}}")
    changed = digests("{name: a, cache: {key: k}, command: [x]}")

    assert (len(each), len(same)) == (3, 1)
    assert len(plain | other | changed) == 3


# What a status can hold


def test_the_history_of_tasks_stays_within_its_budget_and_the_latest_keeps_most():
    tasks = ", ".join(f"{{name: t{number}, retry: {{limit: 3}}}}" for number in range(200))
    existing = world(
        f"failurePolicy: Continue\ntasks: [{tasks}]",
        lambda *_: Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, "x" * 2000, 1),
    )

    finish(existing)

    history = [
        len(str(entry.get("attempts", ""))) + len(entry.get("message", "")) for entry in existing.status["tasks"]
    ]
    assert sum(history) < HISTORY_BYTES * 1.1
    assert {entry["state"] for entry in existing.status["tasks"]} == {"Failed"}
    assert sum(bool(entry.get("message")) for entry in existing.status["tasks"]) > 50


def test_five_thousand_skipped_tasks_fit_a_status():
    tasks = ", ".join(f"{{name: t{number}, dependsOn: [first]}}" for number in range(4999))
    existing = world(f"tasks: [{{name: first}}, {tasks}]", failing("first"))

    finish(existing)

    assert existing.status["counts"] == {"Failed": 1, "Skipped": 4999}
    assert len(str(existing.status)) < 1024 * 1024


# Retried runs


def test_a_retry_that_keeps_every_task_runs_finally_under_a_clock_of_its_own():
    flow = "finallyTimeout: 60s\ntasks: [{name: a}]\nfinally: [{name: clean}]"
    before = world(flow, failing("clean"))
    finish(before)
    later = START + 86400
    existing = world(flow, now=later, kept=before.status["tasks"])

    finish(existing)

    assert entries(existing) == {"a": ("Completed", None), "clean": ("Completed", None)}
    assert created(existing) == ["clean"]
    assert existing.status["completionTime"] >= existing.status["startTime"]


def test_a_child_that_is_nested_too_deep_is_not_tried_again():
    outcome = Outcome(Cause.FAILURE, 0.0, Reason.TOO_DEEP, "a calls b calls a")
    existing = world("tasks: [{name: a, flow: {name: b}, retry: {limit: 5}}]", lambda *_: outcome)

    finish(existing)

    assert entries(existing)["a"] == ("Failed", "TooDeep")
    assert len(existing.created) == 1


@pytest.mark.parametrize(
    ("flow", "skipped", "state", "after"),
    [
        pytest.param("flow: {name: b}", {None}, "Skipped", "UpstreamSkipped", id="a task"),
        pytest.param("forEach: {count: 3}, flow: {name: b}", {0, 1, 2}, "Skipped", "UpstreamSkipped", id="all items"),
        pytest.param("forEach: {count: 3}, flow: {name: b}", {1}, "Skipped", "UpstreamSkipped", id="one item"),
        pytest.param(
            "forEach: {count: 3}, allowFailed: 1, flow: {name: b}",
            {1},
            "Completed",
            None,
            id="as few as may fail",
        ),
    ],
)
def test_what_a_skipped_child_run_was_to_do_is_not_done(flow, skipped, state, after):
    def fate(key, attempt):
        if key.item in skipped and key.task == "a":
            return Outcome(Cause.NOT_RUN, 0.0, Reason.CHILD_SKIPPED, "child run c is Skipped: ConcurrencyLimit")
        return ALWAYS_WELL(key, attempt)

    existing = world(f"tasks: [{{name: a, retry: {{limit: 3}}, {flow}}}, {{name: z, dependsOn: [a]}}]", fate)

    finish(existing)

    entry = existing.status["tasks"][0]
    assert (entry["state"], entry.get("failures", 0)) == (state, 0)
    assert "kipped" in entry["message"]
    assert entries(existing)["z"][1] == after
    assert existing.status["state"] == state
    assert existing.build().is_finished_and_stored


@pytest.mark.parametrize(
    ("flow", "state"),
    [
        pytest.param("tasks: [{name: a, flow: {name: b}}]", "Skipped", id="the only task"),
        pytest.param(
            "tasks: [{name: a, flow: {name: b}}, {name: y, when: 'false'}, {name: z, dependsOn: [a]}]",
            "Skipped",
            id="all that a condition and dependencies left",
        ),
        pytest.param(
            "tasks: [{name: a, flow: {name: b}}]\nfinally: [{name: f}]", "Skipped", id="all but a finally task"
        ),
        pytest.param(
            "tasks: [{name: a, flow: {name: b}}]\noutputs: {rows: $(tasks.a.outputs.rows)}",
            "Skipped",
            id="what the outputs refer to",
        ),
        pytest.param("tasks: [{name: a, flow: {name: b}}, {name: z}]", "Completed", id="one task of two"),
        pytest.param("tasks: [{name: a, flow: {name: b}, when: 'false'}]", "Completed", id="nothing: a condition is"),
    ],
)
def test_a_run_none_of_whose_tasks_was_done_because_a_child_was_skipped_is_skipped(flow, state):
    why = "child run c is Skipped: ConcurrencyLimit"

    def fate(key, attempt):
        return Outcome(Cause.NOT_RUN, 0.0, Reason.CHILD_SKIPPED, why) if key.task == "a" else ALWAYS_WELL(key, attempt)

    existing = world(flow, fate)

    finish(existing)

    status = existing.status
    assert status["state"] == state
    wanted = ("ChildSkipped", f"task a skipped: {why}") if state == "Skipped" else (None, None)
    assert (status.get("reason"), status.get("message")) == wanted
    assert status["conditions"][0]["status"] == "True"
    assert existing.build().is_finished_and_stored


def test_a_finally_task_sees_that_its_run_was_skipped():
    def fate(key, attempt):
        return Outcome(Cause.NOT_RUN, 0.0, Reason.CHILD_SKIPPED) if key.task == "a" else ALWAYS_WELL(key, attempt)

    existing = world(
        "tasks: [{name: a, flow: {name: b}}]\nfinally: [{name: f, when: \"run.state == 'Skipped'\"}]", fate
    )

    finish(existing)

    assert entries(existing)["f"] == ("Completed", None)


# What expressions see of the run


@pytest.mark.parametrize(
    "condition", ["run.name == 'run'", "run.scheduledTime == ''", "run.name.startsWith('r') && run.namespace != ''"]
)
def test_conditions_over_the_run_hold_for_one_without_a_scheduled_time(condition):
    existing = world(f'tasks: [{{name: a, when: "{condition}"}}]')

    finish(existing)

    assert entries(existing)["a"] == ("Completed", None)


def test_a_condition_of_a_finally_task_can_ask_how_the_run_went():
    existing = world("tasks: [{name: a}]\nfinally: [{name: page, when: \"run.state == 'Failed'\"}]", failing("a"))

    finish(existing)

    assert entries(existing)["page"] == ("Completed", None)


def test_a_change_of_the_spec_is_stored_as_seen_though_nothing_follows_from_it():
    existing = world("tasks: [{name: a}]")
    start(existing)
    existing.change(timeout_s=3600.0)

    assert existing.machine.advance(existing.now).is_changed
