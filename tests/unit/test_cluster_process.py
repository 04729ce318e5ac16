"""Processes that outlive the command that started them."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.cluster.process import Process, Processes, running

PATIENCE_S = 10.0


@pytest.fixture
def processes(tmp_path: Path):
    mine = Processes(tmp_path)
    yield mine
    for name in mine.names():
        mine.stop(name, grace_s=0)
    mine.stop_orphans()


def wait_for(path: Path) -> str:
    deadline_s = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline_s, f"{path} did not appear"
        time.sleep(0.01)
    return path.read_text()


def test_a_process_is_known_by_its_pid_file_and_has_a_log(processes, tmp_path: Path):
    started = processes.start("one", ["/bin/sh", "-c", "echo hello; exec sleep 60"])

    assert processes.get("one") == started
    assert processes.is_alive("one")
    assert wait_for(processes.log("one")) == "hello\n"


def test_stopping_ends_the_process_and_forgets_it(processes):
    started = processes.start("one", ["/bin/sleep", "60"])

    processes.stop("one")

    assert not started.is_alive
    assert processes.names() == []


def test_a_process_that_ignores_the_polite_signal_is_killed(processes, tmp_path: Path):
    ready = tmp_path / "ready"
    processes.start("one", ["/bin/sh", "-c", f"trap '' TERM; echo yes > {ready}; while :; do sleep 0.1; done"])
    wait_for(ready)

    processes.stop("one", grace_s=0.2)

    assert not processes.is_alive("one")


def test_a_number_that_was_given_to_another_process_is_left_alone(processes):
    other = processes.start("one", ["/bin/sleep", "60"])
    stale = Process(pid=other.pid, start_ticks=other.start_ticks - 1)

    stale.stop()

    assert not stale.is_alive
    assert other.is_alive


def test_what_a_process_started_is_found_without_a_pid_file(processes, tmp_path: Path):
    child = tmp_path / "child"
    processes.start("one", ["/bin/sh", "-c", f"sleep 60 & echo $! > {child}; wait"])
    pid = int(wait_for(child))
    os.kill(processes.get("one").pid, signal.SIGKILL)

    assert pid in processes.stop_orphans()


def test_nothing_of_the_callers_environment_is_inherited_but_the_path(processes, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")

    processes.start("one", ["/usr/bin/env"], {"EXTRA": "1"})

    deadline_s = time.monotonic() + PATIENCE_S
    while processes.is_alive("one"):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    names = {line.partition("=")[0] for line in processes.log("one").read_text().splitlines()}
    assert {"PATH", "HOME", "EXTRA", "PENSTOCK_TEST_CLUSTER"} <= names
    assert "HTTPS_PROXY" not in names


def test_a_pid_file_that_was_cut_short_names_no_process(processes, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "one.pid").write_text('{"pid": 1')

    assert processes.get("one") is None
    assert not processes.is_alive("one")


def test_a_program_is_found_by_its_name_while_it_runs(processes):
    started = processes.start("one", ["/bin/sleep", "60"])

    assert ("sleep", started.pid) in running({"sleep"})
    os.kill(started.pid, signal.SIGKILL)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert ("sleep", started.pid) not in running({"sleep"}), "a zombie does not run"
