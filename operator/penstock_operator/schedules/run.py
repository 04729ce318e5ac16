"""The run that a Schedule creates, for a tick or an event: its name and its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.api import names
from penstock.api.kind import MAX_LABEL_VALUE
from penstock.api.schedule import ScheduleSpec
from penstock.engine.audit import cause_of, without_records
from penstock.engine.expressions.budget import FIELDS_COST, limited
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import Timetable
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import compile_tick_params
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.metadata import ObjectMeta
from penstock_operator.schedules.identity import run_name


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
        with limited(FIELDS_COST):
            run_spec["params"] = {name: value.evaluate(roots) for name, value in templates.items()}
    return build_run(
        schedule,
        spec,
        name=run_name(schedule.name, tick),
        spec=run_spec,
        labels={},
        annotations={names.ANNOTATION_TICK: local.isoformat()},
    )


def build_run(
    schedule: ObjectMeta,
    scheduled: ScheduleSpec,
    *,
    name: str,
    spec: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Build a run of a Schedule's template.

    Args:
        schedule: metadata of the Schedule.
        scheduled: its spec: the run gets labels and annotations of its template.
        name: of the run.
        spec: of the run.
        labels: override those of the template.
        annotations: likewise.
    """
    template = scheduled.run_template
    extra = template.metadata
    cause = cause_of(schedule.annotations, schedule.generation)
    # The operator may write records, and whoever writes a template must not do it through the operator.
    given = without_records((extra and extra.annotations) or {})
    labels_given = dict((extra and extra.labels) or {})
    # It says that a run comes from a backup, and nothing starts such a run.
    labels_given.pop(names.LABEL_RESTORED, None)
    ours = {names.LABEL_SCHEDULE: schedule.name, **labels}
    flow = template.spec.flow
    # No Flow has a longer name, but a template may.
    if flow is not None and len(flow.name) <= MAX_LABEL_VALUE:
        ours[names.LABEL_FLOW] = flow.name
    # A template must not make a run look like one of a Backfill.
    given.pop(names.ANNOTATION_BACKFILL_UID, None)
    on_behalf_of = {names.ANNOTATION_ON_BEHALF_OF: cause} if cause else {}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": schedule.namespace,
        "labels": {**labels_given, **ours},
        "annotations": {**given, **on_behalf_of, names.ANNOTATION_SCHEDULE_UID: schedule.uid, **annotations},
    }
    if scheduled.owns_runs:
        metadata["ownerReferences"] = [owner_reference("Schedule", schedule.name, schedule.uid)]
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": dict(spec)}
