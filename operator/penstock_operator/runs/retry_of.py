"""Retries of runs: what a new run takes from the one that it retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_run import MAX_LINEAGE, FlowRunSpec, RunReference
from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import RunKey
from penstock.engine.machine.run.unstarted import Waiting
from penstock.engine.reasons import Reason
from penstock.engine.restart import check_reference, check_references
from penstock.engine.state import RunState
from penstock.engine.suggestion import suggest
from penstock.errors import InvalidSpecError, Problem
from penstock.kube.errors import ApiError, is_not_found
from penstock.kube.kinds.flow_run import FlowRun
from penstock_operator.flows.store import FlowStore
from penstock_operator.runs.live_run import read_spec
from penstock_operator.runs.status import StatusStore

NAME_PATH: Final = "spec.retryOf.name"


class Retried(NamedTuple):
    """What a run takes from the one that it retries."""

    flow: str | None
    """Name of the Flow; None for an inline spec."""
    revision: str | None
    """The revision that it had; None: the Flow as it is now."""
    inline: InlineFlowSpec | None
    """The spec, if it was inline, with the defaults that it had."""
    inherits: bool
    """Whether an inline spec takes the defaults that are in force now."""
    params: Mapping[str, Any]
    """The values that it had."""
    given: Mapping[str, Any]
    """The values that replace single ones of these."""
    references: tuple[RunReference, ...]
    """The `retryOf` of the new run, and those of the retries before it that never started."""
    tasks: list[Mapping[str, Any]]
    """Its tasks as its status has them."""
    ancestor: dict[str, Any]
    """What `status.retryOf` of the new run says."""


class RetriedRuns:
    """Reads the runs that others retry.

    Args:
        statuses: reads runs.
        flows: reads revisions.
    """

    def __init__(self, statuses: StatusStore, flows: FlowStore) -> None:
        self._statuses = statuses
        self._flows = flows

    async def resolve_retry(self, run: RunKey, spec: FlowRunSpec) -> Retried | Waiting:
        """Return what a run takes from the one that it retries, or that it waits for that one's end.

        Args:
            run: the run that retries.
            spec: its spec.

        Raises:
            InvalidSpecError: there is no such run, or nothing can be taken from it.
            ApiError: it cannot be read.
        """
        assert spec.retry_of is not None
        if problems := list(check_reference(spec.retry_of)):
            raise InvalidSpecError(problems)
        old, old_spec = await self._read_run(run, spec.retry_of.name)
        if not old.is_finished:
            message = f"waits for the end of run {spec.retry_of.name}, which is {old.state}"
            return Waiting(RunState.PENDING, Reason.RETRY_OF_UNFINISHED, message)
        ancestor = _ancestor(old)
        seen = {run.name}
        references, given = [spec.retry_of], dict(spec.params or {})
        while old_spec.retry_of is not None and not old.tasks:
            # It never started: the new run takes what this one would have taken.
            if old.metadata.name in seen:
                raise InvalidSpecError([Problem(NAME_PATH, "forms a cycle: these runs retry each other")])
            seen.add(old.metadata.name)
            references.append(old_spec.retry_of)
            given = {**(old_spec.params or {}), **given}
            old, old_spec = await self._read_run(run, old_spec.retry_of.name)
        if problems := list(check_references(references, old.tasks)):
            raise InvalidSpecError(problems)
        retried = Retried(
            flow=None if old_spec.flow is None else old_spec.flow.name,
            revision=old.revision,
            inline=old_spec.flow_spec,
            inherits=spec.retry_of.revision == "Latest",
            params=old.stored_params or old_spec.params or {},
            given=given,
            references=tuple(references),
            tasks=list(old.tasks),
            ancestor=ancestor,
        )
        if old_spec.retry_of is not None or (retried.inline and retried.revision and not retried.inherits):
            retried = await self._from_revision(run, retried)
        if spec.retry_of.revision == "Latest" and retried.flow is not None:
            return retried._replace(revision=None)
        return retried

    async def _read_run(self, run: RunKey, name: str) -> tuple[FlowRun, FlowRunSpec]:
        if name == run.name:
            raise InvalidSpecError([Problem(NAME_PATH, "a run cannot retry itself")])
        found = await self._statuses.read_run(RunKey(run.namespace, name))
        if found is None:
            message = f"the FlowRun {name} does not exist in namespace {run.namespace}: start a new run instead"
            raise InvalidSpecError([Problem(NAME_PATH, message)])
        try:
            return found, read_spec(found)
        except InvalidSpecError as error:
            raise InvalidSpecError([Problem(NAME_PATH, f"the FlowRun {name} cannot be retried: {error}")]) from error

    async def _from_revision(self, run: RunKey, retried: Retried) -> Retried:
        """Find the flow of a run that is a retry itself: its revision names it."""
        if retried.revision is None:
            raise InvalidSpecError(
                [Problem(NAME_PATH, "the run's status does not name its revision: start a new run instead")]
            )
        try:
            kept = await self._flows.read_revision(run.namespace, retried.revision)
        except ApiError as error:
            if not is_not_found(error):
                raise
            raise InvalidSpecError([Problem(NAME_PATH, gone_revision(retried.revision))]) from error
        if kept.flow is None:
            return retried._replace(inline=kept.spec)
        return retried._replace(flow=kept.flow)


def check_restarted_tasks(retried: Retried, plan: Plan) -> None:
    """Check that the Flow as it is now still has the tasks that are to run again.

    Raises:
        InvalidSpecError: it has not.
    """
    for reference in retried.references:
        if reference.from_ is not None and reference.from_ not in plan.positions:
            hint = suggest(reference.from_, plan.positions)
            message = f"the Flow as it is now has no task {reference.from_}{hint}: use revision: Same, or another task"
            raise InvalidSpecError([Problem("spec.retryOf.from", message)])


def gone_revision(revision: str) -> str:
    """Return the message for a revision that is not kept any more."""
    return (
        f"the revision {revision} of the run does not exist any more, because the Flow has changed and no unfinished "
        "run needs it: use revision: Latest"
    )


def _ancestor(old: FlowRun) -> dict[str, Any]:
    before = old.retry_of
    ancestor: dict[str, Any] = {"name": old.metadata.name, "uid": old.uid}
    if before is not None:
        ancestor["lineage"] = [*before.get("lineage", ()), before["name"]][-MAX_LINEAGE:]
    return ancestor
