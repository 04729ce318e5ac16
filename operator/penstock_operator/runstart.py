"""How a run begins, and how one that has begun is picked up again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.api.flow import InlineFlowSpec
from penstock.engine.control import read_control
from penstock.engine.identity import ENGINE_VERSION
from penstock.engine.machine import Machine
from penstock.engine.params import resolve_params
from penstock.engine.plan import Plan
from penstock.engine.reasons import Reason
from penstock.engine.report import conditions
from penstock.engine.state import RunState
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation import parse_flow, parse_run
from penstock.errors import InvalidSpecError, StoredStatusError
from penstock_operator.errors import ApiError, is_not_found
from penstock_operator.flowstore import FlowStore
from penstock_operator.liverun import LiveRun, RunKey
from penstock_operator.metadata import ObjectKey
from penstock_operator.revision import Owner

logger = logging.getLogger(__name__)


class Started(NamedTuple):
    """A run that can go on."""

    machine: Machine


class NotStarted(NamedTuple):
    """A run that waits, or that can't run."""

    status: dict[str, Any] | None
    """What to store, if it is not stored yet."""
    is_over: bool = False


class RunStarter:
    """Begins runs.

    Args:
        flows: Flows and revisions.
    """

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows

    def read(self, key: RunKey, body: Mapping[str, Any]) -> LiveRun:
        """Make a run of its object. A spec that can't be read is found out about by `start`."""
        metadata, status = body["metadata"], body.get("status") or {}
        run = LiveRun(
            key=key,
            uid=metadata["uid"],
            generation=metadata["generation"],
            resource_version=metadata["resourceVersion"],
            body=body,
            revision=status.get("revision"),
            epoch=status.get("epoch"),
            observed_generation=status.get("observedGeneration"),
        )
        run.flow = ((body.get("spec") or {}).get("flow") or {}).get("name")
        return run

    def renew(self, run: LiveRun, body: Mapping[str, Any], now: float) -> None:
        """Take over what may change in a run's spec."""
        run.body = body
        run.generation = body["metadata"]["generation"]
        if run.machine is None:
            return
        try:
            run.machine.set_control(read_control(parse_run(body)), now)
        except InvalidSpecError as error:
            logger.warning("%s: its changed spec is not taken over: %s", run.key, error)

    async def start(self, run: LiveRun, now: float) -> Started | NotStarted:
        """Get a run its machine.

        Args:
            run: the run.
            now: seconds since the epoch.

        Raises:
            ApiError: the API server refused a read or a write that should work.
            ApiUnreachableError: it did not answer.
        """
        stored = run.body.get("status") or {}
        try:
            spec = parse_run(run.body)
            if stored.get("tasks"):
                plan = await self._resumed_plan(run, spec.flow_spec)
            else:
                flow: InlineFlowSpec | None = spec.flow_spec
                if flow is None:
                    assert spec.flow is not None
                    flow_key = ObjectKey(run.key.namespace, spec.flow.name)
                    found = await self._flows.read(flow_key)
                    if found is None:
                        return self._waiting(flow_key, stored, now)
                    flow = parse_flow(found)
                    owner = Owner(run.key.namespace, spec.flow.name, found["metadata"]["uid"])
                    plan = await self._flows.compile(owner, flow)
                    run.revision = await self._flows.keep(owner, flow)
                else:
                    plan = await self._inline_plan(run, flow)
            params = resolve_params(plan.params, spec.params)
            machine = Machine(plan, run.identity, params, now=now, stored=stored, control=read_control(spec))
        except InvalidSpecError as error:
            is_params = all(problem.path.startswith("spec.params") for problem in error.problems)
            return _refused(run, Reason.INVALID_PARAMS if is_params else Reason.INVALID_SPEC, str(error), now)
        except StoredStatusError as error:
            return _refused(run, Reason.INVALID_STATUS, str(error), now)
        return Started(machine)

    async def _resumed_plan(self, run: LiveRun, inline: InlineFlowSpec | None) -> Plan:
        if inline is not None:
            return await self._inline_plan(run, inline)
        if run.revision is None:
            raise StoredStatusError("the stored status names no revision")
        try:
            return await self._flows.load(run.key.namespace, run.revision)
        except ApiError as error:
            if is_not_found(error):
                raise StoredStatusError(f"the revision {run.revision} that the run began with is gone") from error
            raise

    async def _inline_plan(self, run: LiveRun, spec: InlineFlowSpec) -> Plan:
        owner = Owner(run.key.namespace, run.key.name, run.uid)
        plan = await self._flows.compile(owner, spec)
        if any(task.has_script for task in plan.tasks):
            run.revision = await self._flows.keep(owner, spec, is_owned_by_run=True)
        return plan

    def _waiting(self, flow: ObjectKey, stored: Mapping[str, Any], now: float) -> NotStarted:
        if stored.get("reason") == Reason.FLOW_NOT_FOUND:
            return NotStarted(None)
        message = f"the Flow {flow.name} does not exist in namespace {flow.namespace}; the run starts when it does"
        return NotStarted(_status(RunState.PENDING, Reason.FLOW_NOT_FOUND, message, now))


def _refused(run: LiveRun, reason: Reason, message: str, now: float) -> NotStarted:
    logger.info("%s can't run: %s: %s", run.key, reason, message)
    status = _status(RunState.FAILED, reason, message, now) | {"completionTime": rfc3339(now)}
    return NotStarted(status, is_over=True)


def _status(state: RunState, reason: Reason, message: str, now: float) -> dict[str, Any]:
    return {
        "state": str(state),
        "reason": str(reason),
        "message": message,
        "engine": ENGINE_VERSION,
        "conditions": conditions(state, message=message, since=now),
    }
