"""Parents and children among the runs that are not over: each learns of the other without asking the API server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.engine.machine.facts import AttemptSeen, Fact
from penstock.engine.machine.shutdown import Shutdown
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.workloads.child_run import observe_child, observe_deleted_child, shutdown_of_child
from penstock_operator.runs.live_run import LiveRun


@dataclass(frozen=True, slots=True)
class FamilyListener:
    """Who hears what.

    Attributes:
        find: returns a run that is not over, by its uid.
        tell: takes a fact about a parent.
        end: ends a run early.
    """

    find: Callable[[str], LiveRun | None]
    tell: Callable[[LiveRun, Fact], None]
    end: Callable[[LiveRun, Shutdown], None]


class Hierarchy:
    """Knows who is whose child.

    Args:
        listener: who hears what.
        clock: seconds since the epoch.
    """

    def __init__(self, listener: FamilyListener, *, clock: Callable[[], float]) -> None:
        self._listener = listener
        self._clock = clock
        self._children: dict[str, dict[str, LiveRun]] = {}
        """By uid of the parent, and their own."""

    def add(self, run: LiveRun) -> None:
        """Learn that a run is known: it hears of its children, and its parent of it."""
        for child in self._children.get(run.uid, {}).values():
            self.tell_parent(child)
        if run.parent is not None:
            self._children.setdefault(run.parent.uid, {})[run.uid] = run
            self.tell_parent(run)

    def remove(self, run: LiveRun) -> None:
        """Learn that a run is not known any more."""
        if run.parent is None:
            return
        siblings = self._children.get(run.parent.uid, {})
        if siblings.get(run.uid) is run:
            del siblings[run.uid]
        if not siblings:
            self._children.pop(run.parent.uid, None)

    def tell_parent(self, run: LiveRun) -> None:
        """Tell a run's parent how the run is, as far as that is stored."""
        self._tell(run)
        parent = None if run.parent is None else self._listener.find(run.parent.uid)
        is_terminated = parent is not None and (parent.head.get("shutdown") or {}).get("mode") == "Terminate"
        if parent is not None and is_terminated and run.head.get("state") not in FINAL_RUN_STATES:
            # A child that is being ended already is not asked for a second time. But a crash may have come between a
            # Cancel, which the child's status shows, and a Terminate, which it does not.
            self._listener.end(run, shutdown_of_child(parent.key.name, Reason.RUN_TERMINATED))

    def tell_parent_of_deletion(self, run: LiveRun) -> None:
        """Tell a run's parent that the run was deleted before it was over."""
        self._tell(run, is_deleted=True)

    def end_children(self, run: LiveRun, reason: str | None) -> None:
        """End what is left of a run's children when it is over itself."""
        for child in list(self._children.get(run.uid, {}).values()):
            self._listener.end(child, shutdown_of_child(run.key.name, reason))

    def _tell(self, run: LiveRun, *, is_deleted: bool = False) -> None:
        link = run.parent
        parent = None if link is None else self._listener.find(link.uid)
        if link is None or parent is None:
            return
        metadata, now = run.body["metadata"], self._clock()
        seen: AttemptSeen
        if is_deleted:
            seen = observe_deleted_child(link, metadata, now=now)
        else:
            seen = observe_child(link, metadata, run.body.get("spec") or {}, run.head, now=now)
        self._listener.tell(parent, seen)
