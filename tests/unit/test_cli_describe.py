import datetime as dt
from typing import Any

from penstock.api.flow import FlowSpec
from penstock.cli.text.run_description import describe_run
from penstock.engine.compiler.plan_compiler import compile_plan

NOW = dt.datetime(2026, 11, 22, 12, 5, tzinfo=dt.UTC)
TASKS: list[dict[str, Any]] = [
    {
        "name": "load",
        "state": "Failed",
        "attempt": 2,
        "reason": "ExitCode",
        "exitCode": 3,
        "message": "Traceback:\nKeyError: 'day'\n",
        "pod": "r-load-2",
        "node": "n1",
        "startTime": "2026-11-22T12:00:10Z",
        "completionTime": "2026-11-22T12:00:20Z",
        "attempts": [
            {
                "attempt": 1,
                "reason": "OOMKilled",
                "startTime": "2026-11-22T12:00:00Z",
                "completionTime": "2026-11-22T12:00:05Z",
            }
        ],
    },
    {"name": "report", "state": "Skipped", "reason": "UpstreamFailed", "message": "load is Failed"},
    {"name": "cleanup", "state": "Cached", "run": "earlier", "finally": True},
]
RUN: dict[str, Any] = {
    "metadata": {"name": "r", "creationTimestamp": "2026-11-22T11:59:00Z", "uid": "u"},
    "spec": {
        "flow": {"name": "orders"},
        "approvals": [{"task": "sign-off", "decision": "Reject", "comment": "no"}],
        "shutdown": "Drain",
    },
    "status": {
        "state": "Failed",
        "reason": "TaskFailed",
        "message": "load failed",
        "revision": "orders-abc",
        "params": {"day": "2026-11-22"},
        "progress": "3/3",
        "startTime": "2026-11-22T12:00:00Z",
        "completionTime": "2026-11-22T12:00:30Z",
        "outputs": {"rows": 3},
        "conditions": [{"type": "Finished", "status": "True"}],
        "tasks": TASKS,
    },
}
EVENT = {"eventTime": "2026-11-22T12:00:30.000000Z", "type": "Warning", "reason": "RunFailed", "note": "it failed"}


def described(run, events=()):
    return [line.plain for line in describe_run(run, list(events), NOW, "penstock {}".format)]


def test_a_failed_run_is_described_with_what_happened_why_and_what_to_do():
    assert described(RUN, [EVENT]) == [
        "FlowRun r  ✗ Failed in 30s, 3/3 tasks finished",
        "  TaskFailed: load failed",
        "  flow       orders, revision orders-abc",
        '  params     day: "2026-11-22"',
        "  shutdown   Drain",
        '  decided    sign-off: Reject: "no"',
        "  created    2026-11-22 11:59:00 UTC (6m00s ago)",
        "  started    2026-11-22 12:00:00 UTC (5m00s ago)",
        "  finished   2026-11-22 12:00:30 UTC (4m30s ago)",
        "",
        "Tasks",
        "  ✗ load     Failed, attempt 2, 20s",
        "      Pod r-load-2 on node n1",
        "      attempt 1 at 12:00:00 for 5s, OOMKilled",
        "      ExitCode 3: Traceback:",
        "      KeyError: 'day'",
        "  - report   Skipped",
        "      UpstreamFailed: load is Failed",
        "",
        "Finally",
        "  ✓ cleanup  Cached, reused from run earlier",
        "",
        "Outputs",
        "  rows: 3",
        "",
        "Events",
        "  2026-11-22 12:00:30  Warning  RunFailed: it failed",
        "",
        "What to do",
        "  TaskFailed: Read the message, or run `penstock logs RUN --task TASK`.",
        (
            "  ExitCode (load): Read its log; the message shows the end of it. If the failure is transient, "
            "set `retry.limit`."
        ),
        "  UpstreamFailed (report): Check that task; the message names it.",
        "",
        "Next commands",
        "  penstock logs r --task load",
        "  penstock retry r",
    ]


def test_a_run_that_waits_for_approval_ends_with_the_commands_for_it():
    tasks = [{"name": "sign-off", "state": "Paused", "reason": "AwaitingApproval", "message": "Publish?"}]
    lines = described({**RUN, "spec": {"flow": {"name": "orders"}}, "status": {"state": "Paused", "tasks": tasks}})
    assert lines[0] == "FlowRun r  ‖ Paused"
    assert lines[-4:] == [
        "Next commands",
        "  penstock approve r sign-off",
        '  penstock reject r sign-off -m "why"',
        "  penstock watch r",
    ]


def test_a_run_without_a_status_says_that_no_operator_handled_it():
    run = {"metadata": {"name": "r"}, "spec": {"retryOf": {"name": "q"}}}
    assert described(run) == [
        "FlowRun r  not handled by any operator yet; if this persists, run penstock doctor",
        "  retries    q, with the Flow revision of that run",
        "",
        "Next commands",
        "  penstock watch r",
    ]


def test_the_failed_items_of_a_fan_out_are_listed_with_their_indexes():
    message = "exit code 1: KeyError: 'day'\nloading part 3"
    failed = [{"index": 3, "attempt": 1, "reason": "ExitCode", "exitCode": 1, "message": message}]
    tasks = [{"name": "a", "state": "Running", "items": {"total": 5, "counts": {"Failed": 1}, "failed": failed}}]
    lines = described({**RUN, "status": {"state": "Running", "tasks": tasks}})
    assert "  ● a  Running, 1/5, 1 failed" in lines
    assert "      item 3, attempt 1, exit code 1: KeyError: 'day'" in lines


