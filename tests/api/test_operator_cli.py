"""The command line and the real operator together: what is typed, and what becomes of the run."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.command_line import Start, once
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


@pytest.fixture
def stage(scene: Scene, operator: Replica) -> Scene:
    """The test's namespace, with the operator at work."""
    return scene


def test_a_run_is_approved_while_it_is_watched(stage, typed: Start):
    flow = [
        task("load"),
        {"name": "sign-off", "dependsOn": ["load"], "approval": {"message": "Publish $(params.day)?"}},
    ]
    stage.create("Flow", "orders", {"params": [{"name": "day"}], "tasks": flow})

    async def scenario() -> None:
        command = await typed("run", "orders", "-p", "day=today", "--name", "run", "--watch")
        question = await command.line("sign-off is waiting for approval: Publish today?; run ")
        assert "penstock approve run sign-off -n " in question
        decision = await typed("approve", "run", "-m", "go")
        assert await decision.end() == 0
        assert await command.end() == 0
        assert command.lines[-1].startswith("FlowRun run Completed in ")

    asyncio.run(scenario())
    assert stage.finish()["state"] == "Completed"


def test_a_rejected_run_fails_with_the_comment_and_describe_shows_it(stage, typed: Start):
    stage.start({"name": "sign-off", "approval": {}}, task("report", dependsOn=["sign-off"]))
    stage.reach("Paused")
    assert once(typed, "reject", "run", "sign-off", "-m", "numbers are off")[0] == 0
    assert stage.finish()["state"] == "Failed"
    exit_code, lines = once(typed, "reject", "run")
    assert exit_code == 1
    assert "has finished (Failed)" in lines[0]
    _, lines = once(typed, "describe", "run")
    assert '  decided    sign-off: Reject: "numbers are off"' in lines
    assert any(line.startswith("  Rejected (sign-off): ") for line in lines)


def test_a_suspended_run_starts_nothing_until_it_is_resumed(stage, typed: Start):
    stage.start(task("first", pod_run_for="10s"), task("second", dependsOn=["first"]))
    stage.running_pod("first")
    assert once(typed, "suspend", "run")[0] == 0
    stage.reach_task("Completed", "first")
    stage.reach("Paused")
    assert [pod for pod in stage.pods(ever=True) if pod.metadata.labels["penstock.dev/task"] == "second"] == []
    assert once(typed, "resume", "run")[0] == 0
    assert stage.finish()["state"] == "Completed"


@pytest.mark.parametrize(
    ("words", "slow", "clean"),
    [
        pytest.param((), "Cancelled", "Completed", id="cancel stops what runs, then finally runs"),
        pytest.param(("--drain",), "Completed", "Completed", id="drain lets it end, then finally runs"),
        pytest.param(("--now",), "Cancelled", "Skipped", id="now stops everything"),
    ],
)
def test_a_run_is_ended_early(stage, typed: Start, words, slow, clean):
    run_for = "10s" if slow == "Completed" else "10m"
    stage.start(task("slow", pod_run_for=run_for), task("after", dependsOn=["slow"]), **{"finally": [task("clean")]})
    stage.running_pod("slow")
    assert once(typed, "cancel", "run", *words)[0] == 0
    status = stage.finish()
    states = {entry["name"]: entry["state"] for entry in status["tasks"]}
    assert (status["state"], states["slow"], states["clean"]) == ("Cancelled", slow, clean)
    assert states["after"] in {"Cancelled", "Skipped"}
    exit_code, lines = once(typed, "watch", "run")
    assert exit_code == 1
    assert lines[-1].startswith("FlowRun run Cancelled")


def test_a_failed_run_is_retried_and_keeps_what_was_done(stage, typed: Start):
    spec = {"tasks": [task("load"), task("report", dependsOn=["load"], pod_exit_code="1")]}
    stage.create("Flow", "orders", spec)
    assert once(typed, "run", "orders", "--name", "run", "--wait")[0] == 1
    stage.patch("Flow", "orders", {"spec": {"tasks": [task("load"), task("report", dependsOn=["load"])]}})
    exit_code, lines = once(typed, "retry", "run", "--latest", "--name", "again", "--watch")
    assert exit_code == 0, lines
    assert any("load" in line and "reused from run run" in line for line in lines)
    assert stage.finish("again")["state"] == "Completed"
    assert [attempt.task for attempt in stage.ever_attempts("again")] == ["report"]


def test_a_child_run_is_seen_in_its_parent_and_its_approval_is_asked_for(stage, typed: Start):
    stage.create("Flow", "child", {"tasks": [{"name": "sign-off", "approval": {}}]})
    stage.create("Flow", "orders", {"tasks": [{"name": "call", "flow": {"name": "child"}}]})

    async def scenario() -> None:
        command = await typed("run", "orders", "--name", "run", "--watch")
        question = await command.line("sign-off is waiting for approval; run penstock approve ")
        child = question.split("penstock approve ")[1].split()[0]
        assert child == stage.entry("call")["run"]
        decision = await typed("approve", child)
        assert await decision.end() == 0
        assert await command.end() == 0

    asyncio.run(scenario())


def test_a_run_that_is_due_later_waits_and_says_until_when(stage, typed: Start):
    stage.create("Flow", "orders", {"tasks": [task("load")]})
    assert once(typed, "run", "orders", "--name", "run", "--at", "+2h")[0] == 0
    stage.reach("Scheduled")

    async def scenario() -> None:
        command = await typed("watch", "run")
        line = await command.line("FlowRun run Scheduled")
        assert "starts in 1h59m" in line or "starts in 2h00m" in line
        ended = await typed("cancel", "run")
        assert await ended.end() == 0
        assert await command.end() == 1

    asyncio.run(scenario())


