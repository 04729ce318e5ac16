"""Ticks by cron expressions.

They mean the same as in Debian's cron, see https://manpages.debian.org/cron(8). Where the clock is set forward, a time
that does not exist is due at the first moment that does. Where it is set back, a time that occurs twice is due once.
Expressions with a `*` at the beginning of minute or hour are due whenever the clock shows a time that matches.

cronsim finds the local (wall-clock) times, and `wall_clock` converts them into moments: cronsim's own handling of zones
assumes changes of whole hours, and misses ticks where they are not (Australia/Lord_Howe).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from penstock.engine.suggestion import suggest
from penstock.engine.ticks.source import GREATEST_TIME, LEAST_TIME
from penstock.engine.ticks.wall_clock import WallClock, once, whenever

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
DAY_FIELDS: Final = (2, 4)
"""Positions of the fields in which `?` means `*`."""
MINUTE: Final = timedelta(minutes=1)
_REFERENCE: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - a local time
"""Any time serves to check whether an expression has ticks at all."""


class Cron:
    """The ticks of one expression.

    Args:
        expression: five fields, or an alias such as @daily.
        zone: the zone in which it is read.

    Raises:
        ValueError: it is invalid, or no time ever matches it.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression = _read_expression(expression)
        self._clock = WallClock(zone)
        minute, hour, *_ = self._expression.split()
        self.has_star: Final = minute.startswith("*") or hour.startswith("*")
        """Whether minute or hour begin with one, so that it is due whenever the clock shows a time that matches."""

    def forward(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a time, as `TickSource` says."""
        after = max(after, LEAST_TIME)
        if after >= GREATEST_TIME:
            return
        last = after
        for moment in self._moments(self._clock.first_wall(after) - MINUTE, is_backward=False):
            # Local times that do not exist are due at the same moment.
            if moment > last:
                last = moment
                yield moment

    def backward(self, before: datetime) -> Iterator[datetime]:
        """Yield the ticks before a time, as `TickSource` says."""
        last = before = min(before, GREATEST_TIME)
        if before <= LEAST_TIME:
            return
        for moment in self._moments(self._clock.last_wall(before) + MINUTE, is_backward=True):
            if moment < LEAST_TIME:
                return
            if moment < last:
                last = moment
                yield moment

    def _moments(self, wall: datetime, *, is_backward: bool) -> Iterator[datetime]:
        walls = self._walls(wall, is_backward=is_backward)
        if self.has_star:
            return whenever(self._clock, walls, is_backward=is_backward)
        return once(self._clock, walls)

    def _walls(self, wall: datetime, *, is_backward: bool) -> Iterator[datetime]:
        try:
            yield from CronSim(self._expression, wall, reverse=is_backward)
        except OverflowError:  # the calendar has ended
            return


def _read_expression(text: str) -> str:
    """Return the five fields of an expression.

    Raises:
        ValueError: it is invalid, or no time ever matches it.
    """
    stripped = text.strip()
    if stripped.startswith("@"):
        return _read_alias(stripped)
    fields = stripped.upper().split()
    if fields and fields[0].startswith(("TZ=", "CRON_TZ=")):
        raise ValueError(f"{text!r} names a zone: set spec.timeZone, which applies to all expressions")
    if len(fields) != len(FIELDS):
        six = ", no seconds" if len(fields) == len(FIELDS) + 1 else ""
        raise ValueError(f"must have five fields, {' '.join(FIELDS)}{six}; got {len(fields)} in {text!r}")
    for place in DAY_FIELDS:
        fields[place] = "*" if fields[place] == "?" else fields[place]
    expression = " ".join(fields)
    _check_fields(fields, text)
    if fields[2] != "*" and fields[4] != "*":
        by_date = " ".join([*fields[:4], "*"])
        by_weekday = " ".join([*fields[:2], "*", *fields[3:]])
        raise ValueError(
            f"{text!r} restricts both day-of-month and day-of-week; cron implementations disagree whether both or "
            f'either must match: for days that match either, write two expressions, "{by_date}" and "{by_weekday}"'
        )
    try:
        first = next(CronSim(expression, _REFERENCE), None)
    except CronSimError:
        first = None
    if first is None:
        raise ValueError(f"{text!r} never matches: it has only dates that do not exist, such as 30 February")
    return expression


def _read_alias(text: str) -> str:
    alias = ALIASES.get(text.lower())
    if alias is None:
        word = text.split(maxsplit=1)[0]
        if word.lower() == "@every":
            every = text[len(word) :].strip() or "1h"
            raise ValueError(f"@every is not supported in cron: use interval: {{every: {every}}}")
        raise ValueError(f"unknown alias {word}{suggest(text, ALIASES)}; aliases: {', '.join(ALIASES)}")
    return alias


def _check_fields(fields: Sequence[str], text: str) -> None:
    """Refuse an invalid field, and name it: each is tried among fields that match any time."""
    for position, (field, (name, allowed)) in enumerate(zip(fields, FIELDS.items(), strict=True)):
        probe = ["*"] * len(FIELDS)
        probe[position] = field
        try:
            CronSim(" ".join(probe), _REFERENCE)
        except (CronSimError, ValueError, TypeError, AssertionError) as error:
            hint = (
                ": use * for any" if "?" in field else f": allowed are *, values, lists, ranges and steps of {allowed}"
            )
            raise ValueError(f"the {name} {field!r} of {text!r} is invalid{hint}") from error