def test_a_state_that_a_newer_operator_wrote_is_shown_as_it_is():
    lines = described(
        {**RUN, "status": {"state": "Dreaming", "reason": "Sheep", "tasks": [{"name": "a", "state": "Dozing"}]}}
    )
    assert lines[0] == "FlowRun r  ? Dreaming"
    assert "  ? a  Dozing" in lines


def test_a_traceback_is_printed_once_and_elsewhere_its_error():
    trace = "Traceback (most recent call last):\n" + "".join(f"  frame {n}\n" for n in range(30)) + "KeyError: 'day'"
    status = {**RUN["status"], "message": f"task load is Failed: {trace}", "tasks": [{**TASKS[0], "message": trace}]}
    event = {**EVENT, "note": f"task load: attempt 1 failed: {trace}"}
    lines = described({**RUN, "status": status}, [event])
    assert len([line for line in lines if "frame 29" in line]) == 1
    assert lines[1] == "  TaskFailed: task load is Failed: Traceback (most recent call last): … KeyError: 'day'"
    assert any(
        line.endswith("attempt 1 failed: Traceback (most recent call last): … KeyError: 'day'") for line in lines
    )
    assert "      ExitCode 3: Traceback (most recent call last):" in lines, "the reason is not cut off"


PLAN = compile_plan(
    FlowSpec.model_validate(
        {
            "timeout": "1h",
            "tasks": [{"name": "load", "image": "x", "timeout": "10m", "retry": {"limit": 5}, "deadline": "2h"}],
        }
    )
)


def described_task(**entry):
    task = {"name": "load", "state": "Running", "attempt": 2, "failures": 1, **entry}
    status = {"state": "Running", "startTime": "2026-11-22T12:00:00Z", "tasks": [task]}
    run = {**RUN, "spec": {"flow": {"name": "orders"}}, "status": status}
    return [line.plain for line in describe_run(run, [], NOW, "penstock {}".format, plan=PLAN)]


def test_a_running_task_shows_the_retries_and_the_time_that_are_left():
    lines = described_task(startTime="2026-11-22T12:04:00Z", beginTime="2026-11-22T12:00:00Z")
    assert "  time left  55m00s of 1h00m" in lines
    (line,) = [line for line in lines if "● load" in line or "load  " in line]
    assert line.endswith(
        "Running, attempt 2, 4 of 5 retries left, 1m00s, 9m00s of its timeout 10m00s left, 1h55m to its deadline"
    )


def test_a_task_that_waits_for_its_next_attempt_shows_when_that_is():
    (line,) = [line for line in described_task(state="Retrying", wakeTime="2026-11-22T12:06:00Z") if "load  " in line]
    assert line.endswith("attempt 2, 4 of 5 retries left, retry in 1m00s, at 12:06:00")


def described_items(*live: dict[str, Any]) -> list[str]:
    items = {"total": 2000, "counts": {"Running": len(live)}, "live": list(live)}
    lines = described_task(items=items, startTime="2026-11-22T12:00:00Z")
    return [line.strip() for line in lines if line.strip().startswith(("item ", "and "))]


def test_items_of_a_fan_out_show_their_next_attempt_and_what_is_left_of_their_budgets():
    begun = {"beginTime": "2026-11-22T12:00:00Z"}
    assert described_items(
        {"index": 3, "attempt": 1, **begun},
        {"index": 5, "attempt": 1, "state": "Running", "startTime": "2026-11-22T12:04:00Z", **begun},
        {"index": 7, "attempt": 2, "state": "Retrying", "failures": 2, "wakeTime": "2026-11-22T12:06:00Z", **begun},
    ) == [
        "item 7, Retrying, attempt 2, 3 of 5 retries left, 1h55m to its deadline, retry in 1m00s, at 12:06:00",
        "item 3, Pending, attempt 1, 5 of 5 retries left, 1h55m to its deadline",
        (
            "item 5, Running, attempt 1, 5 of 5 retries left, 1m00s, 9m00s of its timeout 10m00s left, "
            "1h55m to its deadline"
        ),
    ]


def test_of_many_live_items_those_that_have_failed_are_shown():
    live = [{"index": index, "attempt": 1, "state": "Running"} for index in range(500)]
    live[400] |= {"failures": 1, "attempt": 2}
    live[450] |= {"state": "Retrying", "failures": 1}

    lines = described_items(*live)

    assert [line.split(",")[0] for line in lines[:3]] == ["item 450", "item 400", "item 0"]
    assert (len(lines), lines[-1]) == (11, "and 490 more items that have started and have not finished")


def test_the_items_of_a_task_whose_definition_cannot_be_read_show_what_the_status_has():
    item = {"index": 7, "attempt": 2, "state": "Retrying", "failures": 1, "wakeTime": "2026-11-22T12:06:00Z"}
    tasks = [{"name": "load", "state": "Running", "items": {"total": 9, "live": [item]}}]
    lines = described({**RUN, "status": {"state": "Running", "tasks": tasks}})
    assert "      item 7, Retrying, attempt 2, retry in 1m00s, at 12:06:00" in lines


def test_the_link_to_the_logs_of_a_failed_task_is_shown():
    lines = [
        line.plain
        for line in describe_run(RUN, [], NOW, "penstock {}".format, log_link=lambda task: f"https://logs/{task}")
    ]
    assert "  logs       https://logs/None" in lines
    assert "      logs: https://logs/load" in lines
    assert "      logs: https://logs/report" not in lines
