"""What expressions know of how a run and its tasks ended: enough for an alert that names the cause."""

from __future__ import annotations

import json

import pytest

from penstock.engine.expressions.expression import compile_expression
from penstock.engine.expressions.scope import KEY_ROOTS, TASK_ROOTS, Scope
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import Cause, Outcome
from penstock.errors import ExpressionError
from tests.simulation import World
from tests.unit.test_machine import ALWAYS_WELL, finish, world

ALERT = """
failurePolicy: Continue
tasks:
- name: load
- name: files
  forEach: {count: 3}
- name: fine
finally:
- name: alert
  args: ["$(run.state)", "$(run.reason)", "$(run.message)", "$(run.startTime)", "$(run.failures)",
         "$(tasks.load.message)", "$(run.failures.map(f, f.task + ': ' + f.message).join(', '))"]
"""


def fate(key: TaskInstanceKey, attempt: int) -> Outcome:
    if key == TaskInstanceKey("load") or key == TaskInstanceKey("files", 1):
        return Outcome(Cause.FAILURE, 0.0, "ExitCode", "exit code 3: KeyError: 'day'\nTraceback", 3)
    return ALWAYS_WELL(key, attempt)


def alert(existing: World, *, crashes: bool = False) -> list[str]:
    """Run until the alert is created, and return its arguments."""
    for _ in range(20):
        if crashes:
            existing.crash()
        for create in existing.step().creates:
            if create.key.task == "alert":
                return list(create.inputs.args)  # type: ignore[union-attr]
        existing.flush()
        for pod in existing.live_pods():
            existing.progress(pod)
    raise AssertionError(f"no alert: {existing.status}")


def test_an_alert_can_say_what_failed_with_task_item_exit_code_and_pod():
    state, reason, message, start_time, failures, task_message, joined = alert(world(ALERT, fate))

    assert (state, reason) == ("Failed", "TaskFailed")
    assert message == "task load failed: exit code 3: KeyError: 'day'"
    assert start_time.startswith("1970-01-12T13:46:40")
    assert task_message == "exit code 3: KeyError: 'day'\nTraceback"
    found = json.loads(failures)
    assert [(one["task"], one["item"], one["reason"], one["exitCode"], one["message"]) for one in found] == [
        ("load", None, "ExitCode", 3, "exit code 3: KeyError: 'day'"),
        ("files", 1, "ExitCode", 3, "exit code 3: KeyError: 'day'"),
    ]
    assert all(one["pod"].startswith("run-") for one in found)
    assert joined == "load: exit code 3: KeyError: 'day', files: exit code 3: KeyError: 'day'"


def test_a_run_that_completed_has_empty_words_and_no_failures():
    existing = world(ALERT.replace("$(tasks.load.message)", "-"))

    state, reason, message, _, failures, *_ = alert(existing)

    assert (state, reason, message, json.loads(failures)) == ("Completed", "", "", [])


def test_a_rebuilt_machine_gives_the_same_alert():
    want, again = alert(world(ALERT, fate)), alert(world(ALERT, fate), crashes=True)

    # The start of the run is known more exactly by whoever started it.
    del want[3], again[3]
    assert again == want


def test_outputs_of_the_flow_can_name_the_failures():
    existing = world("tasks: [{name: load}]\noutputs: {failed: '$(run.failures.size())'}", fate)

    finish(existing)

    assert existing.status["outputs"] == {"failed": 1}


@pytest.mark.parametrize("field", ["state", "reason", "message", "failures"])
def test_how_a_run_ended_is_known_in_finally_tasks_alone(field):
    with pytest.raises(ExpressionError, match=rf"run\.{field} is available only in finally tasks"):
        compile_expression(f"run.{field}", Scope(TASK_ROOTS, params=frozenset(), tasks={}))


def test_a_concurrency_key_has_no_start_time():
    with pytest.raises(ExpressionError, match=r"run\.startTime is not available here"):
        compile_expression("run.startTime", Scope(KEY_ROOTS, params=frozenset()))


def test_a_finally_task_that_is_skipped_by_its_condition_shows_the_values_of_the_run():
    text = """
tasks: [{name: load}]
finally: [{name: alert, when: 'run.state != "Completed" && run.reason != "x"'}]
"""
    existing = world(text, ALWAYS_WELL)
    finish(existing)

    (entry,) = (task for task in existing.status["tasks"] if task["name"] == "alert")
    assert entry["reason"] == "ConditionFalse"
    assert entry["message"].endswith(' is false: {"run.reason":"","run.state":"Completed"}')
