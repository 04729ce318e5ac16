"""Parents and children among the live runs: each is informed of the other without a request to the API server."""

from __future__ import annotations

from collections.abc import Callable

from penstock.engine.keys import RunUid
from penstock.engine.machine.facts import AttemptSeen
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.workloads.child_run import ParentLink, observe_child, observe_deleted_child, shutdown_of_child
from penstock_operator.runs.live_run import LiveRun, metadata_fields
from penstock_operator.runs.registry import RunRegistry


class Hierarchy:
    """Knows the children of each run.

    Args:
        registry: the live runs.
        clock: seconds since the epoch.
    """

    def __init__(self, registry: RunRegistry, *, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._children: dict[RunUid, dict[str, LiveRun]] = {}
        """By the parent, and their own uid."""

    def add_run(self, run: LiveRun) -> None:
        """Add a run that has become live, and report its children to it, and it to its parent."""
        for child in self._children.get(run.run_uid, {}).values():
            self.report_to_parent(child)
        if run.parent is not None:
            self._children.setdefault(_parent_uid(run, run.parent), {})[run.uid] = run
            self.report_to_parent(run)

    def remove_run(self, run: LiveRun) -> None:
        """Forget a run that is not live any more."""
        if run.parent is None:
            return
        parent = _parent_uid(run, run.parent)
        siblings = self._children.get(parent, {})
        if siblings.get(run.uid) is run:
            del siblings[run.uid]
        if not siblings:
            self._children.pop(parent, None)

    def report_to_parent(self, run: LiveRun) -> None:
        """Report a run's stored state to its parent."""
        self._report(run)
        parent = None if run.parent is None else self._registry.find_run(_parent_uid(run, run.parent))
        is_terminated = parent is not None and (parent.head.get("shutdown") or {}).get("mode") == "Terminate"
        if parent is not None and is_terminated and run.head.get("state") not in FINAL_RUN_STATES:
            # A child that is shutting down already is not asked a second time. But a crash may have come between a
            # Cancel, which the child's status shows, and a Terminate, which it does not.
            self._registry.end_run(run, shutdown_of_child(parent.key.name, Reason.RUN_TERMINATED))

    def report_deletion_to_parent(self, run: LiveRun) -> None:
        """Report to a run's parent that the run was deleted before it had finished."""
        self._report(run, is_deleted=True)

    def end_children(self, run: LiveRun, reason: str | None) -> None:
        """End the children of a finished run that have not finished."""
        for child in list(self._children.get(run.run_uid, {}).values()):
            self._registry.end_run(child, shutdown_of_child(run.key.name, reason))

    def _report(self, run: LiveRun, *, is_deleted: bool = False) -> None:
        link = run.parent
        parent = None if link is None else self._registry.find_run(_parent_uid(run, link))
        if link is None or parent is None:
            return
        metadata, now = metadata_fields(run.object), self._clock()
        seen: AttemptSeen
        if is_deleted:
            seen = observe_deleted_child(link, metadata, now=now)
        else:
            seen = observe_child(link, metadata, run.object.spec, run.head, now=now)
        self._registry.record_fact(parent, seen)


def _parent_uid(run: LiveRun, link: ParentLink) -> RunUid:
    return RunUid(run.key.namespace, link.uid)
