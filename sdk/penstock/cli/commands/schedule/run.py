"""`penstock schedule run`: run a Schedule now, or for one of its past ticks."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from penstock.api.names import ANNOTATION_REQUESTED_BY, ANNOTATION_STARTED_FROM, LABEL_FLOW
from penstock.api.schedule import ScheduleSpec
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_start import build_backfill, start_backfill
from penstock.cli.cluster.schedules import get_schedule, read_schedule_spec
from penstock.cli.cluster.start_run import build_run, start
from penstock.cli.manifests.params import read_params
from penstock.cli.text.times import write_moment
from penstock.drawing.task_rows import Object
from penstock.engine.ticks.dates import read_date
from penstock.engine.ticks.scope import tick_roots
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.validation.validation import compile_tick_params
from penstock.errors import CommandError, ExpressionError, InvalidSpecError

MINUTE: Final = dt.timedelta(minutes=1)
MOMENT: Final = dt.timedelta(microseconds=1)


def command(arguments: argparse.Namespace) -> int:
    """Create a run of a Schedule's template, or a Backfill of one tick; with --watch or --wait, wait for its end."""
    cluster = Cluster.connect(arguments)
    schedule = get_schedule(cluster, arguments.schedule)
    spec = read_schedule_spec(schedule)
    now = dt.datetime.now(dt.UTC)
    if arguments.tick is not None:
        if arguments.params:
            raise CommandError("-p cannot be combined with --tick: a tick runs with the params of the Schedule")
        tick = read_past_tick(arguments.tick, read_timetable(spec), now)
        body = build_backfill(
            arguments.schedule,
            name=arguments.name,
            start=tick.isoformat(),
            end=(tick + MINUTE).isoformat(),
            reprocess="All",
        )
        return start_backfill(cluster, body, arguments)
    given = read_params(arguments.params, _declared_params(cluster, schedule)) if arguments.params else {}
    run = build_run_now(schedule, spec, now, given=given, name=arguments.name, user=cluster.user_name())
    return start(cluster, run, arguments)


def build_run_now(
    schedule: Object, spec: ScheduleSpec, now: dt.datetime, *, given: Mapping[str, Any], name: str | None, user: str
) -> Object:
    """Build a run of a Schedule's template, as if it had a tick now.

    It is an ordinary run: it does not count as one of the Schedule, neither for `onOverlap` nor for `history`.

    Args:
        schedule: the Schedule.
        spec: its valid spec.
        now: the current time, aware; the tick is its minute, as all ticks are on whole minutes.
        given: values of params, in place of those of the template.
        name: name of the run; None lets the API server generate one.
        user: who asks for it; may be empty.

    Raises:
        CommandError: the value of a param could not be evaluated.
    """
    template: Object = schedule["spec"]["runTemplate"]
    tick = now.replace(second=0, microsecond=0)
    fields: Object = {**template["spec"]}
    # So that a task can ask for it: run.scheduledTime.
    fields.setdefault("scheduledTime", write_moment(tick))
    values = {key: value for key, value in (fields.pop("params", None) or {}).items() if key not in given}
    if params := {**_render(values, read_timetable(spec), tick), **given}:
        fields["params"] = params
    # Not the name that a tick would give.
    run = build_run(f"{schedule['metadata']['name']}-run", name=name, spec=fields)
    extra = template.get("metadata") or {}
    flow = (fields.get("flow") or {}).get("name")
    labels = {**(extra.get("labels") or {}), **({LABEL_FLOW: flow} if flow else {})}
    noted = {ANNOTATION_STARTED_FROM: schedule["metadata"]["name"], **({ANNOTATION_REQUESTED_BY: user} if user else {})}
    run["metadata"] |= {"annotations": {**(extra.get("annotations") or {}), **noted}}
    if labels:
        run["metadata"]["labels"] = labels
    return run


def read_past_tick(text: str, timetable: Timetable, now: dt.datetime) -> dt.datetime:
    """Read the time of a past tick.

    Args:
        text: as it is typed; without an offset it is in the Schedule's zone.
        timetable: the Schedule's ticks.
        now: the current time, aware.

    Raises:
        CommandError: it is invalid, is not a tick, or is in the future.
    """
    try:
        moment = read_date(text, timetable.zone)
    except ValueError as error:
        raise CommandError(f"--tick: {error}") from error
    if timetable.next(moment - MOMENT) != moment:
        near = [timetable.previous(moment), timetable.next(moment)]
        shown = " and ".join(tick.astimezone(timetable.zone).isoformat() for tick in near if tick is not None)
        raise CommandError(
            f"--tick {text}: is not a tick of the Schedule{f'; the nearest are {shown}' if shown else ''}"
        )
    if moment > now:
        raise CommandError(
            f"--tick {text}: is in the future, where the Schedule creates the run itself; omit --tick to run it now"
        )
    return moment


def _render(values: Mapping[str, Any], timetable: Timetable, tick: dt.datetime) -> dict[str, Any]:
    try:
        templates = compile_tick_params(values)
    except InvalidSpecError as error:
        raise CommandError(f"a param cannot be evaluated without an event, give it with -p: {error}") from error
    rendered: dict[str, Any] = {}
    for name, template in templates.items():
        try:
            rendered[name] = template.evaluate(tick_roots(timetable, tick))
        except ExpressionError as error:
            raise CommandError(f"param {name}: {error}; give it with -p {name}=VALUE") from error
    return rendered


def _declared_params(cluster: Cluster, schedule: Object) -> dict[str, str]:
    template = schedule["spec"]["runTemplate"]["spec"]
    flow = template.get("flow")
    spec = cluster.get_flow(flow["name"])["spec"] if flow else template.get("flowSpec") or {}
    return {param["name"]: param.get("type", "string") for param in spec.get("params") or ()}
