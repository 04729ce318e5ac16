"""The machine, one behaviour a test; what holds for any Flow is in test_machine_properties.py."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.failure_message import describe_exit
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs
from penstock.engine.machine.facts import AttemptKind, AttemptSeen, Cause, CreateHeld, CreateRefused, Outcome
from penstock.engine.machine.machine import MAX_UNSTORED_OUTCOMES
from penstock.engine.machine.outputs_limit import OUTPUTS_BYTES
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState
from penstock.errors import StoredStatusError
from tests.simulation import START, World, fixed_fate

ALWAYS_WELL = fixed_fate(0, failure_rate=0.0, disruption_rate=0.0)
ALWAYS_FAILS = fixed_fate(0, failure_rate=1.0, disruption_rate=0.0)
ALWAYS_EVICTED = fixed_fate(0, failure_rate=0.0, disruption_rate=1.0)


def world(text: str, fate=ALWAYS_WELL, **options: Any) -> World:
    spec = FlowSpec.model_validate({"defaults": {"image": "busybox"}} | yaml.safe_load(text))
    return World(compile_plan(spec), fate, random.Random(0), **options)


def finish(world: World, *, rounds: int = 500) -> dict[str, dict[str, Any]]:
    """Let everything happen as soon as it can, and return the stored entries by task."""
    for _ in range(rounds):
        step = world.step()
        world.flush()
        live = world.live_pods()
        if live:
            for pod in live:
                world.progress(pod)
        elif world.machine.is_finished_and_stored:
            break
        elif step.wake_at is not None:
            world.now = max(world.now, step.wake_at)
    assert world.machine.is_finished_and_stored, world.status
    return {entry["name"]: entry for entry in world.status["tasks"]}


def inputs_of(create: CreateAttempt) -> ContainerInputs:
    assert isinstance(create.inputs, ContainerInputs)
    return create.inputs


def created(world: World) -> list[str]:
    return [key.task if key.item is None else f"{key.task}[{key.item}]" for key, _ in world.created]


def test_tasks_without_dependencies_start_together():
    existing = world("tasks: [{name: a}, {name: b}]")

    step = existing.machine.advance(START)

    assert {create.key.task for create in step.creates} == {"a", "b"}


def test_the_next_task_starts_in_the_step_that_observes_the_end_of_its_dependency():
    existing = world("tasks: [{name: a}, {name: b, dependsOn: [a]}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])

    step = existing.machine.advance(existing.now)

    assert [create.key.task for create in step.creates] == ["b"]


def test_outputs_reach_the_tasks_that_refer_to_them():
    existing = world(
        'tasks: [{name: a}, {name: b, args: ["$(tasks.a.outputs.text)"], '
        'env: [{name: X, value: "$(tasks.a.outputs)"}]}]'
    )
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])

    (create,) = existing.machine.advance(existing.now).creates

    assert inputs_of(create).args == ["x"]
    assert inputs_of(create).env[0]["value"].startswith('{"n":')


@pytest.mark.parametrize(
    ("flow", "fate", "want"),
    [
        pytest.param(
            "tasks: [{name: a}, {name: b, dependsOn: [a]}]",
            ALWAYS_FAILS,
            {"a": ("Failed", "ExitCode"), "b": ("Skipped", "UpstreamFailed")},
            id="a failed dependency skips the task",
        ),
        pytest.param(
            "tasks: [{name: a, when: 'false'}, {name: b, dependsOn: [a]}]",
            ALWAYS_WELL,
            {"a": ("Skipped", "ConditionFalse"), "b": ("Skipped", "UpstreamSkipped")},
            id="a skipped dependency skips the task",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, args: ['$(tasks.a.state)']}]",
            ALWAYS_WELL,
            {"a": ("Completed", None), "b": ("Completed", None)},
            id="a reference to a state waits until the task has finished",
        ),
        pytest.param(
            "tasks: [{name: a, forEach: {count: 0}}, {name: b}]",
            ALWAYS_WELL,
            {"a": ("Skipped", "NoItems"), "b": ("Completed", None)},
            id="a fan-out of nothing is skipped",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, when: 'tasks.a.outputs.missing > 1'}]",
            ALWAYS_WELL,
            {"a": ("Completed", None), "b": ("Failed", "ExpressionError")},
            id="an expression without a value fails the task",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, when: 'tasks.a.outputs.n'}]",
            ALWAYS_WELL,
            {"a": ("Completed", None), "b": ("Failed", "ExpressionError")},
            id="a condition that is not a boolean fails the task",
        ),
        pytest.param(
            "tasks: [{name: a}, {name: b, forEach: {items: '$(tasks.a.outputs.text)'}}]",
            ALWAYS_WELL,
            {"a": ("Completed", None), "b": ("Failed", "ExpressionError")},
            id="items that are not a list fail the task",
        ),
        pytest.param(
            "tasks: [{name: a, retry: {infrastructure: 0}}]",
            ALWAYS_EVICTED,
            {"a": ("Crashed", "Evicted")},
            id="a disruption without budget crashes the task",
        ),
    ],
)
def test_a_task_ends_as_its_reason_says(flow, fate, want):
    entries = finish(world(flow, fate))

    assert {name: (entry["state"], entry.get("reason")) for name, entry in entries.items()} == want


def test_five_retries_make_six_pods_and_record_the_attempts():
    existing = world("tasks: [{name: a, retry: {limit: 5}}]", ALWAYS_FAILS)

    entries = finish(existing)

    assert existing.created == [(TaskInstanceKey("a"), attempt) for attempt in range(1, 7)]
    assert entries["a"]["failures"] == 6
    assert [attempt["exitCode"] for attempt in entries["a"]["attempts"]] == [1] * 5


def test_evictions_do_not_use_up_the_tasks_own_retries():
    fates = iter([Outcome(Cause.DISRUPTION, 0.0, Reason.EVICTED)] * 2 + [Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE)])
    existing = world("tasks: [{name: a, retry: {limit: 0, infrastructure: 2}}]", lambda *_: next(fates))

    entries = finish(existing)

    assert (entries["a"]["state"], entries["a"]["failures"], entries["a"]["disruptions"]) == ("Failed", 1, 2)


def test_of_what_the_run_retries_by_default_a_failure_of_the_task_may_be_left_out():
    only_disruptions = "defaults: {image: busybox, retry: {limit: 0, infrastructure: 5}}\ntasks: [{name: a}]"
    existing = world(only_disruptions, ALWAYS_FAILS)

    entries = finish(existing)

    assert existing.created == [(TaskInstanceKey("a"), 1)]
    assert (entries["a"]["state"], entries["a"]["failures"]) == ("Failed", 1)


def test_a_retry_waits_for_its_delay_and_the_delay_grows():
    existing = world("tasks: [{name: a, retry: {limit: 2, delay: 10s, factor: 3}}]", ALWAYS_FAILS)
    waits = []
    for _ in range(2):
        existing.step()
        (pod,) = existing.live_pods()
        existing.progress(pod)
        existing.progress(existing.pods[pod.pod])
        step = existing.step()
        assert not step.creates
        assert step.wake_at is not None
        waits.append(step.wake_at - existing.now)
        existing.now = step.wake_at

    assert waits == [10, 30]


def test_the_event_of_a_failed_attempt_says_when_the_next_one_is_and_which_retry_it_is():
    existing = world("tasks: [{name: a, retry: {limit: 2, delay: 10s, factor: 3, jitter: 0%}}]", ALWAYS_FAILS)
    messages = []
    for _ in range(3):
        existing.step()
        (pod,) = existing.live_pods()
        existing.progress(pod)
        existing.progress(existing.pods[pod.pod])
        step = existing.step()
        messages += [notice.message for notice in step.notices if notice.reason.startswith("Task")]
        existing.now = step.wake_at or existing.now

    assert [message.partition(" (")[2] for message in messages] == [
        "attempt 1; retry 1 of 2 in 10 s)",
        "attempt 2; retry 2 of 2 in 30 s)",
        "attempt 3)",
    ]


@pytest.mark.parametrize(
    ("log", "is_retried"),
    [("busy: try later", True), ("busy\nERROR: 503", False), ("exit code 3: busy", False)],
)
def test_retry_when_sees_the_end_of_the_log_without_the_exit_code_in_front(log, is_retried):
    outcome = Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, describe_exit(3, log), 3, raw_message=log)
    existing = world(
        """tasks: [{name: a, retry: {limit: 1, when: "failure.message.matches('^busy: [a-z ]+$')"}}]""",
        lambda *_: outcome,
    )

    entry = finish(existing)["a"]

    assert entry["attempt"] == (2 if is_retried else 1)
    assert entry["message"].startswith("exit code 3: "), "people see the exit code first"


def test_the_jitter_of_a_retry_survives_a_restart():
    existing = world("tasks: [{name: a, retry: {limit: 2, delay: 100s, jitter: 50%}}]", ALWAYS_FAILS)
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])
    wake_at = existing.step().wake_at

    existing.crash()

    assert wake_at is not None
    assert existing.step().wake_at == wake_at
    assert 50 <= wake_at - existing.now <= 150


def test_nothing_new_starts_after_a_failure_but_what_runs_ends():
    existing = world(
        "tasks: [{name: bad}, {name: slow}, {name: later, dependsOn: [slow]}]",
        lambda key, attempt: (ALWAYS_FAILS if key.task == "bad" else ALWAYS_WELL)(key, attempt),
    )
    existing.step()
    bad = next(pod for pod in existing.live_pods() if pod.key.task == "bad")
    existing.progress(bad)
    existing.progress(existing.pods[bad.pod])

    entries = finish(existing)

    assert created(existing).count("later") == 0
    assert entries["slow"]["state"] == "Completed"
    assert (entries["later"]["state"], entries["later"]["reason"]) == ("Skipped", "RunStopping")
    assert existing.status["state"] == "Failed"
    assert "bad" in existing.status["message"]


def test_an_attempt_past_its_timeout_is_stopped_only_once_the_reason_is_stored():
    existing = world("tasks: [{name: a, timeout: 60s}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.flush()
    wake_at = existing.step().wake_at
    assert wake_at == existing.now + 60
    existing.now = wake_at

    before = existing.machine.advance(existing.now)
    existing.flush()
    after = existing.machine.advance(existing.now)

    assert before.stops == []
    assert existing.status["tasks"][0]["stopping"] == "DeadlineExceeded"
    assert [stop.pod for stop in after.stops] == [pod.pod]


def test_the_stored_reason_beats_the_exit_code():
    existing = world("tasks: [{name: a, timeout: 60s}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.now += 60
    existing.step()
    existing.flush()
    existing.crash()
    existing.progress(existing.pods[pod.pod])

    entries = finish(existing)

    assert (entries["a"]["state"], entries["a"]["reason"]) == ("TimedOut", "DeadlineExceeded")


def test_an_attempt_that_timed_out_is_retried_while_its_budget_lasts():
    existing = world("tasks: [{name: a, timeout: 60s, retry: {limit: 1}}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.now += 60
    existing.step()
    existing.flush()
    existing.step()

    entries = finish(existing)

    assert (entries["a"]["state"], entries["a"]["attempt"]) == ("Completed", 2)


def test_a_run_past_its_timeout_stops_what_runs_and_keeps_what_is_done():
    existing = world("timeout: 100s\ntasks: [{name: a}, {name: b, dependsOn: [a]}, {name: c, dependsOn: [b]}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.progress(existing.pods[pod.pod])
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    existing.now = START + 100

    for _ in range(4):
        existing.step()
        existing.flush()

    states = {entry["name"]: (entry["state"], entry.get("reason")) for entry in existing.status["tasks"]}
    assert existing.status["state"] == "TimedOut"
    assert states == {
        "a": ("Completed", None),
        "b": ("Cancelled", "RunTimedOut"),
        "c": ("Skipped", "UpstreamFailed"),
    }


def test_a_fan_out_never_runs_more_items_than_max_parallel():
    existing = world("tasks: [{name: a, forEach: {count: 10}, maxParallel: 3}]")
    most = 0
    for _ in range(100):
        existing.step()
        existing.flush()
        live = existing.live_pods()
        most = max(most, len(live))
        if not live:
            break
        existing.progress(live[0])

    assert most == 3
    assert len(existing.created) == 10
    assert existing.status["state"] == "Completed"


def test_the_items_of_a_matrix_are_its_combinations():
    existing = world("tasks: [{name: a, forEach: {matrix: {x: [1, 2, 3], y: [a, b]}}, args: ['$(item.x)$(item.y)']}]")

    args = [inputs_of(create).args[0] for create in existing.machine.advance(START).creates]

    assert args == ["1a", "1b", "2a", "2b", "3a", "3b"]


def test_items_outputs_are_gathered_in_order_whatever_ends_first():
    existing = world(
        "tasks: [{name: a, forEach: {count: 5}}, {name: b, args: ['$(tasks.a.outputs)']}]",
        lambda key, _: Outcome(Cause.SUCCESS, 0.0, exit_code=0, outputs={"n": key.item}),
    )
    existing.step()
    for pod in reversed(existing.live_pods()):
        existing.progress(pod)
        existing.progress(existing.pods[pod.pod])

    (create,) = existing.machine.advance(existing.now).creates

    assert inputs_of(create).args == ['[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4}]']


def test_one_item_that_fails_is_retried_alone():
    existing = world(
        "tasks: [{name: a, forEach: {count: 3}, retry: {limit: 1}}]",
        lambda key, attempt: (ALWAYS_FAILS if (key.item, attempt) == (1, 1) else ALWAYS_WELL)(key, attempt),
    )

    entries = finish(existing)

    assert sorted(existing.created) == [
        (TaskInstanceKey("a", 0), 1),
        (TaskInstanceKey("a", 1), 1),
        (TaskInstanceKey("a", 1), 2),
        (TaskInstanceKey("a", 2), 1),
    ]
    assert entries["a"]["items"]["indexes"] == {"Completed": "0-2"}
    assert entries["a"]["items"]["failed"][0]["index"] == 1


def test_a_fan_out_whose_item_fails_starts_no_more_items_and_says_so():
    existing = world(
        "tasks: [{name: a, forEach: {count: 5}, maxParallel: 1}]",
        lambda key, attempt: (ALWAYS_FAILS if key.item == 1 else ALWAYS_WELL)(key, attempt),
    )

    entries = finish(existing)

    assert created(existing) == ["a[0]", "a[1]"]
    assert entries["a"]["state"] == "Failed"
    assert entries["a"]["message"] == ("item 1: exit code 1; 1 of 5 items failed, 3 not started")


def test_ten_thousand_items_fit_an_entry_of_64_kib():
    existing = world(
        "tasks: [{name: a, forEach: {count: 10000}, maxParallel: 500}]", lambda *_: Outcome(Cause.SUCCESS, 0.0)
    )
    existing.step()
    for _ in range(3):
        for pod in existing.rng.sample(existing.live_pods(), 250):
            existing.progress(pod)
            existing.progress(existing.pods[pod.pod])
        existing.step()
    existing.flush()

    assert len(str(existing.status["tasks"][0])) < 64 * 1024


def test_items_outputs_beyond_the_budget_are_dropped_with_a_reason():
    existing = world(
        "tasks: [{name: a, forEach: {count: 20}}]", lambda *_: Outcome(Cause.SUCCESS, 0.0, outputs={"x": "y" * 3000})
    )

    entries = finish(existing)

    assert (entries["a"]["state"], entries["a"]["reason"]) == ("Completed", "OutputsDropped")
    assert "outputs" not in entries["a"]


def test_outputs_beyond_the_runs_budget_fail_the_task_that_exceeds_it():
    tasks = ", ".join(f"{{name: t{number}}}" for number in range(OUTPUTS_BYTES // 4000 + 1))
    existing = world(f"tasks: [{tasks}]", lambda *_: Outcome(Cause.SUCCESS, 0.0, outputs={"x": "y" * 4000}))

    entries = finish(existing)

    assert [entry["reason"] for entry in entries.values() if entry["state"] == "Failed"] == ["InvalidOutputs"]


def test_a_run_with_too_many_unstored_outcomes_creates_nothing():
    existing = world(f"tasks: [{{name: a, forEach: {{count: {MAX_UNSTORED_OUTCOMES}}}}}, {{name: b, dependsOn: [a]}}]")
    existing.step()
    for pod in existing.live_pods():
        existing.progress(pod)
        existing.progress(existing.pods[pod.pod])

    before = existing.machine.advance(existing.now)
    existing.flush()
    after = existing.machine.advance(existing.now)

    assert before.creates == []
    assert [create.key.task for create in after.creates] == ["b"]


def test_a_pod_that_an_earlier_leader_created_is_adopted_with_its_counters():
    existing = world("tasks: [{name: a, retry: {limit: 3}}]", ALWAYS_FAILS)
    existing.machine.observe(AttemptSeen(TaskInstanceKey("a"), 3, 2, 0, "pod-3", "uid-3", START), START)

    step = existing.machine.advance(START)
    existing.flush()

    assert step.creates == []
    assert (existing.status["tasks"][0]["attempt"], existing.status["tasks"][0]["failures"]) == (3, 2)


def test_a_pod_of_an_attempt_that_was_never_made_counts_only_before_the_first_step():
    # After a restart it may be one whose status was never stored; later it can only be somebody else's.
    existing = world("tasks: [{name: a}, {name: b, dependsOn: [a]}]")
    existing.step()
    for task, attempt in (("a", 50), ("b", 1)):
        seen = AttemptSeen(TaskInstanceKey(task), attempt, 0, 0, f"forged-{task}", f"uid-{task}", START)
        existing.repeat(seen)
    existing.flush()

    assert existing.machine.advance(START).creates == []
    assert [(entry["state"], entry.get("attempt")) for entry in existing.status["tasks"]] == [
        ("Pending", 1),
        ("Pending", None),
    ]


@pytest.mark.parametrize("item", [-1, 2, 10**9])
def test_a_pod_of_an_item_that_does_not_exist_changes_nothing(item):
    existing = world("tasks: [{name: a, forEach: {count: 2}}]")
    existing.step()
    forged = AttemptSeen(TaskInstanceKey("a", item), 1, 0, 0, "forged", "forged-uid", START, is_finished=True)
    assert existing.machine.is_news(forged._replace(is_tracked=False))
    existing.repeat(forged)

    step = existing.machine.advance(START)
    assert (step.creates, step.stops, step.finalizer_removals) == ([], [], [])


def test_a_pod_of_the_same_name_with_another_uid_is_not_the_one_of_the_attempt():
    existing = world("tasks: [{name: a}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.progress(pod)
    ended = Outcome(Cause.SUCCESS, START, exit_code=0, outputs={"amount": 1_000_000})
    existing.pods[pod.pod] = pod._replace(uid="another", outcome=ended, is_finished=True)
    existing.repeat(existing.pods[pod.pod])
    existing.now += 60
    existing.step()
    existing.step()
    existing.flush()

    (entry,) = existing.status["tasks"]
    assert (entry["attempt"], entry["disruptions"], entry.get("outputs")) == (2, 1, None)
    assert existing.created == [(pod.key, 1), (pod.key, 2)]


def test_after_a_restart_a_pod_counts_by_its_name_and_then_by_its_uid():
    existing = world("tasks: [{name: a}]")
    existing.step()
    existing.flush()
    (pod,) = existing.live_pods()
    existing.crash()
    existing.step()
    ended = Outcome(Cause.SUCCESS, START, exit_code=0)

    existing.repeat(pod._replace(uid="another", outcome=ended, is_finished=True))
    existing.flush()

    assert existing.status["tasks"][0]["state"] != "Completed"


@pytest.mark.parametrize(
    ("flow", "kinds"),
    [
        pytest.param("tasks: [{name: a}]", [AttemptKind.JOB, AttemptKind.CHILD_RUN], id="a Pod"),
        pytest.param(
            "tasks: [{name: a, workload: Job}]",
            [AttemptKind.POD, AttemptKind.CHILD_RUN],
            id="a Job",
        ),
        pytest.param("tasks: [{name: a, flow: {name: x}}]", [AttemptKind.POD, AttemptKind.JOB], id="a child run"),
        pytest.param("tasks: [{name: a, approval: {message: x}}]", list(AttemptKind), id="an approval"),
    ],
)
def test_an_attempt_is_carried_by_the_kind_of_object_that_its_task_needs_alone(flow, kinds):
    existing = world(flow)
    existing.step()
    existing.flush()
    before = existing.status["tasks"]
    ended = Outcome(Cause.SUCCESS, START, exit_code=0)
    for kind in kinds:
        existing.machine.observe(
            AttemptSeen(TaskInstanceKey("a"), 1, 0, 0, "x", "x", START, outcome=ended, kind=kind), START
        )

    existing.step()
    existing.flush()

    assert existing.status["tasks"] == before


def test_a_stored_running_attempt_whose_pod_is_not_listed_is_looked_for():
    existing = world("tasks: [{name: a}]")
    existing.step()
    existing.progress(existing.live_pods()[0])
    existing.flush()
    existing.pods.clear()
    existing.crash()

    (verify,) = existing.machine.advance(existing.now).verifies

    assert (verify.key, verify.attempt) == (TaskInstanceKey("a"), 1)


def test_a_pod_that_vanished_while_it_ran_is_a_disruption():
    existing = world("tasks: [{name: a}]")
    existing.step()
    existing.progress(existing.live_pods()[0])
    existing.flush()
    existing.pods.clear()
    existing.crash()
    existing.step()

    entries = finish(existing)

    assert (entries["a"]["state"], entries["a"]["attempt"], entries["a"]["disruptions"]) == ("Completed", 2, 1)


def test_a_stored_attempt_that_was_never_created_is_created_under_the_same_number():
    existing = world("tasks: [{name: a}]")
    existing.machine.advance(START)
    existing.flush()
    existing.crash()

    (create,) = existing.machine.advance(START).creates

    assert (create.key, create.attempt) == (TaskInstanceKey("a"), 1)


def test_a_create_that_a_quota_holds_is_queued_and_uses_no_attempt():
    existing = world("tasks: [{name: a}]")
    existing.machine.advance(START)
    existing.machine.observe(CreateHeld(TaskInstanceKey("a"), 1, "exceeded quota: pods"), START)
    existing.flush()

    entry = existing.status["tasks"][0]

    assert (entry["state"], entry["reason"], entry["attempt"]) == ("Queued", "QuotaExceeded", 1)


def test_a_refused_pod_fails_the_task_with_the_api_servers_words():
    existing = world("tasks: [{name: a}]")
    existing.machine.advance(START)
    existing.machine.observe(CreateRefused(TaskInstanceKey("a"), 1, "violates PodSecurity"), START)

    entries = finish(existing)

    assert (entries["a"]["reason"], entries["a"]["message"]) == ("CreateRefused", "violates PodSecurity")


def test_flow_outputs_come_from_the_tasks():
    existing = world(
        "tasks: [{name: a}]\noutputs: {copy: '$(tasks.a.outputs.text)', text: 'n is $(tasks.a.outputs.n)'}"
    )

    finish(existing)

    assert existing.status["outputs"]["copy"] == "x"
    assert existing.status["outputs"]["text"].startswith("n is ")


def test_a_completed_run_whose_outputs_have_no_value_fails_and_says_which():
    existing = world("tasks: [{name: a, when: 'false'}]\noutputs: {x: '$(tasks.a.outputs.text)'}")

    finish(existing)

    assert (existing.status["state"], existing.status["reason"]) == ("Failed", "ExpressionError")
    assert existing.status["message"].startswith("outputs.x: ")


def test_a_stored_status_of_another_plan_is_refused():
    existing = world("tasks: [{name: a}]")
    existing.flush()
    existing.status["tasks"][0]["name"] = "b"

    with pytest.raises(StoredStatusError, match=r"status\.tasks does not match the run's revision"):
        existing.build()


def test_a_finished_run_is_never_changed_again():
    existing = world("tasks: [{name: a}]")
    finish(existing)

    restored = existing.build()
    step = restored.advance(existing.now + 1000)

    assert restored.state is RunState.COMPLETED
    assert (step.creates, step.stops, step.is_changed) == ([], [], False)
