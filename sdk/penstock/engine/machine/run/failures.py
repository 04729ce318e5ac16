"""The failures of a run as expressions see them: `run.failures`, computed from what the status has of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from penstock.engine.failure_message import first_line
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.state import UNSUCCESSFUL_TASK_STATES

MOST_FAILURES: Final = 20
"""An alert is to be read; all failures are in the run's status."""
MESSAGE_CHARACTERS: Final = 512


def list_failures(tasks: Sequence[TaskRun]) -> list[dict[str, Any]]:
    """Return the tasks and items that did not complete, in the order of the spec.

    Args:
        tasks: those of the run that have finished.
    """
    return list(islice(_failures(tasks), MOST_FAILURES))


def _failures(tasks: Sequence[TaskRun]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        if task.state not in UNSUCCESSFUL_TASK_STATES:
            continue
        items = [] if task.items is None else task.items.latest_failures()
        for item in items:
            yield _entry(task, item)
        if not items:
            yield _entry(task, task.entry())


def _entry(task: TaskRun, found: Mapping[str, Any]) -> dict[str, Any]:
    reason = found.get("reason")
    return {
        "task": task.plan.name,
        "item": found.get("index"),
        # As plain text: expressions know no enumerations.
        "reason": "" if reason is None else str(reason),
        "exitCode": found.get("exitCode"),
        "message": first_line(found.get("message") or "")[:MESSAGE_CHARACTERS],
        "pod": found.get("pod", ""),
    }
