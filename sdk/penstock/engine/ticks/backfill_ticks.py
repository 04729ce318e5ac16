"""The past ticks for which a Backfill creates runs."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from penstock.api.backfill import MAX_TICKS, BackfillSpec
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.timetable import read_timetable
from penstock.engine.timestamp import rfc3339
from penstock.errors import InvalidSpecError, Problem, StoredStatusError

CLOCK_FIELDS: Final = frozenset({"cron", "interval", "at", "rrule", "time_zone", "start_time", "end_time"})
"""Fields of a Schedule that say when it is due."""
_MOMENT: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write_clocks(schedule: ScheduleSpec) -> str:
    """Return when a Schedule is due, as text, to be read again after the Schedule has changed."""
    return schedule.model_dump_json(include=set(CLOCK_FIELDS), by_alias=True, exclude_unset=True)


def read_clocks(text: str, schedule: ScheduleSpec) -> ScheduleSpec:
    """Read what `write_clocks` wrote.

    Args:
        text: what it wrote.
        schedule: the Schedule as it is now.

    Returns:
        The Schedule as it is now, but due when it was due then.

    Raises:
        StoredStatusError: the text is invalid.
    """
    try:
        clocks = json.loads(text)
        now = schedule.model_dump(mode="json", by_alias=True, exclude=set(CLOCK_FIELDS), exclude_unset=True)
        return ScheduleSpec.model_validate({**now, **clocks})
    except (ValueError, TypeError) as error:
        raise StoredStatusError(f"cannot read status.timing: {error}") from error


def read_span(spec: BackfillSpec, *, path: str = "spec") -> tuple[datetime, datetime]:
    """Read the span of time of a Backfill.

    Raises:
        InvalidSpecError: a time is invalid, or the span is empty.
    """
    times: list[datetime] = []
    problems: list[Problem] = []
    for field, text in (("from", spec.from_), ("to", spec.to)):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            problems.append(Problem(f"{path}.{field}", f"must be a time such as 2026-10-01T00:00:00Z; got {text!r}"))
            continue
        if time.tzinfo is None:
            problems.append(Problem(f"{path}.{field}", f"must have an offset; got {text!r}: write {text}Z for UTC"))
        times.append(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    if not problems and times[0] >= times[1]:
        problems.append(Problem(f"{path}.to", f"must be later than from ({spec.from_}); got {spec.to}"))
    if problems:
        raise InvalidSpecError(problems)
    return times[0], times[1]


def past_ticks(
    spec: BackfillSpec, schedule: ScheduleSpec, created_at: datetime, *, path: str = "spec"
) -> list[datetime]:
    """Return the ticks of a Backfill.

    Args:
        spec: its spec.
        schedule: the Schedule.
        created_at: when it was created, aware. The Schedule creates runs for later ticks itself.
        path: field path of the Backfill's spec, for problems.

    Returns:
        The ticks in UTC, oldest first.

    Raises:
        InvalidSpecError: the span is invalid or holds too many ticks, or the Schedule is invalid.
    """
    first, end = read_span(spec, path=path)
    end = min(end, created_at)
    if first >= end:
        return []
    ticks = read_timetable(schedule).between(first - _MOMENT, end - _MOMENT, MAX_TICKS + 1)
    if len(ticks) > MAX_TICKS:
        message = (
            f"Schedule {spec.schedule.name} was due more than {MAX_TICKS:,} times in this span, but a Backfill creates "
            f"at most {MAX_TICKS:,} runs: end this one at {rfc3339(ticks[-1].timestamp())}, and start the next there"
        )
        raise InvalidSpecError([Problem(f"{path}.to", message)])
    return ticks


class Ticks:
    """The ticks of a Backfill that is in progress. In memory it takes 8 bytes for each: there are up to 10,000.

    Args:
        ticks: aware, oldest first.
    """

    def __init__(self, ticks: Iterable[datetime]) -> None:
        self._times = array("q", ((tick - _EPOCH) // _MOMENT for tick in ticks))

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, number: int) -> datetime:
        return _EPOCH + self._times[number] * _MOMENT

    def __iter__(self) -> Iterator[datetime]:
        return (self[number] for number in range(len(self)))

    def find(self, tick: datetime) -> int | None:
        """Return the number of a tick; None if it is not one of these."""
        time = (tick - _EPOCH) // _MOMENT
        number = bisect_left(self._times, time)
        return number if number < len(self._times) and self._times[number] == time else None
