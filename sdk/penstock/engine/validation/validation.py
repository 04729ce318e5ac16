"""Whether a Flow, FlowRun, Schedule or Backfill is valid; of FlowDefaults see `flow_defaults`.

The webhook, the operator and the command line all validate here, and so give the same answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from penstock.api.backfill import BackfillSpec
from penstock.api.duration import duration_s
from penstock.api.flow import FlowSpec, InlineFlowSpec
from penstock.api.flow_run import FlowRunSpec
from penstock.api.schedule import RunTemplate, ScheduleSpec
from penstock.engine.audit import records_of
from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.compiled_limit import compile_concurrency
from penstock.engine.expressions.expression import Scope
from penstock.engine.expressions.scope import TICK_ROOTS
from penstock.engine.expressions.template import ValueTemplate, compile_value
from penstock.engine.restart import check_reference
from penstock.engine.ticks.backfill_ticks import read_span
from penstock.engine.ticks.timetable import has_ticks, read_timetable
from penstock.engine.triggers.trigger import check_triggers, params_of_every_event
from penstock.engine.validation.parsing import parse, parse_backfill, parse_flow, parse_run, parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError, Problem

__all__ = [
    "check_backfill",
    "check_flow",
    "check_run",
    "check_schedule",
    "compile_tick_params",
    "parse",
    "parse_backfill",
    "parse_flow",
    "parse_run",
    "parse_schedule",
    "scheduled_at",
]

MAX_FLOW_BYTES: Final = 2**20
LEAST_WITHIN_S: Final = 10
"""A run is created some milliseconds after its tick, or after a leader election."""
LONGEST_JITTER_S: Final = 86_400
MAX_FLOW_SPEC_BYTES: Final = 256 * 2**10
"""Of an inline spec: the run's status has to fit beside it."""


def check_flow(spec: FlowSpec) -> list[Problem]:
    """Find what is wrong with a Flow.

    Args:
        spec: its spec.

    Returns:
        The problems, in the order of the spec; none if it is valid.
    """
    return [*_check_size(spec, MAX_FLOW_BYTES, "spec"), *_check_plan(spec), *_check_concurrency(spec)]


def check_run(run: FlowRunSpec, flow: InlineFlowSpec | None) -> list[Problem]:
    """Find what is wrong with a FlowRun.

    Args:
        run: its spec.
        flow: the Flow that it names, if that is known. Problems of that Flow are not the run's.

    Returns:
        The problems; none if it can start.
    """
    return list(_check_run(run, flow, path="spec", later=()))


def check_schedule(spec: ScheduleSpec) -> list[Problem]:
    """Find what is wrong with a Schedule.

    Args:
        spec: its spec.

    Returns:
        The problems; none if it can create runs. The Flow that it names is not checked: it may be created later.
    """
    problems: list[Problem] = []
    try:
        read_timetable(spec)
    except InvalidSpecError as error:
        problems += error.problems
    problems += _check_policies(spec)
    path = "spec.runTemplate.spec"
    run = spec.run_template.spec
    later: list[str] = []
    if has_ticks(spec):
        try:
            templates = compile_tick_params(run.params, path=f"{path}.params")
            later = [name for name, template in templates.items() if not template.is_constant]
        except InvalidSpecError as error:
            problems += error.problems
            later = list(run.params or ())
    else:
        # Params that every event sets need not be in the template.
        run = run.model_copy(update={"params": {**params_of_every_event(spec), **(run.params or {})}})
        later = list(run.params or ())
    problems += check_triggers(spec)
    problems += _check_template(spec.run_template, path="spec.runTemplate")
    problems += _check_run(run, None, path=path, later=later)
    return problems


def _check_template(template: RunTemplate, *, path: str) -> Iterator[Problem]:
    """Find what only people may write into a run, one run at a time."""
    if template.spec.approvals:
        yield Problem(f"{path}.spec.approvals", "must not be set: each run is decided about when it asks; remove it")
    extra = template.metadata.annotations if template.metadata is not None else None
    for name in records_of(extra or {}):
        yield Problem(f"{path}.metadata.annotations", f"must not contain {name}: it records who did what; remove it")


def check_backfill(spec: BackfillSpec) -> list[Problem]:
    """Find what is wrong with a Backfill.

    Args:
        spec: its spec.

    Returns:
        The problems; none if it can begin. The Schedule that it names is not checked: it may be created later.
    """
    try:
        read_span(spec)
    except InvalidSpecError as error:
        return list(error.problems)
    return []


