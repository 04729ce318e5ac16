import datetime as dt
import io
from itertools import pairwise

import pytest
from rich.console import Console

from penstock.api.states import STATES
from penstock.cli.cluster.watching import build_table
from penstock.cli.text.progress import (
    changed_lines,
    exit_code_of,
    has_more_to_run,
    headline,
    is_finished,
    pending_actions,
    select_most_urgent,
)
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import format_duration, read_tasks

NOW = dt.datetime(2026, 11, 22, 12, 0, 30, tzinfo=dt.UTC)


def make_run(*tasks, **status):
    return {"metadata": {"name": "r"}, "status": {"state": "Running", "tasks": list(tasks), **status}}


def task(name, state, **fields):
    return {"name": name, "state": state, **fields}


def lines(*runs):
    steps = [read_tasks(run) for run in runs]
    return [line for before, after in pairwise([[], *steps]) for line in changed_lines(before, after)]


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "<1s"),
        (0.9, "<1s"),
        (3.24, "3s"),
        (42, "42s"),
        (59.7, "1m00s"),
        (192, "3m12s"),
        (7505, "2h05m"),
        (-90, "<1s"),
    ],
)
def test_durations_are_as_people_read_them(duration_s, text):
    assert format_duration(duration_s) == text


def test_a_pending_task_prints_no_line():
    assert lines(make_run(task("a", "Pending"), task("b", "Pending", attempt=1))) == []


def test_a_task_that_cannot_start_prints_why_once_for_each_reason():
    assert lines(
        make_run(task("a", "Pending", reason="Unschedulable", message="0/3 nodes")),
        make_run(task("a", "Pending", reason="Unschedulable", message="0/4 nodes")),
        make_run(task("a", "Pending", reason="ImagePullFailed", message="no such image")),
    ) == ["a  Pending    Unschedulable: 0/3 nodes", "a  Pending    ImagePullFailed: no such image"]


def test_each_change_of_a_task_is_one_line():
    assert lines(
        make_run(task("a", "Running", attempt=1)),
        make_run(task("a", "Running", attempt=1)),
        make_run(task("a", "Retrying", attempt=1, reason="ExitCode", message="it said:\n\nValueError: no\n")),
        make_run(task("a", "Running", attempt=2)),
        make_run(
            task(
                "a",
                "Completed",
                attempt=2,
                startTime="2026-11-22T12:00:03Z",
                completionTime="2026-11-22T12:00:05Z",
                attempts=[{"attempt": 1, "startTime": "2026-11-22T12:00:00Z"}],
            )
        ),
    ) == [
        "a  Running",
        "a  Retrying   ExitCode: ValueError: no",
        "a  Running    attempt 2",
        "a  Completed  attempt 2  5s",
    ]


def test_a_fan_out_prints_a_line_when_its_counts_change():
    assert lines(
        make_run(task("a", "Running", items={"total": 5, "counts": {"Running": 5}})),
        make_run(task("a", "Running", items={"total": 5, "counts": {"Running": 2, "Completed": 2, "Failed": 1}})),
    ) == ["a  Running    0/5", "a  Running    3/5, 1 failed"]


def test_items_that_failed_or_are_retried_are_counted_and_the_last_failures_named():
    counts = {"Completed": 1, "Failed": 1, "Retrying": 2}
    failed = [{"index": 3, "attempt": 1, "reason": "ExitCode", "message": "Traceback:\nNameError: no\n"}]
    (row,) = read_tasks(make_run(task("a", "Running", items={"total": 5, "counts": counts, "failed": failed})))
    assert row.items == "2/5, 1 failed, 2 retrying"
    assert row.failed_items == ("a[3] ExitCode: NameError: no",)


def test_the_headline_says_how_long_and_how_far():
    run = make_run(startTime="2026-11-22T12:00:00Z", progress="1/4")
    assert headline(run, NOW) == "FlowRun r Running for 30s (1/4 tasks finished)"


def test_the_headline_of_a_run_without_a_status_names_doctor():
    assert "waiting for the operator" in headline({"metadata": {"name": "r"}}, NOW)


def test_the_headline_of_a_failed_run_says_why():
    run = make_run(state="Failed", reason="TaskFailed", message="load failed")
    assert headline(run, NOW) == "FlowRun r Failed - TaskFailed: load failed"


@pytest.mark.parametrize(
    ("state", "want"),
    [("Completed", 0), ("Skipped", 3), *((state, 1) for state in ("Failed", "TimedOut", "Cancelled", "Crashed"))],
)
def test_a_command_that_waits_for_a_run_has_an_exit_code_of_its_own_for_skipped(state, want):
    assert exit_code_of({"status": {"state": state}}) == want


def test_a_skipped_run_can_be_retried_whether_it_or_its_child_was_skipped():
    assert has_more_to_run({"status": {"state": "Skipped", "reason": "ConcurrencyLimit"}})
    assert has_more_to_run({"status": {"state": "Skipped", "tasks": [task("load", "Skipped")]}})
    assert not has_more_to_run({"status": {"state": "Completed"}})


