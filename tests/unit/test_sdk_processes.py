"""Flows as scripts: signals, crashes, runs that are killed and resumed, and what is printed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.interrupts import interruptible

REPOSITORY = Path(__file__).parents[2]


class Process(subprocess.Popen):
    """A process that does not outlive a test that fails while it runs."""

    def __exit__(self, kind, error, traceback):
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, traceback)


class Script:
    """A script that is run in a process of its own."""

    def __init__(self, folder, home):
        self.path = folder / "etl.py"
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "PENSTOCK_RESUME"},
            "PENSTOCK_HOME": str(home),
            "PYTHONPATH": str(REPOSITORY / "sdk"),
            "PYTHONUNBUFFERED": "1",
        }

    def write(self, text):
        self.path.write_text(textwrap.dedent(text))
        return self

    def start(self, *arguments, **environment):
        with interruptible():
            return Process(
                [sys.executable, str(self.path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=self.path.parent,
                env={**self._environment, **environment},
            )

    def run(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=30)
        return process.returncode, stdout, stderr


@pytest.fixture
def script(tmp_path, home):
    return Script(tmp_path, home)


ENDLESS = """
    import time
    from penstock import flow, task

    def tell(subject, run, state):
        print(f"{run.name.split('-')[0]} {state.name} after {run.run_count}", flush=True)

    @task(retries=5)
    def endless():
        print("started", flush=True)
        while True:
            time.sleep(0.01)

    @flow(name="outer", retries=5, on_crashed=[tell])
    def outer():
        endless()

    if __name__ == "__main__":
        outer()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="terminated"),
        pytest.param(signal.SIGINT, -signal.SIGINT, id="interrupted at the keyboard"),
    ],
)
def test_a_signal_crashes_flow_and_task_without_a_retry(script, number, code):
    process = script.write(ENDLESS).start()
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode in {code, 130}
    assert stdout == "outer Crashed after 1\n"
    assert "Task run 'endless-0' | Crashed" in stderr


def test_a_test_may_run_where_sigint_is_ignored(script):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = script.write(ENDLESS).start()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=30)
    assert stdout == "outer Crashed after 1\n"


def test_a_signal_that_comes_while_a_hook_runs_crashes_flow_and_task(script):
    process = script.write("""
        import time
        from penstock import flow, task

        def hook(task, run, state):
            print("started", flush=True)
            while True:
                time.sleep(0.01)

        @task(on_running=[hook], retries=5)
        def load():
            print("not reached")

        @flow
        def outer():
            load()

        outer()
    """).start()
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (143, "")
    assert "Task run 'load-0' | Crashed" in stderr


def test_a_script_that_exits_inside_of_a_task_crashes_flow_and_task(script):
    code, stdout, stderr = script.write("""
        from penstock import flow, task

        @task(retries=5)
        def exits():
            raise SystemExit(7)

        @flow(retries=5, on_crashed=[lambda flow, run, state: print(state.name, run.run_count)])
        def outer():
            exits()

        outer()
    """).run()
    assert (code, stdout) == (7, "Crashed 1\n")
    assert "Task run 'exits-0' | Crashed: Task run was ended by SystemExit: 7" in stderr


def test_a_signal_stops_submitted_tasks_too(script):
    process = script.write("""
        import time
        from penstock import flow, task

        @task(on_running=[lambda *_: print("started", flush=True)])
        def endless():
            while True:
                time.sleep(0.01)

        @flow
        def outer():
            endless.submit().result()

        outer()
    """).start()
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Task run 'endless-0' | Cancelled" in stderr
    assert "| Crashed: Flow run was ended by TerminatedError: signal SIGTERM" in stderr


def test_a_signal_crashes_a_flow_of_coroutines(script):
    process = script.write("""
        import asyncio
        from penstock import flow

        @flow(on_crashed=[lambda flow, run, state: print(state.name, run.run_count, flush=True)])
        async def outer():
            print("started", flush=True)
            await asyncio.Event().wait()

        asyncio.run(outer())
    """).start()
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert stdout == "Crashed 1\n"


