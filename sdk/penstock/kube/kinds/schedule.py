"""A Schedule as it is stored."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.kube.conditions import Condition
from penstock.kube.metadata import ObjectMeta


class MissedTick(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.schedule.MissedTick`."""

    tick_time: str | None = None
    reason: str | None = None
    message: str | None = None


class SeenEvent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.event.SeenEvent`."""

    id: str = ""
    time: str = ""


class EventStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.event.EventStatus`."""

    definition: str | None = None
    since: str | None = None
    seen: list[SeenEvent] | None = None
    resource_version: str | None = None
    last_time: str | None = None
    last_run: str | None = None
    problem: str | None = None


class ScheduleStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.schedule.ScheduleStatus`."""

    observed_generation: int | None = None
    conditions: list[Condition] = []
    timing: str | None = None
    timing_since: str | None = None
    next_tick_times: list[str] = []
    last_tick_time: str | None = None
    last_run: str | None = None
    last_success_time: str | None = None
    decided_tick_time: str | None = None
    queued: list[str] = []
    active_runs: int | None = None
    active: list[str] = []
    missed_ticks: int | None = None
    last_missed: MissedTick | None = None
    not_run_ticks: int | None = None
    last_not_run_time: str | None = None
    events: dict[str, EventStatus] = {}


class Schedule(msgspec.Struct, frozen=True):
    """A Schedule."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: ScheduleStatus = ScheduleStatus()
