"""Admission: a person who applies an object is shown immediately what is wrong with it.

A convenience: the engine checks everything again, and an object that bypassed this webhook becomes a Flow that is not
ready or a run that failed, with the same message. So an object that cannot be checked is allowed, with a warning.
An answer says something about another object, such as the params of a run's Flow, only to a user who may read it.
Reviews are `admission.k8s.io/v1`: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from penstock.api import names
from penstock.api.flow import FlowSpec
from penstock.api.flow_run import FlowRunSpec, RunReference
from penstock.api.schedule import ScheduleSpec
from penstock.engine.compiler.params import resolve_params
from penstock.engine.restart import check_against_run, check_reference
from penstock.engine.ticks.backfill_ticks import past_ticks, read_span
from penstock.engine.validation.flow_defaults import check_flow_defaults, parse_flow_defaults
from penstock.engine.validation.validation import (
    check_backfill,
    check_flow,
    check_run,
    check_schedule,
    parse_backfill,
    parse_flow,
    parse_run,
    parse_schedule,
)
from penstock.engine.validation.warnings import approval_warnings, image_warnings, name_warnings
from penstock.errors import InvalidSpecError, PenstockError, Problem
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.resources import FLOWRUNS, FLOWS, SCHEDULES, Resource
from penstock_operator.triggers.kinds import EventKinds, check_allowed_kinds

logger = logging.getLogger(__name__)

LOOKUP_S: Final = 3.0
"""Longest wait for another object: the API server waits for the answer, and with it the person."""
CHECK_THREADS: Final = 2
"""Each takes its turn with the event loop, so more of them would delay everything else."""
MAX_SHOWN_PROBLEMS: Final = 20
MAX_SHOWN_WARNINGS: Final = 10
MAX_WARNING_CHARACTERS: Final = 256
"""The API server cuts a longer warning."""

Review = Mapping[str, Any]
Lookup = Callable[[str, str], Awaitable[FlowSpec | None]]
"""Finds a Flow by namespace and name: None if there is none, InvalidSpecError if its spec is invalid."""
ScheduleLookup = Callable[[str, str], Awaitable[ScheduleSpec | None]]
"""Finds a Schedule, likewise."""
RunLookup = Callable[[str, str], Awaitable[FlowRun | None]]
"""Finds a FlowRun; None if there is none."""
MayGet = Callable[[Mapping[str, Any], Resource, str, str], Awaitable[bool]]
"""Whether a user may read an object: `userInfo` of the request, kind, namespace, name."""
T = TypeVar("T")
P = ParamSpec("P")
KIND_NAMES: Final = {FLOWS: "Flow", FLOWRUNS: "FlowRun", SCHEDULES: "Schedule"}


class _NotReadError(PenstockError):
    """Another object was not read; the message says why, as the begin of a sentence."""


class Findings(NamedTuple):
    """The result of checking an object."""

    problems: Sequence[Problem] = ()
    """Errors: the object is rejected."""
    warnings: Sequence[str] = ()
    """What is valid and may surprise."""


Check = Callable[[Review], Awaitable[Findings]]
"""Checks the object of a request; may raise InvalidSpecError instead of returning problems."""


class Admission:
    """Answers the reviews of all kinds.

    Args:
        lookup: finds the Flow that a run or a Schedule names.
        schedule_lookup: finds the Schedule that a Backfill names.
        run_lookup: finds the run that another one retries.
        may_get: whether a user may read an object. An object is looked up only for users who may.
        event_kinds: kinds of objects whose changes may trigger Schedules.
        recent: finds Flows that may be a little out of date. A run that is valid for such a Flow is allowed; before
            a run is rejected or warned about, its Flow is read as it is now.
    """

    def __init__(
        self,
        lookup: Lookup,
        schedule_lookup: ScheduleLookup,
        run_lookup: RunLookup,
        event_kinds: EventKinds = MappingProxyType({}),
        *,
        may_get: MayGet,
        recent: Lookup | None = None,
    ) -> None:
        self._lookup = lookup
        self._recent = recent
        self._event_kinds = event_kinds
        self._schedule_lookup = schedule_lookup
        self._run_lookup = run_lookup
        self._may_get = may_get
        self._threads = ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="admission")

    async def validate_flow(self, body: Review) -> dict[str, Any]:
        """Review a Flow.

        Args:
            body: an AdmissionReview with a request.

        Returns:
            The AdmissionReview with the response.
        """
        return await review(body, self._check_flow)

    async def validate_flowrun(self, body: Review) -> dict[str, Any]:
        """Review a FlowRun, likewise. One whose Flow does not exist yet passes: apply order does not matter."""
        return await review(body, _unless_restored(self._check_flowrun))

    async def validate_schedule(self, body: Review) -> dict[str, Any]:
        """Review a Schedule, likewise."""
        return await review(body, self._check_schedule)

    async def validate_backfill(self, body: Review) -> dict[str, Any]:
        """Review a Backfill, likewise. One whose Schedule does not exist yet passes, as it waits for it."""
        return await review(body, _unless_restored(self._check_backfill))

    async def validate_flow_defaults(self, body: Review) -> dict[str, Any]:
        """Review FlowDefaults, likewise."""
        return await review(body, self._check_flow_defaults)

    async def _check_flow_defaults(self, request: Review) -> Findings:
        problems = await self._in_thread(lambda: check_flow_defaults(parse_flow_defaults(request["object"])))
        return Findings(problems, tuple(name_warnings(request["object"])))

    async def _check_flow(self, request: Review) -> Findings:
        def check() -> Findings:
            spec = parse_flow(request["object"])
            return Findings(check_flow(spec), tuple(image_warnings(spec, "spec")))

        return await self._in_thread(check)

    async def _check_flowrun(self, request: Review) -> Findings:
        is_inline = "flowSpec" in (request["object"].get("spec") or {})
        spec = await self._in_thread(parse_run, request["object"]) if is_inline else parse_run(request["object"])
        if request["operation"] == "UPDATE":
            # It keeps the revision that it began with: the Flow as it is now does not matter.
            warnings = await self._approval_warnings(request, spec)
            return Findings(await self._in_thread(check_run, spec, None), warnings)
        if self._recent is not None and spec.flow is not None:
            findings = await self._check_new_run(request, spec, self._recent)
            if not (findings.problems or findings.warnings):
                return findings
        return await self._check_new_run(request, spec, self._lookup)

    async def _check_new_run(self, request: Review, spec: FlowRunSpec, lookup: Lookup) -> Findings:
        flow, warnings = await self._referred_flow(request, spec, "spec", "the run waits for it", lookup)
        warnings += tuple(approval_warnings(spec, flow))
        if spec.retry_of is not None:
            found = await self._check_retry(request, spec, spec.retry_of)
            return Findings([*check_run(spec, flow), *found.problems], (*warnings, *found.warnings))
        if spec.flow_spec is None:
            # Nothing to compile, so quicker than a thread.
            return Findings(check_run(spec, flow), warnings)
        return Findings(await self._in_thread(check_run, spec, flow), warnings)

    async def _approval_warnings(self, request: Review, spec: FlowRunSpec) -> tuple[str, ...]:
        """Warn of new decisions about approvals that the flow does not have."""
        before = (request.get("oldObject") or {}).get("spec") or {}
        if spec.approvals is None or (request["object"].get("spec") or {}).get("approvals") == before.get("approvals"):
            return ()
        flow, _ = await self._referred_flow(request, spec, "spec", "")
        return tuple(approval_warnings(spec, flow))

    async def _check_retry(self, request: Review, spec: FlowRunSpec, reference: RunReference) -> Findings:
        """Check a retry against the run that it names.

        Warns if that has not finished, or does not exist: it may be applied a moment later.
        """
        where, name = "spec.retryOf.name", reference.name
        try:
            run = await self._find(request, FLOWRUNS, name, self._run_lookup)
        except _NotReadError:
            return Findings()
        if run is None:
            condition = f"{name} is created within a few seconds"
            return Findings(warnings=(f"{where}: FlowRun {name} does not exist: this retry fails unless {condition}",))
        if not run.is_finished:
            return Findings(warnings=(f"{where}: FlowRun {name} has not finished: the retry waits for it",))
        # The items of a `retryOf` that is invalid by itself are not looked at.
        problems = [] if any(check_reference(reference)) else list(check_against_run(reference, run.tasks))
        params = await self._check_retried_params(request, spec, run)
        if reference.revision == "Latest":
            return Findings([*problems, *params])
        # The revision of the run decides, which was perhaps another one.
        return Findings(problems, [f"{one.path}: {one.message} (in the Flow as it is now)" for one in params])

    async def _check_retried_params(self, request: Review, spec: FlowRunSpec, run: FlowRun) -> Sequence[Problem]:
        """Check the params of a retry, which replace those of a run, against the Flow as it is now."""
        if not spec.params or run.flow is None:
            return ()
        try:
            flow = await self._find(request, FLOWS, run.flow, self._lookup)
            if flow is not None:
                declared = {param.name for param in flow.params or ()}
                kept = {name: value for name, value in run.stored_params.items() if name in declared}
                resolve_params(flow.params, {**kept, **spec.params})
        except InvalidSpecError as error:
            return error.problems
        except _NotReadError:
            return ()
        return ()

    async def _check_schedule(self, request: Review) -> Findings:
        spec = await self._in_thread(parse_schedule, request["object"])
        path = "spec.runTemplate.spec"
        # Params of a template hold expressions over the tick, so they are checked when there is a tick.
        _, warnings = await self._referred_flow(request, spec.run_template.spec, path, "its runs will wait for it")
        problems = await self._in_thread(check_schedule, spec)
        known = {problem.path for problem in problems}
        # Kinds that are never allowed are among the problems already.
        problems += [one for one in check_allowed_kinds(spec, self._event_kinds) if one.path not in known]
        return Findings(problems, warnings)

    async def _check_backfill(self, request: Review) -> Findings:
        spec = parse_backfill(request["object"])
        problems = check_backfill(spec)
        if problems or request["operation"] == "UPDATE":
            return Findings(problems)
        where, name = "spec.schedule.name", spec.schedule.name
        try:
            schedule = await self._find(request, SCHEDULES, name, self._schedule_lookup)
        except InvalidSpecError:
            return Findings(
                warnings=(f"{where}: Schedule {name} is invalid: the Backfill waits until it is corrected",)
            )
        except _NotReadError as error:
            return Findings(warnings=(f"{where}: {error}, so the ticks were not counted",))
        if schedule is None:
            return Findings(warnings=(f"{where}: Schedule {name} does not exist yet: the Backfill waits for it",))
        now = datetime.now(tz=UTC)
        await self._in_thread(past_ticks, spec, schedule, now)
        if read_span(spec)[1] > now:
            return Findings(
                warnings=("spec.to: is in the future: the Schedule itself creates the runs of ticks after now",)
            )
        return Findings()

    async def _referred_flow(
        self, request: Review, run: FlowRunSpec, path: str, consequence: str, lookup: Lookup | None = None
    ) -> tuple[FlowSpec | None, tuple[str, ...]]:
        """Find the Flow that a run names, and the warnings about it or about the inline spec."""
        if run.flow is None:
            return None, () if run.flow_spec is None else tuple(image_warnings(run.flow_spec, f"{path}.flowSpec"))
        where, name = f"{path}.flow.name", run.flow.name
        try:
            flow = await self._find(request, FLOWS, name, lookup or self._lookup)
        except InvalidSpecError:
            return None, (f"{where}: Flow {name} is invalid: see kubectl describe flow {name}",)
        except _NotReadError as error:
            return None, (f"{where}: {error}, so the run was not checked against it",)
        if flow is None:
            return None, (f"{where}: Flow {name} does not exist yet: {consequence}",)
        return flow, ()

    async def _find(
        self, request: Review, resource: Resource, name: str, lookup: Callable[[str, str], Awaitable[T]]
    ) -> T:
        """Find an object that the request refers to.

        Raises:
            InvalidSpecError: its spec is invalid.
            _NotReadError: the user may not read it, or it could not be read.
        """
        namespace, kind = request.get("namespace", ""), KIND_NAMES[resource]
        try:
            async with asyncio.timeout(LOOKUP_S):
                if await self._may_get(request.get("userInfo") or {}, resource, namespace, name):
                    return await lookup(namespace, name)
        except InvalidSpecError:
            raise
        except (PenstockError, OSError, TimeoutError) as error:
            logger.warning("Failed to read %s %s/%s for admission: %s", kind, namespace, name, error)
            raise _NotReadError(f"{kind} {name} could not be read") from error
        raise _NotReadError(f"you are not allowed to read {kind} {name}")

    async def _in_thread(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may take a second, as to compile thousands of tasks does: the engine shares the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(check, *args, **kwargs))


async def review(body: Review, check: Check) -> dict[str, Any]:
    """Answer a review.

    An update that does not change the spec is always allowed, even if the spec breaks a rule that was added later: such
    an object must still get labels and lose its finalizers.

    Args:
        body: an AdmissionReview with a request.
        check: checks the object; called only if there is something to check.

    Returns:
        The AdmissionReview with the response. Never raises: an object that cannot be checked is allowed with a warning.
    """
    request: Review = {}
    try:
        request = dict(body["request"])
        findings = await check(request) if _is_worth_checking(request) else Findings()
    except InvalidSpecError as error:
        findings = Findings(error.problems)
    except Exception:
        logger.exception("Failed to check an object; it is allowed, and checked again when it is used")
        findings = Findings(warnings=("Penstock could not check this object; it is checked again when it is used",))
    return _answer(request, findings)


def _is_worth_checking(request: Review) -> bool:
    if request.get("operation") not in {"CREATE", "UPDATE"} or request.get("subResource"):
        return False
    now, before = request["object"], request.get("oldObject") or {}
    if now.get("metadata", {}).get("deletionTimestamp"):
        return False
    return bool(request["operation"] == "CREATE" or now.get("spec") != before.get("spec"))


def _answer(request: Review, findings: Findings) -> dict[str, Any]:
    response: dict[str, Any] = {"uid": request.get("uid", ""), "allowed": not findings.problems}
    if findings.problems:
        response["status"] = _refusal(request, findings.problems)
    if findings.warnings:
        response["warnings"] = [_short(text) for text in findings.warnings[:MAX_SHOWN_WARNINGS]]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _refusal(request: Review, problems: Sequence[Problem]) -> dict[str, Any]:
    """Make a `metav1.Status` that kubectl prints as it prints the API server's own: a list of fields and problems."""
    shown = list(problems[:MAX_SHOWN_PROBLEMS])
    if len(problems) > len(shown):
        shown.append(Problem("spec", f"and {len(problems) - len(shown)} more problems"))
    kind = request.get("kind") or {}
    return {
        "status": "Failure",
        "code": int(HTTPStatus.UNPROCESSABLE_ENTITY),
        "reason": "Invalid",
        "message": "\n".join(str(problem) for problem in shown),
        "details": {
            "name": _name(request),
            "group": kind.get("group", ""),
            "kind": kind.get("kind", ""),
            "causes": [
                {"reason": "FieldValueInvalid", "field": problem.path, "message": problem.message} for problem in shown
            ],
        },
    }


def _name(request: Review) -> str:
    """Return an object's name, which may not be generated yet."""
    metadata = (request.get("object") or {}).get("metadata") or {}
    return str(request.get("name") or metadata.get("name") or metadata.get("generateName") or "")


def _short(text: str) -> str:
    return text if len(text) <= MAX_WARNING_CHARACTERS else f"{text[: MAX_WARNING_CHARACTERS - 3]}..."


def _unless_restored(check: Callable[[Review], Awaitable[Findings]]) -> Callable[[Review], Awaitable[Findings]]:
    """Accept a run or Backfill that is restored from a backup: it will not run, and its Flow may be another by now."""

    async def checked(request: Review) -> Findings:
        labels = (request["object"].get("metadata") or {}).get("labels") or {}
        is_restored = request["operation"] == "CREATE" and names.LABEL_RESTORED in labels
        return Findings() if is_restored else await check(request)

    return checked