STEPS = """
    import os, sys
    from penstock import flow, task

    @task(persist_result=True)
    def step(n):
        print("step", n, flush=True)
        return n * 10

    @flow
    def inner(n):
        return step(n)

    @flow
    def outer(day):
        total = step(1) + inner(2) + inner(3)
        if "die" in sys.argv:
            os.kill(os.getpid(), 9)
        return total + step(4)

    if __name__ == "__main__":
        print("total", outer(os.environ.get("DAY", "mon")))
"""


def test_a_run_that_was_killed_is_resumed_and_keeps_what_it_stored(script):
    script.write(STEPS)
    code, stdout, _ = script.run("die")
    assert (code, stdout) == (-9, "step 1\nstep 2\nstep 3\n")
    code, stdout, stderr = script.run("--resume")
    assert (code, stdout) == (0, "step 4\ntotal 100\n")
    assert "Resuming run 'outer-" in stderr
    assert "step        2     1 Cached, 1 Completed" in stderr
    assert "inner/step  2     2 Cached" in stderr


def test_a_run_is_resumed_by_a_variable_too(script):
    script.write(STEPS).run("die")
    _, stdout, _ = script.run(PENSTOCK_RESUME="1")
    assert stdout == "step 4\ntotal 100\n"


def test_a_run_is_resumed_by_its_name(script, home):
    script.write(STEPS).run("die")
    script.run("die")
    names = {json.loads(path.read_text())["started"]: path for path in home.glob("runs/*/run.json")}
    first = json.loads(names[min(names)].read_text())
    code, stdout, _ = script.run(f"--resume={first['name']}")
    assert (code, stdout) == (0, "step 4\ntotal 100\n")
    assert json.loads(names[min(names)].read_text())["state"] == "Completed"


def test_without_being_asked_nothing_is_resumed(script):
    script.write(STEPS).run("die")
    assert script.run()[1] == "step 1\nstep 2\nstep 3\nstep 4\ntotal 100\n"


def test_a_run_that_completed_is_not_resumed(script):
    script.write(STEPS).run()
    _, stdout, stderr = script.run("--resume")
    assert stdout.startswith("step 1\n")
    assert "No run of this flow with these parameters can be resumed" in stderr


def test_a_run_of_other_parameters_is_not_resumed(script):
    script.write(STEPS).run("die")
    assert script.run("--resume", DAY="tue")[1].startswith("step 1\n")


def test_a_run_that_does_not_exist_can_not_be_resumed(script):
    code, _, stderr = script.write(STEPS).run("--resume=outer-000000")
    assert code == 1
    assert "run 'outer-000000' not found" in stderr


def test_a_run_that_still_runs_is_not_resumed(script):
    script.write("""
        import sys
        from penstock import flow, task

        @task(persist_result=True)
        def step():
            return 1

        @flow
        def outer():
            step()
            print("stored", flush=True)
            if "wait" in sys.argv:
                import signal
                signal.pause()

        outer()
    """)
    process = script.start("wait")
    assert process.stdout.readline() == "stored\n"
    _, _, stderr = script.run("--resume")
    process.kill()
    process.communicate(timeout=30)
    assert "starting a new one" in stderr


def test_the_scripts_own_arguments_do_not_see_the_one_of_penstock(script):
    _, stdout, _ = script.write("""
        import argparse
        from penstock import flow

        @flow
        def outer():
            return 1

        parser = argparse.ArgumentParser()
        parser.add_argument("--day")
        print(parser.parse_args().day, outer())
    """).run("--resume", "--day", "mon")
    assert stdout == "mon 1\n"


def test_the_log_is_plain_where_there_is_no_terminal_and_ends_in_a_summary(script):
    _, _, stderr = script.write("""
        from penstock import flow, task

        @task
        def load(x):
            return x

        @flow(flow_run_name="monday")
        def outer():
            load.map([1, 2, 3])

        outer()
    """).run()
    lines = [line.split(" | ", 2)[2] for line in stderr.splitlines()]
    assert lines[0].startswith("Flow run 'monday' | Started: flow 'outer'")
    assert lines[4].startswith("Flow run 'monday' | Completed")
    assert lines[5].split() == ["Flow", "run", "'monday'", "|", "TASK", "RUNS", "STATES", "RETRIES", "MEAN"]
    assert lines[6].split()[4:8] == ["load", "3", "3", "Completed"]
    assert "\033" not in stderr