def test_a_run_has_finished_when_its_condition_says_so():
    assert not is_finished({"metadata": {"name": "r"}})
    assert not is_finished(make_run(conditions=[{"type": "Finished", "status": "False"}]))
    assert is_finished(make_run(conditions=[{"type": "Finished", "status": "True"}]))


def test_a_screen_too_small_shows_what_needs_attention_and_counts_the_rest():
    states = ["Completed", "Pending", "Failed", "Pending", "Running"]
    rows = read_tasks(make_run(*(task(f"t{place}", state) for place, state in enumerate(states))))
    shown, rest = select_most_urgent(rows, 3)
    assert [row.name for row in shown] == ["t2", "t4"]
    assert rest == "and 1 Completed, 2 Pending"
    assert select_most_urgent(rows, 5) == (rows, "")


def test_a_table_on_a_narrow_screen_keeps_its_columns_and_cuts_the_reason():
    run = make_run(
        task("extract", "Retrying", attempt=1, reason="ExitCode", message="x" * 300, wakeTime="2026-11-22T12:00:32Z"),
        task("year", "Running", items={"total": 4}, startTime="2026-11-22T12:00:00Z"),
    )
    screen = Console(file=io.StringIO(), width=80, record=True)
    screen.print(build_table(run, NOW, width=80, height=20))
    title, header, extract, year = (line.rstrip() for line in screen.export_text().splitlines())
    assert title.startswith("FlowRun r Running")
    assert header.split() == ["TASK", "STATE", "ATTEMPT", "ITEMS", "TIME", "WHY"]
    assert extract.split()[:4] == ["extract", "↻", "Retrying", "1"]
    assert "retry in 2s after ExitCode" in extract
    assert extract.endswith("…")
    assert year.split() == ["year", "●", "Running", "0/4", "30s"]


def test_a_narrow_screen_does_without_the_columns_that_say_least():
    run = make_run(task("a-task-with-a-long-name", "Retrying", attempt=3, reason="ExitCode", message="no such file"))
    screen = Console(file=io.StringIO(), width=40, record=True)
    screen.print(build_table(run, NOW, width=40, height=20))
    lines = [line.rstrip() for line in screen.export_text().splitlines()]
    assert lines[1].split() == ["TASK", "STATE", "WHY"]
    assert all(len(line) <= 40 for line in lines)
    assert "↻ Retrying" in lines[2]
    assert "ExitCode" in lines[2]


def test_finally_tasks_stand_apart():
    run = make_run(task("a", "Completed"), task("b", "Running", **{"finally": True}))
    screen = Console(file=io.StringIO(), width=80, record=True)
    screen.print(build_table(run, NOW, width=80, height=20))
    assert [line.split()[0] for line in screen.export_text().splitlines()] == ["FlowRun", "TASK", "a", "finally", "b"]
    assert lines(run) == ["a  Completed", "b  Running    finally"]


def test_other_runs_are_named_by_what_they_did():
    run = make_run(
        task("a", "Cached", run="x"),
        task("b", "Completed", run="y"),
        task("c", "Completed", run="z"),
        retryOf={"name": "y", "lineage": ["w"]},
    )
    assert [row.other_run() for row in read_tasks(run)] == ["reused from run x", "reused from run y", "run z"]


def test_the_progress_of_a_child_run_is_shown_with_its_task():
    (row,) = read_tasks(make_run(task("a", "Running", run="x")), {"x": make_run(progress="2/5")})
    assert row.items == "2/5"


@pytest.mark.parametrize(
    ("spec", "status", "want"),
    [
        pytest.param(
            {"scheduledTime": "2026-11-22T12:01:30Z"},
            {"state": "Scheduled"},
            "FlowRun r Scheduled starts in 1m00s, at 2026-11-22 12:01:30 UTC",
            id="one that is due later",
        ),
        pytest.param(
            {}, {"state": "Queued", "queuePosition": 3}, "FlowRun r Queued at position 3", id="one in a queue"
        ),
        pytest.param(
            {},
            {"state": "Running", "shutdown": {"mode": "Drain", "reason": "RunDrained"}},
            "FlowRun r Running shutting down (Drain)",
            id="one that is shutting down",
        ),
    ],
)
def test_the_headline_says_what_a_run_waits_for(spec, status, want):
    assert headline({"metadata": {"name": "r"}, "spec": spec, "status": status}, NOW) == want


def test_pending_approvals_are_listed_with_the_commands_for_them():
    waits = task("sign-off", "Paused", reason="AwaitingApproval", message="Publish\nnow?")
    child = {"metadata": {"name": "c"}, "spec": {}, "status": {"state": "Paused", "tasks": [waits]}}
    run = make_run(task("a", "Paused", reason="AwaitingApproval"), waits) | {
        "spec": {"suspend": True, "approvals": [{"task": "a", "decision": "Approve"}]}
    }
    assert [(action.text, action.commands[0]) for action in pending_actions(run, {"c": child})] == [
        ("FlowRun r is suspended: no new tasks start", "resume r"),
        ("sign-off is waiting for approval: Publish now?", "approve r sign-off"),
        ("sign-off is waiting for approval: Publish now?", "approve c sign-off"),
    ]


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_style(state):
    assert state_style(state).sign != state_style("no such state").sign
