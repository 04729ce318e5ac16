"""The start of a local run: its params, its slot among the runs of its Flow, and its workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.api.flow_run import FlowRunSpec
from penstock.engine.compiler.params import resolve_params
from penstock.engine.concurrency.slots import Claim, Queued, Replaced, Skipped, Slots
from penstock.engine.keys import ObjectKey
from penstock.engine.machine.control import read_control
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.machine.run.unstarted import Ended, Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState
from penstock.errors import ExpressionError, InvalidSpecError
from penstock.local.pods.local_run import LocalRun


class RunStarter:
    """Starts runs, as far as their params and their Flow's concurrency allow.

    Args:
        slots: the slots of all Flows.
        folder: the directory for workspaces.
        clock: seconds since the epoch.
    """

    def __init__(self, slots: Slots, folder: Path, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._folder = folder
        self._clock = clock

    def start_run(self, run: LocalRun) -> Machine | Waiting | Ended:
        """Return the machine of a run, or why it does not start, or not yet."""
        spec = run.spec
        ending = run.ending or (None if spec.shutdown is None else Shutdown.by_spec(spec.shutdown))
        if ending is not None:
            return Ended.by(ending)
        try:
            run.params = resolve_params(run.source.plan.params, spec.params)
            refused = self._ask_for_slot(run, spec)
        except InvalidSpecError as error:
            return Ended(RunState.FAILED, Reason.INVALID_PARAMS, str(error))
        except ExpressionError as error:
            return Ended(RunState.FAILED, Reason.EXPRESSION_ERROR, str(error))
        if refused is not None:
            return refused
        if run.source.plan.workspace is not None:
            run.workspace = self._folder / f"workspace-{run.uid}"
            run.workspace.mkdir()
            # Containers may run as any user.
            run.workspace.chmod(0o777)
        return Machine(run.source.plan, run.identity, run.params, now=self._clock(), control=read_control(spec))

    def _ask_for_slot(self, run: LocalRun, spec: FlowRunSpec) -> Waiting | Ended | None:
        flow, limit = run.source.flow, run.source.limit
        # A run that is nested in a run of its own Flow uses that run's slot: waiting for one would never end.
        if flow is None or limit is None or (run.parent is not None and flow in run.parent[1].callers):
            return None
        identity = run.identity
        values = {
            "params": run.params,
            "run": {
                "namespace": identity.namespace,
                "name": identity.name,
                "uid": identity.uid,
                "scheduledTime": identity.scheduled_time,
            },
        }
        claim = Claim(run.key, run.uid, run.created_at, spec.priority or 0, values)
        verdict = self._slots.request_slot(ObjectKey(run.key.namespace, flow), claim, limit)
        if isinstance(verdict, Queued):
            return Waiting(RunState.QUEUED, Reason.CONCURRENCY_LIMIT, verdict.message, verdict.position)
        if isinstance(verdict, Skipped):
            return Ended(RunState.SKIPPED, Reason.CONCURRENCY_LIMIT, verdict.message)
        if isinstance(verdict, Replaced):
            return Ended(RunState.CANCELLED, Reason.RUN_REPLACED, verdict.message)
        return None