def test_a_program_that_has_set_up_logging_gets_the_log_its_own_way(script):
    _, stdout, stderr = script.write("""
        import logging, sys
        from penstock import flow

        logging.basicConfig(stream=sys.stdout, format="%(name)s %(message)s")

        @flow(flow_run_name="monday")
        def outer():
            return 1

        outer()
    """).run()
    assert stdout.startswith("penstock.flow_runs Started")
    assert stderr == ""


def test_the_level_of_the_log_is_a_variable(script):
    _, _, stderr = script.write("""
        from penstock import flow

        @flow
        def outer():
            return 1

        outer()
    """).run(PENSTOCK_LOGGING_LEVEL="warning")
    assert stderr == ""


def test_a_level_that_does_not_exist_names_its_variable(script):
    _, _, stderr = script.write("""
        from penstock import flow

        @flow
        def outer():
            return 1

        outer()
    """).run(PENSTOCK_LOGGING_LEVEL="foo")
    assert "PENSTOCK_LOGGING_LEVEL='foo': no such level; levels are DEBUG, INFO, WARNING" in stderr


def test_what_was_submitted_outside_of_flows_runs_before_the_process_ends(script):
    _, stdout, _ = script.write("""
        import sys
        from penstock import task

        @task
        def say(x):
            sys.stdout.write(f"{x}\\n")

        say.map([1, 2, 3])
    """).run()
    assert sorted(stdout.split()) == ["1", "2", "3"]


MODULES = 110
"""More than what a flow imports today, and a fraction of what a heavy library would bring."""
HEAVY = ("pydantic", "kubernetes", "rich", "asyncio", "yaml", "cel_expr_python")


@pytest.mark.parametrize(
    "statement",
    ["import penstock", "from penstock import flow, task, get_run_logger, Variable, unmapped, transaction, runtime"],
)
def test_importing_penstock_imports_nothing_heavy(script, statement):
    _, stdout, stderr = script.write(f"""
        {statement}
        import sys
        print([name for name in {HEAVY!r} if name in sys.modules])
    """).run()
    assert (stdout, stderr) == ("[]\n", "")


def test_running_a_plain_flow_imports_nothing_heavy(script):
    _, stdout, _ = script.write(f"""
        from __future__ import annotations
        from penstock import flow, task
        import sys

        @task
        def load(x: int) -> int:
            return x

        @flow
        def outer(x: int) -> int:
            return load.submit(x).result() + load(x)

        outer(1)
        print([name for name in {HEAVY!r} if name in sys.modules])
    """).run(PENSTOCK_LOGGING_LEVEL="WARNING")
    assert stdout == "[]\n"


def test_importing_penstock_imports_few_modules(script):
    # What they take in milliseconds is for a benchmark to say: `make bench-sdk`.
    script.write("""
        import sys
        before = len(sys.modules)
        from penstock import flow, task
        print(len(sys.modules) - before)
    """)
    assert int(script.run()[1]) < MODULES


def test_importing_penstock_stays_below_40_megabytes(script):
    _, stdout, _ = script.write("""
        from penstock import flow, task
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """).run()
    assert int(stdout) < 40 * 1024


def test_a_signal_that_strikes_where_python_ignores_exceptions_is_sent_again(script):
    process = script.write("""
        import sys, threading, time, weakref
        from penstock import flow

        class Thing:
            pass

        def callback(_):
            print("in a callback", flush=True)
            while True:
                time.sleep(0.001)

        @flow(on_crashed=[lambda flow, run, state: print(state.name, flush=True)])
        def outer():
            thing = Thing()
            reference = weakref.ref(thing, callback)
            del thing
            while True:
                time.sleep(0.001)

        outer()
    """).start()
    assert process.stdout.readline() == "in a callback\n"
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (143, "Crashed\n")
