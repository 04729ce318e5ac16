"""The text of a recurrence rule: RRULE of RFC 5545 section 3.3.10, with DTSTART before it and EXDATE after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dateutil.rrule import rrulestr

from penstock.engine.suggestion import enumerate_names, suggest

PARTS: Final = (
    *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"),
    *("BYHOUR", "BYMINUTE", "BYSETPOS"),
)
FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
TOO_FREQUENT: Final = ("HOURLY", "MINUTELY", "SECONDLY")
MOST_COUNTED: Final = 1000
"""COUNT makes every look begin at DTSTART."""
MOST_INTERVALS: Final = 1000
_ANY_TIME: Final = datetime(2001, 1, 1)  # noqa: DTZ001 - on the wall; a part is only read with it


def read_lines(text: str) -> dict[str, str]:
    """Return the lines of a rule by what they give.

    Raises:
        ValueError: a line can't be read, or is there twice.
    """
    lines: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.upper().splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            name, value = "RRULE", line
        if ";" in name or "TZID" in name:
            raise ValueError(f"{line!r} has options: give the zone in timeZone, which is for all rules")
        if name not in ("DTSTART", "RRULE", "EXDATE"):
            raise ValueError(
                f"{name!r} is not supported: there are DTSTART, RRULE and EXDATE; for other times there is at"
            )
        if name in lines and name != "EXDATE":
            raise ValueError(f"there are two lines with {name}: write each rule as an entry of its own")
        lines[name] = f"{lines[name]},{value}" if name in lines else value
    if "RRULE" not in lines:
        raise ValueError(f"{text!r} has no rule: write it as in FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9")
    return lines


def read_parts(rule: str) -> dict[str, str]:
    """Return the parts of a rule by name.

    Raises:
        ValueError: a part is unknown, there twice, or has no value that it can have.
    """
    parts: dict[str, str] = {}
    for part in rule.strip(";").split(";"):
        name, _, value = part.partition("=")
        if name == "BYSECOND" and value == "0":
            continue
        if name == "BYSECOND":
            raise ValueError("there is no BYSECOND: ticks are on whole minutes")
        if name not in PARTS:
            raise ValueError(
                f"there is no {name or 'empty part'}{suggest(name, PARTS)}: there are {enumerate_names(PARTS)}"
            )
        if name in parts:
            raise ValueError(f"{name} is there twice")
        parts[name] = value
    _check_frequency(parts)
    _check_values(parts)
    return parts


def _check_frequency(parts: Mapping[str, str]) -> None:
    frequency = parts.get("FREQ", "")
    if frequency in TOO_FREQUENT:
        raise ValueError(
            f"FREQ={frequency} is not supported: write FREQ=DAILY with BYHOUR and BYMINUTE, or use cron or interval"
        )
    if frequency not in FREQUENCIES:
        raise ValueError(f"FREQ must be one of {enumerate_names(FREQUENCIES)}")
    for name, most in (("COUNT", MOST_COUNTED), ("INTERVAL", MOST_INTERVALS)):
        if name in parts and not (parts[name].isdecimal() and 1 <= int(parts[name]) <= most):
            raise ValueError(f"{name} must be a whole number from 1 to {most}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("give COUNT or UNTIL, not both")
    if "BYWEEKNO" in parts and frequency != "YEARLY":
        raise ValueError("BYWEEKNO is for FREQ=YEARLY")


def _check_values(parts: Mapping[str, str]) -> None:
    """Let dateutil read each part by itself, so that the one at fault can be named."""
    for name, value in parts.items():
        if name in ("FREQ", "UNTIL"):
            continue
        probe = {"FREQ": parts["FREQ"], name: value}
        if name == "BYSETPOS":
            probe["BYHOUR"] = "0"
        try:
            rrulestr(join(probe), dtstart=_ANY_TIME)
            _check_range(name, value)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"{name}={value} can't be read") from error


def _check_range(name: str, value: str) -> None:
    """Check what dateutil takes as it is: numbers that are no month, day or hour at all."""
    bounds = {"BYMONTH": (1, 12), "BYWEEKNO": (1, 53), "BYYEARDAY": (1, 366), "BYMONTHDAY": (1, 31)}
    bounds |= {"BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSETPOS": (1, 366)}
    if name not in bounds:
        return
    least, most = bounds[name]
    for number in value.split(","):
        may_count_back = name in ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYSETPOS")
        if not least <= (abs(int(number)) if may_count_back else int(number)) <= most:
            raise ValueError(number)


def join(parts: Mapping[str, str]) -> str:
    """Return the rule that these parts make."""
    return ";".join(f"{name}={value}" for name, value in parts.items())
