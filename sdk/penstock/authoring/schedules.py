"""When a flow is due, as Prefect writes it: `Cron`, `Interval`, `RRule`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from penstock.errors import OptionError

MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """A part of a timetable.

    Args:
        fields: what it says in the spec of a Schedule: `cron`, `interval` or `rrule`.
        timezone: IANA name of the zone in which it is read; UTC if not given.
        parameters: arguments of its runs, before those of the deployment.
        active: whether it counts.
        slug: a word for it, where a flow has several.
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
    """Be due by a cron expression of five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.

    Raises:
        OptionError: it is no text.
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
    """Be due at equal distances.

    Args:
        interval: the distance, in whole minutes; a number is one of seconds.
        anchor_date: one of the ticks.
        timezone: of an anchor without an offset.
        parameters: as of `Timing`.
        active: as of `Timing`.
        slug: as of `Timing`.

    Raises:
        OptionError: the distance is not in whole minutes.
    """
    is_number = isinstance(interval, int | float) and not isinstance(interval, bool)
    distance = timedelta(seconds=interval) if is_number else interval  # type: ignore[arg-type]  # it is one
    if not isinstance(distance, timedelta) or distance < MINUTE or distance % MINUTE:
        raise OptionError(f"interval={interval!r}: expected whole minutes, as seconds or a timedelta")
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
    """Be due by a recurrence rule of RFC 5545.

    Raises:
        OptionError: it is no text.
    """
    return Timing({"rrule": [_text("rrule", rrule)]}, timezone, dict(parameters or {}), active, slug)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{name}={value!r}: expected a text")
    return value
