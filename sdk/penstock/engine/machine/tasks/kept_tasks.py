"""What a retried run keeps of the run before it.

A task is kept if it completed and all its upstream tasks are kept: tasks downstream of one that runs again also run
again. Finally tasks always run again. Of a fan-out that did not complete, the completed items are kept. What the retry
asks to run again is not kept; and if it asks for anything, or for other params or another Flow, no approval is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.engine.compiler.graph import in_order
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.restart import KEEP_COMPLETED, Restart
from penstock.engine.state import COMPLETED_TASK_STATES, TaskState

_ITEM_STATES = [str(state) for state in sorted(COMPLETED_TASK_STATES)]


def choose_kept(
    plan: Plan, entries: Iterable[Mapping[str, Any]], restart: Restart = KEEP_COMPLETED
) -> dict[int, dict[str, Any]]:
    """Choose what to keep.

    Args:
        plan: the compiled Flow of the new run.
        entries: `status.tasks` of the old run.
        restart: what runs again although it completed.

    Returns:
        By position in the new plan: entries of tasks that are kept as a whole, and, with a state that is not final,
        those of fan-outs of which some items are.
    """
    by_name = {entry["name"]: entry for entry in entries}
    if not by_name or restart.is_everything:
        return {}
    kept: dict[int, dict[str, Any]] = {}
    whole: set[int] = set()
    for position in in_order([[one.task for one in task.upstream] for task in plan.tasks]):
        task = plan.tasks[position]
        entry = by_name.get(task.name)
        if entry is None or task.is_finally or any(one.task not in whole for one in task.upstream):
            continue
        if task.kind is TaskKind.APPROVAL and not restart.keeps_approvals:
            continue
        if (task.fan_out is not None) != ("items" in entry) or not restart.params.isdisjoint(task.params):
            continue
        if task.name in restart.tasks:
            if (partial := _keep_items(task, entry, restart)) is not None:
                kept[position] = partial
        elif entry["state"] in COMPLETED_TASK_STATES:
            whole.add(position)
            kept[position] = dict(entry)
        elif "items" in entry:
            kept[position] = dict(entry)
    return kept


def completed_items(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fan-out's entry with only its completed items, as if the others had not started."""
    items = entry["items"]
    indexes = {state: text for state, text in items.get("indexes", {}).items() if state in _ITEM_STATES}
    kept: dict[str, Any] = {"total": items["total"], "indexes": indexes}
    if items.get("outputsDropped"):
        kept["outputsDropped"] = True
    return kept


def _keep_items(task: TaskPlan, entry: Mapping[str, Any], restart: Restart) -> dict[str, Any] | None:
    """Return what is kept of a task that runs again: of a fan-out, the items that need not."""
    again = restart.tasks[task.name]
    is_completed = entry["state"] in COMPLETED_TASK_STATES
    if "items" not in entry or again.is_whole or (is_completed and not again.items):
        return None
    kept = completed_items(entry)
    kept["indexes"] = {
        state: encode_intervals(index for index in decode_intervals(text) if index not in again.items)
        for state, text in kept["indexes"].items()
    }
    outputs = entry.get("outputs")
    if isinstance(outputs, list):
        outputs = [None if index in again.items else value for index, value in enumerate(outputs)]
    return {"name": task.name, "state": str(TaskState.PENDING), "items": kept, "outputs": outputs}
