"""Ticks: the times at which a Schedule is due.

Cron expressions mean what they mean to Debian's cron, see https://manpages.debian.org/cron(8): where the clock is set
forward, a time that is left out comes at the first minute that exists; where it is set back, a time that comes twice
counts once. Expressions with a `*` in minute or hour follow the time that really passes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from penstock.engine.suggestion import suggest
from penstock.errors import InvalidSpecError, Problem

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS: Final = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (the last) or LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 5L (the last Friday) or 5#2 (the second Friday)",
}
LOCAL_ZONES: Final = frozenset({"localtime", "posixrules", "Factory", "local", "Local"})
"""Names that mean something else on each machine."""
LEAST_TIME: Final = datetime(1800, 1, 1, tzinfo=UTC)
SPANS: Final = tuple(timedelta(hours=hours) for hours in (3, 48, 40 * 24, 400 * 24, 9 * 366 * 24, 50 * 366 * 24))
"""How far to look back for the last tick: as few as possible between it and now."""
_REFERENCE: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""Any time will do to see whether an expression has ticks at all."""


class Ticks:
    """The times of one or more cron expressions.

    Args:
        cron: the expressions, of five fields or aliases such as @daily. A tick is due when any of them says so.
        time_zone: IANA name of the zone in which they are read; UTC if None.
        path: field path of the object that has the fields, for problems.

    Raises:
        InvalidSpecError: an expression or the zone can't be read. Holds every problem.
    """

    def __init__(self, cron: Sequence[str], time_zone: str | None, *, path: str = "spec") -> None:
        problems: list[Problem] = []
        self._expressions: list[str] = []
        for index, expression in enumerate(cron):
            try:
                self._expressions.append(_read_expression(expression))
            except ValueError as error:
                problems.append(Problem(f"{path}.cron[{index}]", str(error)))
        self._zone: tzinfo = UTC
        try:
            self._zone = _read_zone(time_zone)
        except ValueError as error:
            problems.append(Problem(f"{path}.timeZone", str(error)))
        if problems:
            raise InvalidSpecError(problems)

    @property
    def zone(self) -> tzinfo:
        """The zone in which the expressions are read."""
        return self._zone

    def next(self, after: datetime) -> datetime | None:
        """Return the first tick after a time.

        Args:
            after: an aware time.

        Returns:
            The tick in UTC; None if there is none for fifty years.
        """
        return next(self._forward(after), None)

    def previous(self, before: datetime) -> datetime | None:
        """Return the last tick before a time.

        Args:
            before: an aware time.

        Returns:
            The tick in UTC; None if there was none for fifty years.
        """
        if before <= LEAST_TIME:
            return None
        # Only going forward shows what was a tick where a clock is set: so go forward, from ever further back.
        for span in SPANS:
            last = None
            for tick in self._forward(max(before - span, LEAST_TIME)):
                if tick >= before:
                    break
                last = tick
            if last is not None or before - span < LEAST_TIME:
                return last
        return None

    def between(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """Return the ticks after a time and not later than another.

        Args:
            after: an aware time.
            until: an aware time.
            limit: how many at most; the earliest ones.

        Returns:
            The ticks in UTC, in order.
        """
        ticks: list[datetime] = []
        for tick in self._forward(after):
            if tick > until or len(ticks) >= limit:
                break
            ticks.append(tick)
        return ticks

    def _forward(self, after: datetime) -> Iterator[datetime]:
        last = after
        for tick in heapq.merge(*(self._simulate(expression, after) for expression in self._expressions)):
            if tick > last:
                last = tick
                yield tick

    def _simulate(self, expression: str, after: datetime) -> Iterator[datetime]:
        after = max(after, LEAST_TIME).astimezone(self._zone)
        try:
            for tick in CronSim(expression, after):
                # In the hour that comes twice, the simulation starts from the first of the two.
                if (time := tick.astimezone(UTC)) > after:
                    yield time
        except OverflowError:  # the year 9999 is over
            return


def _read_expression(text: str) -> str:
    """Return the five fields of an expression.

    Raises:
        ValueError: it can't be read, or no time ever matches it.
    """
    stripped = text.strip()
    if stripped.startswith("@"):
        return _read_alias(stripped)
    fields = stripped.upper().split()
    if fields and fields[0].startswith(("TZ=", "CRON_TZ=")):
        raise ValueError(f"{text!r} names a zone: give it in timeZone, which is for all expressions")
    if len(fields) != len(FIELDS):
        six = ", no seconds" if len(fields) == len(FIELDS) + 1 else ""
        raise ValueError(f"{text!r} has {len(fields)} fields, but cron has five: {' '.join(FIELDS)}{six}")
    expression = " ".join(fields)
    _check_fields(fields, text)
    if fields[2] != "*" and fields[4] != "*":
        by_date = " ".join([*fields[:4], "*"])
        by_weekday = " ".join([*fields[:2], "*", *fields[3:]])
        raise ValueError(
            f"{text!r} restricts both day-of-month and day-of-week, which crons take for both or for either: "
            f'for either, write two expressions, "{by_date}" and "{by_weekday}"'
        )
    try:
        first = next(CronSim(expression, _REFERENCE), None)
    except CronSimError:
        first = None
    if first is None:
        raise ValueError(f"{text!r} matches no day that exists")
    return expression


def _read_alias(text: str) -> str:
    alias = ALIASES.get(text.lower())
    if alias is None:
        hint = ": write the times out, as in */15 * * * *" if text.lower().startswith("@every") else ""
        known = ", ".join(ALIASES)
        raise ValueError(
            f"there is no {text.split(maxsplit=1)[0]}{suggest(text, ALIASES)}{hint or f': there are {known}'}"
        )
    return alias


def _check_fields(fields: Sequence[str], text: str) -> None:
    """Refuse a field that can't be read, by name: each is tried among fields that match any time."""
    for position, (field, (name, allowed)) in enumerate(zip(fields, FIELDS.items(), strict=True)):
        probe = ["*"] * len(FIELDS)
        probe[position] = field
        try:
            CronSim(" ".join(probe), _REFERENCE)
        except (CronSimError, ValueError, TypeError, AssertionError) as error:
            hint = (
                ": write * for any" if "?" in field else f": it takes *, values, lists, ranges and steps of {allowed}"
            )
            raise ValueError(f"the {name} {field!r} of {text!r} can't be read{hint}") from error


def _read_zone(name: str | None) -> tzinfo:
    if name in (None, "UTC", "Etc/UTC"):
        return UTC
    assert name is not None
    if name not in LOCAL_ZONES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    city = next((zone for zone in _known_zones() if zone.endswith(f"/{name}")), None)
    hint = f' (did you mean "{city}"?)' if city else suggest(name, _known_zones())
    raise ValueError(f"there is no time zone {name!r}{hint or ': write an IANA name, as in Europe/Berlin'}")


@cache
def _known_zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - LOCAL_ZONES))
