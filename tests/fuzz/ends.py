"""Which ends are documented: what a manifest must have come to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from penstock.engine.state import FINAL_RUN_STATES, FINAL_TASK_STATES

DOCS = Path(__file__).parents[2] / "docs"
INTERNAL_ERROR = "InternalError"
FIELD = re.compile(r"\b(?:spec|metadata|status|data|kind|apiVersion)\b")
WAITING_RUN_STATES = {"Scheduled", "Pending", "Queued", "Paused"}
WORKS = "Running, with a Pod or run that exists"
NEED_NO_REASON = {"Completed", WORKS, "exists", "deleted"}
READY = "Ready=True"
"""Says itself that all is well, whatever its reason."""

Object = Mapping[str, Any]


@cache
def documented() -> frozenset[str]:
    """Return every word that the pages for users have in code font."""
    words: set[str] = set()
    for page in sorted(DOCS.glob("*.md")):
        words |= set(re.findall(r"`([A-Z][A-Za-z0-9]+)`", page.read_text()))
    return frozenset(words)


class End(NamedTuple):
    """What an object has come to."""

    state: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.state} {self.reason}".strip()

    @property
    def is_documented(self) -> bool:
        """Whether the pages for users name the reason; without one, it must be a success or have work in progress."""
        if self.reason and self.state != READY:
            return self.reason in documented() and self.reason != INTERNAL_ERROR
        return self.state in NEED_NO_REASON or self.state == READY


def end_of(kind: str, metadata: Object, status: Object, *, has_work: bool) -> End | None:
    """Return what an object has come to; None if it has not yet come to anything.

    Args:
        kind: of our kinds.
        metadata: its metadata, with `generation`.
        status: its status.
        has_work: whether a Pod or run of it exists that has not finished.
    """
    if kind == "FlowRun":
        return _end_of_run(status, has_work=has_work)
    if kind == "Backfill":
        return _end_of_backfill(status, has_work=has_work)
    ready = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), None)
    if ready is None or ready.get("observedGeneration", 0) < metadata.get("generation", 1):
        return None
    return End(f"Ready={ready['status']}", ready["reason"])


def _end_of_backfill(status: Object, *, has_work: bool) -> End | None:
    state, reason = status.get("state"), status.get("reason", "")
    if state == "Running" and reason in ("", "Running"):
        return End(WORKS) if has_work else None
    return End(state, "" if state == reason else reason) if state else None


def _end_of_run(status: Object, *, has_work: bool) -> End | None:
    state, reason = status.get("state"), status.get("reason", "")
    if state is None:
        return None
    if state in FINAL_RUN_STATES or (state in WAITING_RUN_STATES and reason):
        return End(state, reason)
    tasks = [task for task in status.get("tasks", ()) if task["state"] not in FINAL_TASK_STATES]
    waiting = [task for task in tasks if task.get("reason") or task.get("wakeTime")]
    if waiting and not any(task["state"] == "Running" for task in tasks):
        return End(f"{state}, task {waiting[0]['state']}", waiting[0].get("reason", "") or "Retrying")
    return End(WORKS) if has_work else None


def is_refusal_with_field(code: int, body: Object) -> bool:
    """Whether an answer of the API server is a refusal that says which field is wrong.

    What can't be read at all has no field; of that kind are 400 and 413.
    """
    if code in (400, 413):
        return True
    causes = (body.get("details") or {}).get("causes") or ()
    if any(cause.get("field") for cause in causes):
        return True
    return code in (403, 422) and FIELD.search(body.get("message", "")) is not None
