"""A run on this machine at a terminal: Ctrl-C once, twice and three times, and approvals."""

import json
import signal

import pytest

from tests.unit.local_machine import Machine, Terminal, flow

CTRL_C = "\x03"
SLEEPS = """
- {name: a, command: [sh, -c, "echo started; exec sleep 100"]}
- {name: b, dependsOn: [a], command: ["true"]}
"""
CLEANUP = {"finally": [{"name": "z", "script": "echo cleaned up"}]}


@pytest.fixture
def start(tmp_path):
    def start(manifest, *words):
        Machine(tmp_path, None).write(manifest)
        return Terminal(tmp_path, "run", "--local", "flow.yaml", *words)

    return start


def test_ctrl_c_cancels_the_run_and_finally_cleans_up(start):
    terminal = start(flow(SLEEPS, **CLEANUP))
    terminal.wait_for("a | started")
    terminal.press(CTRL_C)
    terminal.wait_for("cancelling: stopping tasks")
    terminal.wait_for("z | cleaned up")
    assert terminal.end() == 130
    assert "Cancelled" in terminal.text
    assert "RunCancelled" in terminal.text


def test_a_second_ctrl_c_ends_finally_too(start):
    finals = {"finally": [{"name": "z", "script": "echo cleaning; exec sleep 100"}]}
    terminal = start(flow(SLEEPS, **finals))
    terminal.wait_for("a | started")
    terminal.press(CTRL_C)
    terminal.wait_for("z | cleaning")
    terminal.press(CTRL_C)
    terminal.wait_for("terminating: stopping all tasks")
    assert terminal.end() == 130
    assert "RunTerminated" in terminal.text


def test_a_third_ctrl_c_kills_what_does_not_want_to_end(start):
    stubborn = [{"name": "a", "script": "trap '' TERM; echo started; while true; do sleep 1; done"}]
    terminal = start(flow(stubborn))
    terminal.wait_for("a | started")
    terminal.press(CTRL_C)
    terminal.wait_for("cancelling: stopping tasks")
    terminal.press(CTRL_C)
    terminal.wait_for("terminating: stopping all tasks")
    terminal.press(CTRL_C)
    assert terminal.end() == 130


def test_a_signal_to_end_cancels_the_run_too(start):
    terminal = start(flow(SLEEPS, **CLEANUP))
    terminal.wait_for("a | started")
    terminal.send(signal.SIGTERM)
    terminal.wait_for("z | cleaned up")
    assert terminal.end() == 130


@pytest.mark.parametrize(
    ("keys", "state", "comment", "code"),
    [
        ("y\n", "Completed", "", 0),
        ("what\nyes fine by me\n", "Completed", "fine by me", 0),
        ("n too few\n", "Failed", "too few", 1),
    ],
)
def test_an_approval_is_asked_at_the_terminal(start, tmp_path, keys, state, comment, code):
    manifest = flow([{"name": "ask", "approval": {"message": "Publish?"}}, {"name": "b", "command": ["true"]}])
    terminal = start(manifest, "-o", "json")
    terminal.wait_for("ask is waiting for approval: Publish? [y/n, optionally followed by a comment] ")
    terminal.press(keys)
    assert terminal.end() == code
    run = json.loads(terminal.text[terminal.text.index("{\n") :])
    assert run["status"]["tasks"][0]["state"] == state
    assert run["spec"]["approvals"][0].get("comment", "") == comment


def test_two_approvals_are_asked_one_after_the_other(start):
    terminal = start(flow([{"name": "one", "approval": {}}, {"name": "two", "approval": {}}]))
    terminal.wait_for("one is waiting for approval")
    terminal.press("y\n")
    terminal.wait_for("two is waiting for approval")
    terminal.press("y\n")
    assert terminal.end() == 0


def test_an_approval_that_times_out_is_asked_no_more(start):
    terminal = start(flow([{"name": "ask", "approval": {"timeout": "300ms"}}]))
    terminal.wait_for("ask is waiting for approval")
    assert terminal.end() == 1
    assert "ApprovalTimeout" in terminal.text