def test_a_schedule_is_run_now_and_for_a_past_tick(stage, typed: Start):
    stage.create("Flow", "orders", {"params": [{"name": "day"}], "tasks": [task("load")]})
    template = {"spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.date)"}}}
    spec = {"cron": ["30 2 1 1 *"], "startTime": "2020-01-01", "suspend": True, "runTemplate": template}
    stage.create("Schedule", "yearly", spec)
    exit_code, lines = once(typed, "schedule", "run", "yearly", "--name", "run", "--wait")
    assert (exit_code, lines[0]) == (0, "flowrun.penstock.dev/run created")
    assert lines[-1].startswith("FlowRun run Completed in ")
    tick = ("--tick", "2026-01-01T02:30", "--wait")
    assert once(typed, "schedule", "run", "yearly", *tick)[0] == 0
    assert once(typed, "schedule", "run", "yearly", *tick)[0] == 0, "it runs again"
    listing = stage.custom.list_namespaced_custom_object("penstock.dev", "v1alpha1", stage.namespace, "flowruns")
    runs = [run for run in listing["items"] if run["metadata"]["name"] != "run"]
    assert [run["spec"]["params"] for run in runs] == [{"day": "2026-01-01"}] * 2


@pytest.fixture
def completed(stage: Scene) -> Scene:
    """A completed run of a Flow of which each task refers to another param."""
    flow = [
        task("list", args=["$(params.day)"]),
        task("load", dependsOn=["list"], forEach={"count": 3}, args=["$(index)"], pod_outputs='{"rows": 1}'),
        task("report", dependsOn=["load"], args=["$(params.title)"]),
        task("alone"),
    ]
    params = [{"name": "day"}, {"name": "title", "default": "sales"}]
    stage.create("Flow", "orders", {"params": params, "tasks": flow})
    stage.start_of("orders", params={"day": "monday"})
    assert stage.finish()["state"] == "Completed"
    return stage


def attempts_of(stage: Scene, run: str) -> list[str]:
    """The tasks and items of which a run created Pods."""
    return [f"{key.task}[{key.item}]" if key.item else key.task for key in stage.ever_attempts(run)]


@pytest.mark.parametrize(
    ("words", "keeps", "runs", "created"),
    [
        pytest.param(
            ("--from", "load", "--items", "2,1"),
            "list, alone, load (items 0)",
            "load (items 1-2), report",
            ["load[1]", "load[2]", "report"],
            id="some items of a completed fan-out",
        ),
        pytest.param(("--from", "report"), "list, load, alone", "report", ["report"], id="a completed task"),
        pytest.param(("-p", "title=costs"), "list, load, alone", "report", ["report"], id="with another param"),
        pytest.param(
            ("--restart-completed",),
            "nothing",
            "list, load, report, alone",
            ["alone", "list", "load[0]", "load[1]", "load[2]", "report"],
            id="everything",
        ),
    ],
)
def test_a_completed_run_is_retried_in_part_as_the_dry_run_lists_it(
    completed, typed: Start, words, keeps, runs, created
):
    exit_code, lines = once(typed, "retry", "run", *words, "--name", "again", "--dry-run")
    assert exit_code == 0
    assert [line.split(maxsplit=1) for line in lines[:2]] == [["keeps", keeps], ["runs", runs]]
    assert lines[2] == "flowrun.penstock.dev/again created (dry run)"
    assert once(typed, "retry", "run", *words, "--name", "again", "--wait")[0] == 0
    assert attempts_of(completed, "again") == created
    assert completed.status("again")["params"]["title"] == ("costs" if "-p" in words else "sales")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--from", "lod"), 'spec.retryOf.from: run run has no task lod (did you mean "load"?)', id="task"),
        pytest.param(("--from", "load", "--items", "3"), "task load has no item 3: its items are 0 to 2", id="item"),
        pytest.param(("--items", "1"), "requires --from TASK", id="items of no task"),
        pytest.param(("-p", "dy=x"), 'the Flow has no param dy (did you mean "day"?)', id="param"),
        pytest.param((), "say what runs again with --from, -p or --restart-completed", id="nothing"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused_before_anything_is_created(completed, typed: Start, words, message):
    exit_code, (line,) = once(typed, "retry", "run", *words)
    assert exit_code == 1
    assert message in line


def test_what_no_webhook_has_checked_fails_with_the_field(completed):
    completed.create("FlowRun", "again", {"retryOf": {"name": "run", "from": "lod"}})
    status = completed.finish("again")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert "spec.retryOf.from: run run has no task lod" in status["message"]
    completed.create("FlowRun", "more", {"retryOf": {"name": "run"}, "params": {"dy": "x"}})
    assert completed.finish("more")["reason"] == "InvalidParams"


def test_a_retry_of_a_retry_that_never_started_runs_what_that_one_would_have_run(completed):
    again = {"name": "run", "from": "report"}
    completed.create("FlowRun", "again", {"retryOf": again, "params": {"title": "costs"}, "suspend": True})
    completed.reach("Paused", "again")
    completed.patch("FlowRun", "again", {"spec": {"shutdown": "Terminate"}})
    completed.finish("again")
    completed.create("FlowRun", "third", {"retryOf": {"name": "again"}})
    status = completed.finish("third")
    assert (status["state"], status["params"]["title"]) == ("Completed", "costs")
    assert attempts_of(completed, "third") == ["report"]
