"""Changes of runs, of their Flows and of their revisions, as reflectors and kopf report them."""

from __future__ import annotations

from penstock.engine.keys import ObjectKey, RunKey, RunUid
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType
from penstock_operator.runs.attempts.child_runs import ChildRuns
from penstock_operator.runs.attempts.orphans import Orphans
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.parked import ParkedRuns
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.start import RunStarter


class RunEvents:
    """Has the runs reconciled that a change concerns.

    Args:
        registry: the live runs.
        parked: those that were set aside: a change may mend what was wrong.
        orphans: Pods whose runs are not known yet.
        initial_sync: the runs that are still to be reconciled after a start.
        child_runs: a run that is deleted frees quota for others.
        starter: knows what runs wait for.
    """

    def __init__(
        self,
        registry: RunRegistry,
        parked: ParkedRuns,
        *,
        orphans: Orphans,
        initial_sync: InitialSync,
        child_runs: ChildRuns,
        starter: RunStarter,
    ) -> None:
        self._registry = registry
        self._parked = parked
        self._orphans = orphans
        self._initial_sync = initial_sync
        self._child_runs = child_runs
        self._starter = starter

    def on_run(self, event: EventType, run: PartialObject) -> None:
        """Handle a change of a run that has begun and has not finished, as far as its metadata shows it."""
        metadata = run.metadata
        key = RunKey(metadata.namespace, metadata.name)
        known = self._registry.find_run_by_key(key)
        if event is EventType.DELETED or metadata.deletion_timestamp is not None:
            self._parked.release(key)
            self._child_runs.report_freed_quota(key.namespace)
            if known is None or (known.machine is not None and known.machine.is_finished):
                # Its end takes it out of this watch. If it is deleted instead, the write of its end finds that out.
                return
            known.needs_recheck = True
        elif known is not None and known.uid == metadata.uid:
            if metadata.generation == known.generation:
                return
            known.is_spec_stale = True
            self._parked.release(key)
        else:
            uid = RunUid(key.namespace, metadata.uid)
            if self._registry.is_finished(uid):
                # The watch is behind: its end is stored already.
                return
            self._orphans.expect_run(uid)
            self._initial_sync.expect_run(key)
        self._registry.queue.add(key)

    def on_new_run(self, event: EventType, found: FlowRun) -> None:
        """Handle a change of a run that has no status yet."""
        known = self._registry.find_run_by_key(found.key)
        if event is not EventType.DELETED and (known is None or found.metadata.generation > known.generation):
            self._parked.release(found.key)
        if event is not EventType.DELETED:
            self._registry.announce_run(found)
            return
        # Or it has a status now; then what is known of it is newer, or the reply to that write is on the way.
        if known is not None and known.uid == found.uid and known.epoch is None and known.flushing is None:
            self._registry.recheck_run(known)

    def on_restored_run(self, run: PartialObject) -> None:
        """Handle a run that has got its final status from a backup: others may wait to retry it."""
        self._starter.on_run_finished(RunKey(run.metadata.namespace, run.metadata.name))

    def on_flow(self, key: ObjectKey) -> None:
        """Handle a Flow that has appeared or changed: runs may wait for it, or its limit may be another."""
        self._parked.release_runs_of(key)
        self._registry.spawn_about("Flow", key, self._starter.on_flow(key))

    def on_revision(self, event: EventType, item: PartialObject) -> None:
        """Handle a change of a revision: one that a run needs is stored again if it is deleted.

        The Flow of the run may be another by now, so it is stored from what the run was compiled from.
        """
        if event is EventType.DELETED:
            run = self._registry.find_user(item.metadata.key)
            if run is not None:
                self._registry.spawn(run, self._starter.restore_revision(run))