def scheduled_at(run: FlowRunSpec, *, path: str = "spec") -> float | None:
    """Return the earliest start time of a run, in seconds since the epoch; None if its spec has none.

    Raises:
        InvalidSpecError: it is not a time.
    """
    text = run.scheduled_time
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        message = f'must be an RFC 3339 time with an offset, such as 2026-11-24T02:30:00Z; got "{text}"'
        raise InvalidSpecError([Problem(f"{path}.scheduledTime", message)])
    return time.timestamp()


def _check_policies(spec: ScheduleSpec) -> Iterator[Problem]:
    missed = spec.on_missed
    if missed is not None and missed.within is not None and duration_s(missed.within) < LEAST_WITHIN_S:
        yield Problem("spec.onMissed.within", f"must be at least {LEAST_WITHIN_S}s; got {missed.within}")
    if missed is not None and missed.max is not None and missed.policy != "All":
        yield Problem("spec.onMissed.max", "requires policy: All")
    if spec.max_queued is not None and spec.on_overlap != "Queue":
        yield Problem("spec.maxQueued", "requires onOverlap: Queue")
    if spec.jitter is not None and duration_s(spec.jitter) > LONGEST_JITTER_S:
        yield Problem("spec.jitter", f"must be at most 24h; got {spec.jitter}")


def compile_tick_params(
    params: Mapping[str, Any] | None, *, path: str = "spec.runTemplate.spec.params"
) -> dict[str, ValueTemplate]:
    """Compile the params of a Schedule's runs, whose expressions have one root: `tick.time`, `tick.date`, ...

    Args:
        params: the values by name.
        path: their field path, for problems.

    Raises:
        InvalidSpecError: an expression does not compile. Holds every problem.
    """
    scope = Scope(TICK_ROOTS)
    templates: dict[str, ValueTemplate] = {}
    problems: list[Problem] = []
    for name, value in (params or {}).items():
        try:
            templates[name] = compile_value(value, scope)
        except ExpressionError as error:
            problems.append(Problem(f"{path}.{name}", str(error)))
    if problems:
        raise InvalidSpecError(problems)
    return templates


def _check_run(
    run: FlowRunSpec, flow: InlineFlowSpec | None, *, path: str, later: list[str] | tuple[()]
) -> Iterator[Problem]:
    given = [
        name
        for name, value in (("flow", run.flow), ("flowSpec", run.flow_spec), ("retryOf", run.retry_of))
        if value is not None
    ]
    if len(given) != 1:
        yield Problem(path, f"must have exactly one of flow, flowSpec and retryOf; got {' and '.join(given) or 'none'}")
    if run.retry_of is not None:
        yield from check_reference(run.retry_of, path=f"{path}.retryOf")
    if run.flow_spec is not None:
        flow = run.flow_spec
        yield from _check_size(flow, MAX_FLOW_SPEC_BYTES, f"{path}.flowSpec")
        for problem in _check_plan(flow):
            yield Problem(f"{path}.flowSpec{problem.path.removeprefix('spec')}", problem.message)
    try:
        scheduled_at(run, path=path)
    except InvalidSpecError as error:
        yield from error.problems
    if flow is not None:
        try:
            resolve_params(flow.params, run.params, path=f"{path}.params", later=later)
        except InvalidSpecError as error:
            yield from error.problems
    if run.timeout is not None and not duration_s(run.timeout):
        yield Problem(f"{path}.timeout", "must be greater than zero; omit it for no limit")


def _check_plan(spec: InlineFlowSpec) -> tuple[Problem, ...]:
    try:
        compile_plan(spec)
    except InvalidSpecError as error:
        return error.problems
    return ()


def _check_concurrency(spec: FlowSpec) -> tuple[Problem, ...]:
    try:
        compile_concurrency(spec)
    except InvalidSpecError as error:
        return error.problems
    return ()


def _check_size(spec: InlineFlowSpec, limit_bytes: int, path: str) -> Iterator[Problem]:
    size_bytes = len(spec.model_dump_json(by_alias=True, exclude_unset=True).encode())
    if size_bytes > limit_bytes:
        yield Problem(path, f"is {size_bytes >> 10} KiB: at most {limit_bytes >> 10} KiB are allowed")
