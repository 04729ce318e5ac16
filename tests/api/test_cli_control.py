"""Commands that change a run, against a real API server; the tests write the statuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
from typing import Any

import pytest

from tests.api.command_line import once

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


def waiting(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "state": "Paused", "reason": "AwaitingApproval", "message": "Publish?"}
        if name.startswith("sign")
        else {"name": name, "state": "Running"}
        for name in names
    ]


def test_suspend_and_resume_write_the_spec_and_say_so(objects, typed):
    objects.create_run("r")
    assert once(typed, "suspend", "r") == (0, ["flowrun.penstock.dev/r suspended"])
    assert objects.run("r")["spec"]["suspend"] is True
    assert once(typed, "suspend", "r") == (0, ["flowrun.penstock.dev/r is already suspended"])
    assert once(typed, "resume", "r") == (0, ["flowrun.penstock.dev/r resumed"])
    assert objects.run("r")["spec"]["suspend"] is False


def test_cancel_gets_stronger_and_never_weaker(objects, typed):
    objects.create_run("r")
    for words, mode in ((("--drain",), "Drain"), ((), "Cancel"), (("--now",), "Terminate")):
        exit_code, (line,) = once(typed, "cancel", "r", *words)
        assert (exit_code, line) == (0, f"flowrun.penstock.dev/r shutting down (shutdown: {mode})")
        assert objects.run("r")["spec"]["shutdown"] == mode
    exit_code, (line,) = once(typed, "cancel", "r")
    assert exit_code == 1
    assert "FlowRun r is already shutting down with Terminate; it cannot be weakened to Cancel" in line


def test_a_finished_run_can_not_be_controlled(objects, typed):
    objects.create_run("r")
    objects.set_status("r", "Failed", is_finished=True)
    for verb in ("suspend", "resume", "cancel", "approve", "reject"):
        exit_code, (line,) = once(typed, verb, "r")
        assert (exit_code, line) == (1, f"penstock: FlowRun r has finished (Failed): there is nothing to {verb}")


class TestDecisions:
    """Of approvals."""

    def test_the_only_task_that_waits_needs_no_name(self, objects, typed):
        objects.create_run("r")
        objects.set_status("r", "Paused", *waiting("load", "sign-off"))
        assert once(typed, "approve", "r", "-m", "looks right") == (
            0,
            ["flowrun.penstock.dev/r approved (sign-off)"],
        )
        assert objects.run("r")["spec"]["approvals"] == [
            {"task": "sign-off", "decision": "Approve", "comment": "looks right"}
        ]

    def test_decisions_are_added_to_those_that_are_there(self, objects, typed):
        objects.create_run("r", approvals=[{"task": "sign-a", "decision": "Approve"}])
        objects.set_status("r", "Paused", *waiting("sign-a", "sign-b"))
        assert once(typed, "reject", "r") == (0, ["flowrun.penstock.dev/r rejected (sign-b)"])
        assert objects.run("r")["spec"]["approvals"] == [
            {"task": "sign-a", "decision": "Approve"},
            {"task": "sign-b", "decision": "Reject"},
        ]

    def test_ten_at_once_overwrite_nothing(self, objects, typed):
        names = [f"sign-{place}" for place in range(5)]
        objects.create_run("r")
        objects.set_status("r", "Paused", *waiting(*names))

        async def scenario() -> list[int]:
            words = [(verb, "r", name) for name in names for verb in ("approve", "reject")]
            commands = [await typed(*each) for each in words]
            return list(await asyncio.gather(*(command.end() for command in commands)))

        exit_codes = asyncio.run(scenario())
        approvals = objects.run("r")["spec"]["approvals"]
        assert sorted(each["task"] for each in approvals) == names
        assert sorted(exit_codes) == [0] * 5 + [1] * 5
        for name, approve_code in zip(names, exit_codes[::2], strict=True):
            (decision,) = (each["decision"] for each in approvals if each["task"] == name)
            assert (decision == "Approve") == (approve_code == 0)

    def test_several_waiting_tasks_are_named(self, objects, typed):
        objects.create_run("r")
        objects.set_status("r", "Paused", *waiting("sign-a", "sign-b"))
        exit_code, (line,) = once(typed, "approve", "r")
        assert exit_code == 1
        assert line == "penstock: 2 tasks of FlowRun r are waiting for approval; name one of sign-a, sign-b"
        assert "approvals" not in objects.run("r")["spec"]

    @pytest.mark.parametrize(
        ("task", "message"),
        [
            pytest.param("load", "task load of FlowRun r is Running, not waiting for approval", id="no approval"),
            pytest.param("sign-of", 'no task sign-of (did you mean "sign-off"?)', id="no task"),
            pytest.param("sign-a", 'sign-a of FlowRun r is already rejected ("no")', id="a decided one"),
        ],
    )
    def test_a_task_that_does_not_wait_is_rejected_with_those_that_do(self, objects, typed, task, message):
        objects.create_run("r", approvals=[{"task": "sign-a", "decision": "Reject", "comment": "no"}])
        objects.set_status("r", "Paused", *waiting("load", "sign-off", "sign-a"))
        exit_code, (line,) = once(typed, "approve", "r", task)
        assert exit_code == 1
        assert message in line
        assert len(objects.run("r")["spec"]["approvals"]) == 1


class TestRetry:
    """Of a finished run."""

    def test_it_names_the_run_and_is_named_after_the_flow(self, objects, typed):
        objects.create_run("r")
        objects.set_status("r", "Failed", is_finished=True)
        exit_code, (line,) = once(typed, "retry", "r")
        (run,) = (each for each in objects.runs() if each["metadata"]["name"] != "r")
        assert (exit_code, line) == (0, f"flowrun.penstock.dev/{run['metadata']['name']} created")
        assert run["metadata"]["name"].startswith("orders-")
        assert run["spec"] == {"retryOf": {"name": "r"}}
        assert run["metadata"]["labels"] == {"penstock.dev/flow": "orders"}

    def test_what_is_kept_is_listed_though_the_revision_cannot_be_read(self, objects, typed):
        objects.create_run("r")
        tasks = {"name": "list", "state": "Completed"}, {"name": "load", "state": "Failed"}
        objects.set_status("r", "Failed", *tasks, is_finished=True, revision="orders-gone")

        plain = once(typed, "retry", "r", "--name", "again", "--dry-run")
        part = once(typed, "retry", "r", "--name", "again", "--from", "list", "--dry-run")

        assert (plain[0], plain[1][:2], plain[1][-1]) == (
            0,
            ["keeps    list", "runs     load"],
            "flowrun.penstock.dev/again created (dry run)",
        )
        assert part[0] == 0
        assert part[1][0].startswith("what is kept cannot be listed: ConfigMap orders-gone ")

    def test_it_takes_a_name_and_the_latest_flow(self, objects, typed):
        objects.create_run("r")
        objects.set_status("r", "Cancelled", is_finished=True)
        assert once(typed, "retry", "r", "--latest", "--name", "again")[0] == 0
        assert objects.run("again")["spec"] == {"retryOf": {"name": "r", "revision": "Latest"}}

    @pytest.mark.parametrize(
        ("state", "is_finished", "message"),
        [
            pytest.param(
                "Running", False, "has not finished (Running): wait for it, or cancel it with penstock cancel r"
            ),
            pytest.param("Completed", True, "is Completed, there is nothing to retry"),
        ],
        ids=["a running run", "a completed run"],
    )
    def test_what_can_not_be_retried_is_refused(self, objects, typed, state, is_finished, message):
        objects.create_run("r")
        objects.set_status("r", state, is_finished=is_finished)
        exit_code, (line,) = once(typed, "retry", "r")
        assert exit_code == 1
        assert message in line
        assert len(objects.runs()) == 1

    def test_a_skipped_run_can_be_retried_whether_it_or_its_child_was_skipped(self, objects, typed):
        child = {"name": "load", "state": "Skipped", "reason": "ChildSkipped"}
        for name, tasks in (("never", []), ("child", [child])):
            objects.create_run(name)
            objects.set_status(name, "Skipped", *tasks, is_finished=True)

            assert once(typed, "retry", name, "--name", f"{name}-again")[0] == 0

            assert objects.run(f"{name}-again")["spec"] == {"retryOf": {"name": name}}


def test_run_takes_a_time_a_priority_and_a_timeout(objects, typed):
    before = dt.datetime.now(dt.UTC)
    words = ("run", "orders", "-p", "day=x", "--name", "r", "--at", "+2h", "--priority", "-5", "--timeout", "90m")
    exit_code, (line,) = once(typed, *words)
    spec = objects.run("r")["spec"]
    assert exit_code == 0
    assert line == f"flowrun.penstock.dev/r created, starts at {spec['scheduledTime']}"
    assert 7199 < (dt.datetime.fromisoformat(spec["scheduledTime"]) - before).total_seconds() < 7260
    assert (spec["priority"], spec["timeout"]) == (-5, "90m")


def test_watch_prints_the_commands_for_a_pending_approval(objects, typed):
    async def scenario() -> None:
        objects.create_run("r")
        command = await typed("watch", "r")
        await command.line("waiting for the operator")
        objects.set_status("r", "Paused", *waiting("load", "sign-off"))
        line = await command.line("sign-off is waiting for approval: Publish?; run ")
        assert "penstock approve r sign-off -n " in line
        assert "penstock reject r sign-off -m" in line
        objects.patch_run("r", {"spec": {"suspend": True}})
        assert "penstock resume r" in await command.line("FlowRun r is suspended")
        objects.set_status("r", "Skipped", is_finished=True)
        assert await command.end() == 3
        assert command.lines[-1] == "FlowRun r Skipped"

    asyncio.run(scenario())


def test_watch_shows_how_far_a_child_run_is(objects, typed):
    async def scenario() -> None:
        objects.create_run("r")
        child = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": {"name": "child", "labels": {"penstock.dev/parent-uid": objects.run("r")["metadata"]["uid"]}},
            "spec": {"flow": {"name": "orders"}},
        }
        objects.create(child)
        command = await typed("watch", "r")
        objects.set_status("r", "Running", {"name": "load", "state": "Running", "run": "child"})
        await command.line("load  Running    run child")
        objects.set_status("child", "Running", *waiting("sign-off"), progress="1/3")
        await command.line("load  Running    1/3  run child")
        await command.line("penstock approve child sign-off")
        objects.set_status("r", "Completed", is_finished=True)
        assert await command.end() == 0

    asyncio.run(scenario())


def test_ctrl_c_leaves_the_run_and_says_how_to_end_it(objects, typed):
    async def scenario() -> None:
        objects.create_run("r")
        command = await typed("watch", "r")
        await command.line("waiting for the operator")
        command.send(signal.SIGINT)
        assert await command.end() == 130
        assert command.lines[-1].startswith("FlowRun r continues; to cancel it: penstock cancel r -n ")
        assert "shutdown" not in objects.run("r")["spec"]

    asyncio.run(scenario())
