"""Schedules with the names of Prefect: `Cron`, `Interval`, `RRule`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from penstock.errors import OptionError

MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """One schedule of a deployment, returned by `Cron`, `Interval` or `RRule`.

    Args:
        fields: its fields in the spec of a Schedule: `cron`, `interval` or `rrule`.
        timezone: IANA name of its time zone; UTC if not given.
        parameters: parameters of its runs, which override those of the deployment.
        active: whether it creates runs.
        slug: part of its name, to distinguish several schedules of a flow.
    """

    fields: Mapping[str, Any]
    timezone: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    slug: str | None = None


def Cron(
    cron: str,
    /,
    timezone: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    active: bool = True,
    slug: str | None = None,
) -> Timing:
    """Return a cron schedule.

    Args:
        cron: five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        timezone: as for `Timing`.
        parameters: as for `Timing`.
        active: as for `Timing`.
        slug: as for `Timing`.

    Raises:
        OptionError: it is not a string.
    """
    return Timing({"cron": [_text("cron", cron)]}, timezone, dict(parameters or {}), active, slug)


def Interval(
    interval: timedelta | float,
    /,
    anchor_date: datetime | None = None,
    timezone: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    active: bool = True,
    slug: str | None = None,
) -> Timing:
    """Return a schedule with a fixed interval.

    Args:
        interval: the interval in whole minutes, as a timedelta or a number of seconds.
        anchor_date: one of its ticks.
        timezone: time zone of an anchor without an offset.
        parameters: as for `Timing`.
        active: as for `Timing`.
        slug: as for `Timing`.

    Raises:
        OptionError: the interval is not in whole minutes.
    """
    is_number = isinstance(interval, int | float) and not isinstance(interval, bool)
    distance = timedelta(seconds=interval) if is_number else interval  # type: ignore[arg-type]  # it is a number
    if not isinstance(distance, timedelta) or distance < MINUTE or distance % MINUTE:
        raise OptionError(f"interval={interval!r}: must be whole minutes, as seconds or a timedelta")
    every = {"every": f"{distance // MINUTE}m"}
    anchor = {} if anchor_date is None else {"anchor": anchor_date.isoformat(timespec="seconds")}
    return Timing({"interval": every | anchor}, timezone, dict(parameters or {}), active, slug)


def RRule(
    rrule: str,
    /,
    timezone: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    active: bool = True,
    slug: str | None = None,
) -> Timing:
    """Return a schedule with a recurrence rule of RFC 5545.

    Args:
        rrule: the rule, such as `FREQ=MONTHLY;BYDAY=-1FR`.
        timezone: as for `Timing`.
        parameters: as for `Timing`.
        active: as for `Timing`.
        slug: as for `Timing`.

    Raises:
        OptionError: it is not a string.
    """
    return Timing({"rrule": [_text("rrule", rrule)]}, timezone, dict(parameters or {}), active, slug)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{name}={value!r}: must be a string")
    return value
