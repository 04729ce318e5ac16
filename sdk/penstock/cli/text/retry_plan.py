"""What a retry keeps and what it runs again, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.cli.text.console import Text
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.machine.tasks.kept_tasks import choose_kept, completed_items
from penstock.engine.restart import Restart
from penstock.engine.state import COMPLETED_TASK_STATES

MAX_NAMES: Final = 40
LABEL_WIDTH: Final = 9


def retry_lines(plan: Plan, entries: Sequence[Mapping[str, Any]], restart: Restart) -> Iterator[Text]:
    """Describe a retry: what is kept first.

    Args:
        plan: the compiled Flow of the retry.
        entries: `status.tasks` of the run that is retried.
        restart: what runs again although it completed.
    """
    kept = choose_kept(plan, entries, restart)
    whole = [task.name for task in plan.tasks if (kept.get(task.position) or {}).get("state") in COMPLETED_TASK_STATES]
    partial = {
        task.name: completed_items(kept[task.position])
        for task in plan.tasks
        if task.position in kept and task.name not in whole
    }
    approved = {entry["name"] for entry in entries if entry["state"] in COMPLETED_TASK_STATES}
    others = [
        f"{task.name} (asks again)" if task.kind is TaskKind.APPROVAL and task.name in approved else task.name
        for task in plan.tasks
        if task.position not in kept
    ]
    yield from _list(whole, partial, others)


def retry_lines_of_status(
    entries: Sequence[Mapping[str, Any]], revision: str, *, is_everything: bool, is_selective: bool
) -> Iterator[Text]:
    """Describe a retry of a run whose spec cannot be read, as far as the run's status shows it.

    Args:
        entries: `status.tasks` of the run that is retried.
        revision: the ConfigMap that has the spec.
        is_everything: whether all that completed runs again.
        is_selective: whether some of what completed runs again.
    """
    unreadable = f"ConfigMap {revision} with the spec of the run does not exist any more, or you may not read it"
    if is_selective and not is_everything:
        yield Text(f"what is kept cannot be listed: {unreadable}; the operator decides when the retry starts")
        return
    main = [entry for entry in entries if not entry.get("finally") and not is_everything]
    whole = [entry["name"] for entry in main if entry["state"] in COMPLETED_TASK_STATES]
    partial = {entry["name"]: completed_items(entry) for entry in main if "items" in entry}
    partial = {name: items for name, items in partial.items() if name not in whole and _indexes(items)}
    others = [entry["name"] for entry in entries if entry["name"] not in {*whole, *partial}]
    yield from _list(whole, partial, others)
    if whole and (others or partial):
        yield Text(
            "a task that is kept runs again if it follows from one that runs: "
            f"which do cannot be listed, since {unreadable}",
            "dim",
        )


def _list(whole: Sequence[str], partial: Mapping[str, Mapping[str, Any]], others: Sequence[str]) -> Iterator[Text]:
    yield _line("keeps", [*whole, *(f"{name} (items {_finished(items) or 'none'})" for name, items in partial.items())])
    yield _line("runs", [*(f"{name} (items {_unfinished(items)})" for name, items in partial.items()), *others])


def _line(label: str, names: Sequence[str]) -> Text:
    shown = [*names[:MAX_NAMES], *([f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else [])]
    return Text(f"{label:{LABEL_WIDTH}}", "dim").append(Text(", ".join(shown) or "nothing", ""))


def _indexes(items: Mapping[str, Any]) -> set[int]:
    return {index for text in items["indexes"].values() for index in decode_intervals(text)}


def _finished(items: Mapping[str, Any]) -> str:
    return encode_intervals(sorted(_indexes(items)))


def _unfinished(items: Mapping[str, Any]) -> str:
    return encode_intervals(sorted(set(range(items["total"])) - _indexes(items)))
