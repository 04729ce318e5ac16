"""The run that a Schedule creates, for a tick or an event: its name and its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from penstock.api import names
from penstock.api.kind import MAX_LABEL_VALUE
from penstock.api.schedule import RunTemplate, ScheduleSpec
from penstock.engine.audit import cause_of, without_records
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import Timetable
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import compile_tick_params
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.metadata import ObjectMeta

MINUTE_S: Final = 60
LONGEST_MINUTE: Final = 10
"""Digits of a tick in a name; the year 9999 has as many."""


def run_name(schedule: str, tick: datetime) -> str:
    """Name the run of a tick. It follows from the tick alone, so creating it twice is a conflict."""
    return f"{schedule}-{int(tick.timestamp()) // MINUTE_S}"


def tick_of(schedule: str, run: str) -> datetime | None:
    """Return the tick that a run is for, in UTC; None if its name is not one that `run_name` gives."""
    minute = run.removeprefix(f"{schedule}-")
    if minute == run or not minute.isdecimal() or len(minute) > LONGEST_MINUTE:
        return None
    try:
        return datetime.fromtimestamp(int(minute) * MINUTE_S, tz=UTC)
    except (OverflowError, ValueError):
        return None


def build_tick_run(schedule: ObjectMeta, spec: ScheduleSpec, timetable: Timetable, tick: datetime) -> dict[str, Any]:
    """Build the run of a tick.

    Args:
        schedule: metadata of the Schedule.
        spec: its spec.
        timetable: its ticks.
        tick: the tick, aware.

    Raises:
        ExpressionError: the value of a param could not be evaluated.
        InvalidSpecError: the expression of a param does not compile.
    """
    local = tick.astimezone(timetable.zone)
    template = spec.run_template
    run_spec = template.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # So that a task can ask for it: run.scheduledTime.
    run_spec.setdefault("scheduledTime", rfc3339(tick.timestamp()))
    if template.spec.params:
        roots = tick_roots(timetable, tick)
        templates = compile_tick_params(template.spec.params)
        run_spec["params"] = {name: value.evaluate(roots) for name, value in templates.items()}
    return build_run(
        schedule,
        template,
        name=run_name(schedule.name, tick),
        spec=run_spec,
        labels={},
        annotations={names.ANNOTATION_TICK: local.isoformat()},
    )


def build_run(
    schedule: ObjectMeta,
    template: RunTemplate,
    *,
    name: str,
    spec: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Build a run of a Schedule's template. The Schedule owns it.

    Args:
        schedule: metadata of the Schedule.
        template: its template, whose labels and annotations the run gets.
        name: of the run.
        spec: of the run.
        labels: override those of the template.
        annotations: likewise.
    """
    extra = template.metadata
    cause = cause_of(schedule.annotations)
    # The operator may write records, and whoever writes a template must not do it through the operator.
    given = without_records((extra and extra.annotations) or {})
    ours = {names.LABEL_SCHEDULE: schedule.name, **labels}
    flow = template.spec.flow
    # No Flow has a longer name, but a template may.
    if flow is not None and len(flow.name) <= MAX_LABEL_VALUE:
        ours[names.LABEL_FLOW] = flow.name
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": name,
            "namespace": schedule.namespace,
            "labels": {**((extra and extra.labels) or {}), **ours},
            "annotations": {**given, **({names.ANNOTATION_ON_BEHALF_OF: cause} if cause else {}), **annotations},
            "ownerReferences": [owner_reference("Schedule", schedule.name, schedule.uid)],
        },
        "spec": dict(spec),
    }
