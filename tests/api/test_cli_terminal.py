"""The command line at a real terminal, against a real API server; the tests write the statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from kubernetes.client.exceptions import ApiException

from tests.terminal import CTRL_C, Terminal

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
"""What hides the cursor, and shows it again: https://vt100.net/docs/vt510-rm/DECTCEM.html."""
LONG = "a-task-whose-name-is-as-long-as-that-of-a-novel-by-somebody"
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES", "TERM"}
}

HARD_OF_HEARING = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
from penstock.cli.main import run_and_exit
run_and_exit()
"""
"""The command line, where a signal does not end a system call of the main thread: another thread gets it.

So it is by chance when the signal comes just before the system call.
"""

At = Callable[..., Terminal]


@pytest.fixture
def at(kubeconfig, namespace) -> Iterator[At]:
    """Starts `penstock` with these words, at a terminal."""
    with ExitStack() as stack:

        def start(
            *words: str, columns: int = 100, program: Sequence[str] = ("-m", "penstock.cli.main"), **variables: str
        ) -> Terminal:
            typed = [sys.executable, *program, *words]
            place = ["--kubeconfig", str(kubeconfig), "-n", namespace]
            return stack.enter_context(Terminal([*typed, *place], {**ENVIRONMENT, **variables}, columns=columns))

        yield start


def piped(kubeconfig, namespace, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    typed = [sys.executable, "-m", "penstock.cli.main", *words, "--kubeconfig", str(kubeconfig), "-n", namespace]
    return subprocess.run(typed, capture_output=True, text=True, check=False, env={**ENVIRONMENT, **variables})


def entry(name: str, state: str, **fields: object) -> dict[str, object]:
    return {"name": name, "state": state, **fields}


class TestWatch:
    """Follows a run."""

    def test_the_table_changes_with_the_run_and_leaves_how_it_ended(self, objects, at):
        objects.create_run("r")
        objects.set_status("r", "Running", entry("load", "Running"), entry("report", "Pending"))
        screen = at("watch", "r")
        screen.read_until("● Running")
        assert HIDDEN in screen.shown
        objects.set_status("r", "Running", entry("load", "Completed"), entry("report", "Running"))
        screen.read_until("✓ Completed")
        objects.set_status(
            "r",
            "Failed",
            entry("load", "Completed"),
            entry("report", "Failed", reason="ExitCode", message="exit code 3", exitCode=3),
            is_finished=True,
        )
        assert screen.end() == 1
        assert "✗ Failed" in screen.text
        assert "FlowRun r Failed" in screen.text.splitlines()[-1]
        assert screen.has_colours
        assert screen.shown.rindex(SHOWN) > screen.shown.rindex(HIDDEN)

    def test_in_a_narrow_terminal_rows_do_not_wrap_and_states_are_visible(self, objects, at):
        objects.create_run("r")
        tasks = [entry("load", "Completed"), entry(LONG, "Running", attempt=2), entry("report", "Pending")]
        objects.set_status("r", "Running", *tasks)
        screen = at("watch", "r", columns=40)
        screen.read_until("● Running")
        screen.read_until("· Pending")
        assert max(len(line) for line in screen.text.splitlines()) <= 40
        assert "✓ Completed" in screen.text
        assert LONG not in screen.text
        assert "a-task-whose" in screen.text

    def test_ctrl_c_leaves_the_run_and_the_cursor_as_they_were(self, objects, at):
        objects.create_run("r")
        objects.set_status("r", "Running", entry("load", "Running"))
        screen = at("watch", "r")
        screen.read_until("● Running")
        screen.type(CTRL_C)
        assert screen.end() == 130
        assert "FlowRun r continues; to cancel it: penstock cancel r" in screen.text
        assert "Traceback" not in screen.text
        assert screen.shown.rindex(SHOWN) > screen.shown.rindex(HIDDEN)
        assert "shutdown" not in objects.run("r")["spec"]

    def test_ctrl_c_ends_it_even_if_it_does_not_end_what_waits_for_the_server(self, objects, at):
        objects.create_run("r")
        objects.set_status("r", "Running", entry("load", "Running"))
        screen = at("watch", "r", program=("-c", HARD_OF_HEARING))
        screen.read_until("● Running", times=3)  # of which the last are those of a clock: it waits for the server
        screen.type(CTRL_C)
        assert screen.end() == 130

    def test_no_color_takes_the_colours_and_leaves_the_table(self, objects, at):
        objects.create_run("r")
        objects.set_status("r", "Failed", entry("load", "Failed", reason="ExitCode"), is_finished=True)
        screen = at("watch", "r", NO_COLOR="1")
        assert screen.end() == 1
        assert "FlowRun r Failed" in screen.text
        assert not screen.has_colours

    def test_a_pipe_gets_lines_without_colours_and_movements(self, objects, kubeconfig, namespace):
        objects.create_run("r")
        objects.set_status("r", "Failed", entry("load", "Failed", reason="ExitCode"), is_finished=True)
        answer = piped(kubeconfig, namespace, "watch", "r")
        assert answer.returncode == 1
        assert "load  Failed" in answer.stdout
        assert "\x1b" not in answer.stdout + answer.stderr


class TestRun:
    """Starts a run and stays."""

    @pytest.mark.usefixtures("objects")
    def test_ctrl_c_while_it_waits_leaves_the_run_and_says_how_to_end_it(self, objects, at):
        screen = at("run", "orders", "-p", "day=mon", "--name", "mine", "--watch")
        screen.read_until("waiting for the operator")
        screen.type(CTRL_C)
        assert screen.end() == 130
        assert "to cancel it: penstock cancel mine" in screen.text
        assert "shutdown" not in objects.run("mine")["spec"]

    @pytest.mark.usefixtures("objects")
    def test_what_is_refused_is_one_line_at_a_terminal_too(self, objects, at):
        screen = at("run", "oders")
        assert screen.end() == 1
        (line,) = screen.text.splitlines()
        assert line.startswith("penstock: ")
        assert 'did you mean "orders"' in line
        with pytest.raises(ApiException):
            objects.run("oders")


class TestLogs:
    """Follows what tasks write; what real Pods write is for the end-to-end tests."""

    def test_following_ends_with_the_run(self, objects, at):
        objects.create_run("r")
        objects.set_status("r", "Running", entry("load", "Running"))
        screen = at("logs", "r", "-f")
        objects.set_status("r", "Completed", entry("load", "Completed"), is_finished=True)
        assert (screen.end(), screen.text) == (0, "")


class TestGraph:
    """Draws a run."""

    @pytest.fixture
    def drawn(self, objects):
        objects.create_run("r")
        objects.set_status("r", "Running", entry("load", "Failed"), entry("report", "Running"))

    @pytest.mark.usefixtures("drawn")
    def test_a_terminal_gets_colours(self, at):
        screen = at("graph", "run/r")
        assert screen.end() == 0
        assert "\x1b[1;31m✗" in screen.shown
        assert "\x1b[36m●" in screen.shown

    @pytest.mark.usefixtures("drawn")
    def test_no_color_and_a_pipe_get_none(self, at, kubeconfig, namespace):
        screen = at("graph", "run/r", NO_COLOR="1")
        assert screen.end() == 0
        assert not screen.has_colours
        answer = piped(kubeconfig, namespace, "graph", "run/r")
        assert answer.stdout.splitlines() == ["✗ load  Failed", "● report  Running"]

    @pytest.mark.usefixtures("drawn")
    def test_wide_lines_are_cut_on_a_terminal_and_not_in_a_pipe(self, objects, at, kubeconfig, namespace):
        objects.create(
            {
                "apiVersion": "penstock.dev/v1alpha1",
                "kind": "Flow",
                "metadata": {"name": "long"},
                "spec": {"tasks": [{"name": LONG, "image": "x"}]},
            }
        )
        screen = at("graph", "flow/long", columns=30)
        assert screen.end() == 0
        assert screen.text.rstrip() == f"● {LONG[:27]}…"
        assert piped(kubeconfig, namespace, "graph", "flow/long").stdout.rstrip() == f"● {LONG}"

    @pytest.mark.usefixtures("drawn")
    def test_pixels_are_not_poured_into_a_terminal(self, at, kubeconfig, namespace):
        screen = at("graph", "run/r", "-o", "png")
        assert screen.end() == 1
        assert "a terminal cannot show a PNG" in screen.text
        answer = piped(kubeconfig, namespace, "graph", "run/r", "-o", "svg")
        assert "✗ Failed 1" in answer.stdout


def test_lists_have_no_colours_in_a_pipe_and_a_reader_may_leave(objects, kubeconfig, namespace):
    for number in range(3):
        objects.create_run(f"r{number}")
    assert "\x1b" not in piped(kubeconfig, namespace, "get").stdout
    typed = [sys.executable, "-m", "penstock.cli.main", "get", "-o", "yaml", "-n", namespace]
    place = ["--kubeconfig", str(kubeconfig)]
    with subprocess.Popen(
        [*typed, *place], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
