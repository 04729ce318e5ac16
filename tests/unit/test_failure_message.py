"""The message of a container that failed: its exit code first, then the error among the lines of its log."""
# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from penstock.engine.failure_message import add_to_first_line, describe_exit, headline

TRACEBACK = """\
Traceback (most recent call last):
  File "/app/load.py", line 3, in <module>
    raise RuntimeError("Error: disk quota exceeded on /data")
RuntimeError: disk quota exceeded on /data"""


@pytest.mark.parametrize(
    ("exit_code", "log", "want"),
    [
        pytest.param(3, "", "exit code 3", id="an empty log"),
        pytest.param(137, "", "exit code 137 (SIGKILL)", id="a signal"),
        pytest.param(139, "working", "exit code 139 (SIGSEGV): working", id="a signal and a line"),
        pytest.param(255, "", "exit code 255", id="a code above those of signals"),
        pytest.param(127, "sh: 1: pip: not found\ntmp ok", "exit code 127: sh: 1: pip: not found", id="a shell's error before a line of standard output"),
        pytest.param(1, f"{TRACEBACK}\nloaded 1000 rows so far", "exit code 1: RuntimeError: disk quota exceeded on /data", id="a traceback before buffered output"),
        pytest.param(1, f"loaded 1000 rows so far\n{TRACEBACK}", "exit code 1: RuntimeError: disk quota exceeded on /data", id="a traceback at the end"),
        pytest.param(1, f"{TRACEBACK}\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File x\nrequests.exceptions.Timeout: cannot reach warehouse", "exit code 1: requests.exceptions.Timeout: cannot reach warehouse", id="the last of two tracebacks, whatever the exception's name"),
        pytest.param(1, "ing...)\n    raise KeyError(day)\nKeyError: 'day'\ndone", "exit code 1: KeyError: 'day'", id="a traceback without its beginning"),
        pytest.param(1, "Error: no such table: orders\nbye", "exit code 1: Error: no such table: orders", id="Error:"),
        pytest.param(1, "12:00 FATAL out of disk\n12:01 INFO closing", "exit code 1: 12:00 FATAL out of disk", id="FATAL"),
        pytest.param(128, "fatal: not a git repository\nbye", "exit code 128: fatal: not a git repository", id="git"),
        pytest.param(2, "panic: no map\n\ngoroutine 1 [running]:\nexit status 2", "exit code 2: panic: no map", id="Go"),
        pytest.param(1, 'Exception in thread "main" java.lang.IllegalStateException: x\n\tat A\nCaused by: java.io.IOException: disk full\n\tat B', "exit code 1: Caused by: java.io.IOException: disk full", id="Java"),
        pytest.param(1, '{"level":"error","msg":"disk full"}\n{"level":"info","msg":"bye"}', 'exit code 1: {"level":"error","msg":"disk full"}', id="JSON"),
        pytest.param(4, "one\ntwo\nthree", "exit code 4: three", id="no error: the last line"),
    ],
)  # fmt: skip
def test_the_first_line_has_the_exit_code_and_the_error(exit_code, log, want):
    message = describe_exit(exit_code, log)

    first, *rest = message.split("\n")
    assert first == want
    assert "\n".join(rest) == (log if "\n" in log else "")


def test_a_long_line_is_cut_in_the_first_line_and_kept_below():
    message = describe_exit(1, "x" * 1000)

    first, rest = message.split("\n")
    assert len(first) < 330
    assert rest == "x" * 1000


@pytest.mark.parametrize(
    ("reason", "message", "want"),
    [
        ("ExitCode", "exit code 1: KeyError: 'x'\nTraceback", "exit code 1: KeyError: 'x'"),
        ("ExitCode", "working\nKeyError: 'x'\nbye", "ExitCode: KeyError: 'x'"),
        ("OOMKilled", "exit code 137 (SIGKILL)", "OOMKilled: exit code 137 (SIGKILL)"),
        ("Unschedulable", "no node", "Unschedulable: no node"),
        ("NodeLost", None, "NodeLost"),
        ("ItemsFailed", "item 1: exit code 1: no; 1 of 3 items failed", "item 1: exit code 1: no; 1 of 3 items failed"),
        ("ItemsFailed", "3 of 9 items failed", "ItemsFailed: 3 of 9 items failed"),
        (None, "words", "words"),
        (None, None, ""),
    ],
)
def test_a_headline_is_one_line(reason, message, want):
    assert headline(reason, message) == want


def test_words_are_added_where_a_short_form_shows_them():
    assert add_to_first_line("exit code 1: no\nlog", "; not retried: x") == "exit code 1: no; not retried: x\nlog"
