import datetime as dt

from penstock.cli.text.run_description import describe_run

NOW = dt.datetime(2026, 11, 22, 12, 5, tzinfo=dt.UTC)
TASKS = [
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
RUN = {
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
        "  ExitCode: Read its log; the message shows the end of it. If the failure is transient, set `retry.limit`.",
        "  UpstreamFailed: Check that task; the message names it.",
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
    failed = [{"index": 3, "attempt": 1, "reason": "ExitCode", "exitCode": 1, "message": "a\nb"}]
    tasks = [{"name": "a", "state": "Running", "items": {"total": 5, "counts": {"Failed": 1}, "failed": failed}}]
    lines = described({**RUN, "status": {"state": "Running", "tasks": tasks}})
    assert "  ● a  Running, 1/5, 1 failed" in lines
    assert "      item 3, attempt 1, ExitCode 1: b" in lines


def test_a_state_that_a_newer_operator_wrote_is_shown_as_it_is():
    lines = described(
        {**RUN, "status": {"state": "Dreaming", "reason": "Sheep", "tasks": [{"name": "a", "state": "Dozing"}]}}
    )
    assert lines[0] == "FlowRun r  ? Dreaming"
    assert "  ? a  Dozing" in lines
