"""The Schedule: creates FlowRuns by the clock."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from penstock.api.base import MAX_LABELS, ApiModel, Count, Time
from penstock.api.condition import Conditions
from penstock.api.flowrun import FlowRunSpec
from penstock.api.marker import ATOMIC_LIST

Label = Annotated[str, Field(max_length=63)]
Annotation = Annotated[str, Field(max_length=16384)]
CronExpression = Annotated[str, Field(min_length=1, max_length=256)]


class RunMetadata(ApiModel):
    """Metadata of the runs."""

    labels: Annotated[dict[str, Label], Field(max_length=MAX_LABELS)] | None = None
    """Labels of each run."""
    annotations: Annotated[dict[str, Annotation], Field(max_length=MAX_LABELS)] | None = None
    """Annotations of each run."""


class RunTemplate(ApiModel):
    """The runs to create."""

    metadata: RunMetadata | None = None
    """Labels and annotations of each run."""
    spec: FlowRunSpec
    """Spec of each run; in params, `$(tick.time)`, `$(tick.date)` and `$(tick.previous.date)` are replaced."""


class ScheduleSpec(ApiModel):
    """When to run what."""

    cron: Annotated[list[CronExpression], Field(min_length=1, max_length=32), ATOMIC_LIST]
    """Cron expressions of five fields, or @hourly, @daily, @weekly, @monthly, @yearly. Due when any says so."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA name of the zone in which cron is read. UTC if not given."""
    suspend: bool | None = None
    """Creates no new runs while true; those that run go on."""
    run_template: RunTemplate
    """What each of its runs is made of."""


class ScheduleStatus(ApiModel):
    """What became of a Schedule."""

    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions | None = None
    """Ready: whether the Schedule creates runs."""
    timing: Annotated[str, Field(max_length=16384)] | None = None
    """The cron expressions and the zone in force."""
    timing_since: Time | None = None
    """Since when they are in force: no tick before is made up for."""
    last_tick_time: Time | None = None
    """The last tick for which a run was created."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    next_tick_time: Time | None = None
    """The next tick."""
