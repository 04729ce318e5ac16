"""Hooks of flows and tasks, and transactions."""

import asyncio
import threading

import pytest

from penstock import flow, task, transaction
from penstock.errors import OptionError
from penstock.states import Cancelled


class Journal:
    """Hooks that write down what they were called for."""

    def __init__(self):
        self.lines = []

    def hook(self, name):
        def note(subject, run, state):
            self.lines.append((name, subject.name, run.name.rsplit("-", 1)[0], state.name))

        return note


def test_hooks_are_called_in_order_and_of_failures_only_for_the_last(sleeps):
    journal = Journal()

    @task(retries=1, on_running=[journal.hook("running")], on_failure=[journal.hook("failure")])
    def load():
        raise ValueError("no")

    @flow(on_running=[journal.hook("running")], on_failure=[journal.hook("failure")])
    def outer():
        load()

    outer(return_state=True)
    assert journal.lines == [
        ("running", "outer", "outer", "Running"),
        ("running", "load", "load", "Running"),
        ("running", "load", "load", "Running"),
        ("failure", "load", "load", "Failed"),
        ("failure", "outer", "outer", "Failed"),
    ]


def test_hooks_can_be_added_by_decorators():
    journal = Journal()

    @task
    def load():
        return 1

    @flow
    def outer():
        return load()

    load.on_completion(journal.hook("task"))
    outer.on_completion(journal.hook("flow"))
    outer()
    assert [line[0] for line in journal.lines] == ["task", "flow"]


def test_a_hook_that_raises_is_logged_and_changes_nothing(caplog):
    journal = Journal()

    def broken(*_):
        raise KeyError("k")

    @flow(on_completion=[broken, journal.hook("second")])
    def outer():
        return 1

    assert outer() == 1
    assert len(journal.lines) == 1
    assert "Hook 'broken' raised KeyError" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_can_be_a_coroutine_function(is_async):
    called = []

    async def hook(flow, run, state):
        await asyncio.sleep(0)
        called.append(state.name)

    @flow(on_completion=[hook])
    async def coroutine():
        return 1

    @flow(on_completion=[hook])
    def function():
        return 1

    if is_async:
        asyncio.run(coroutine())
    else:
        function()
    assert called == ["Completed"]


def test_a_cancelled_flow_calls_its_hooks_for_that():
    journal = Journal()

    @flow(on_cancellation=[journal.hook("cancelled")], on_failure=[journal.hook("failed")])
    def outer():
        return Cancelled()

    outer(return_state=True)
    assert [line[0] for line in journal.lines] == ["cancelled"]


def test_hooks_have_to_be_functions_in_a_list():
    with pytest.raises(OptionError, match="must be a list of functions"):
        flow(name="outer", on_failure=print)(lambda: 1)  # type: ignore[call-overload]  # that is the point


@pytest.fixture
def undone():
    return []


@pytest.fixture
def write(undone):
    @task(
        on_rollback=[lambda txn: undone.append(("undone", txn.get("path", None)))],
        on_commit=[lambda txn: undone.append(("committed", txn.get("path", None)))],
    )
    def write(path):
        return path

    return write


def test_a_transaction_that_fails_undoes_its_tasks_and_fails_the_flow(write, undone):
    @flow
    def outer():
        with transaction() as txn:
            txn.set("path", "/a")
            write("/a")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        outer()
    assert undone == [("undone", "/a")]


def test_a_transaction_that_succeeds_commits_its_tasks_once(write, undone):
    @flow
    def outer():
        with transaction() as txn:
            txn.set("path", "/a")
            write("/a")
            assert undone == []

    outer()
    assert undone == [("committed", "/a")]


def test_tasks_are_undone_from_the_last_to_the_first(undone):
    def make(name):
        return task(name=name, on_rollback=[lambda txn: undone.append(name)])(lambda: name)

    @flow
    def outer():
        with transaction():
            make("first")()
            make("second")()
            raise ValueError("no")

    outer(return_state=True)
    assert undone == ["second", "first"]


def test_a_task_that_failed_has_nothing_to_undo(undone):
    @task(on_rollback=[lambda txn: undone.append("undone")])
    def fails():
        raise ValueError("no")

    @flow
    def outer():
        with transaction():
            fails()

    outer(return_state=True)
    assert undone == []


def test_a_transaction_inside_ends_with_the_one_around_it(write, undone):
    @flow
    def outer():
        with transaction():
            with transaction():
                write("/a")
            assert undone == []
            raise ValueError("no")

    outer(return_state=True)
    assert undone == [("undone", None)]


def test_a_task_in_no_transaction_commits_by_itself(write, undone):
    flow(name="outer")(lambda: write("/a"))()
    assert undone == [("committed", None)]


def test_a_task_that_completes_after_the_transaction_failed_is_undone(undone):
    gate = threading.Event()
    runs = []

    @task(on_rollback=[lambda txn: undone.append("undone")])
    def late():
        gate.wait()

    def fail():
        raise ValueError("no")

    @flow
    def outer():
        try:
            with transaction():
                runs.append(late.submit().task_run)
                fail()
        except ValueError:
            gate.set()

    outer()
    assert undone == ["undone"]
    assert runs[0].state.name == "RolledBack"
