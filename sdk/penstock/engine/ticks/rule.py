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
"""With COUNT every search starts at DTSTART."""
MOST_INTERVALS: Final = 1000
_ANY_TIME: Final = datetime(2001, 1, 1)  # noqa: DTZ001 - a local time; parts are only parsed with it


def read_lines(text: str) -> dict[str, str]:
    """Return the values of a rule's lines by their names.

    Raises:
        ValueError: a line is invalid, or occurs twice.
    """
    lines: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.upper().splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            name, value = "RRULE", line
        if ";" in name or "TZID" in name:
            raise ValueError(
                f"{line!r}: parameters such as TZID are not supported: set spec.timeZone, which applies to all rules"
            )
        if name not in ("DTSTART", "RRULE", "EXDATE"):
            raise ValueError(f"{name!r} is not supported: use DTSTART, RRULE and EXDATE, or `at` for other times")
        if name in lines and name != "EXDATE":
            raise ValueError(f"{name} occurs twice: write each rule as an entry of its own")
        lines[name] = f"{lines[name]},{value}" if name in lines else value
    if "RRULE" not in lines:
        raise ValueError(f"must have a rule such as FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9; got {text!r}")
    return lines


def read_parts(rule: str) -> dict[str, str]:
    """Return the parts of a rule by name.

    Raises:
        ValueError: a part is unknown, occurs twice, or has an invalid value.
    """
    parts: dict[str, str] = {}
    for part in rule.strip(";").split(";"):
        name, _, value = part.partition("=")
        if not part:
            raise ValueError("empty part (;;) in the rule")
        if name == "BYSECOND" and value == "0":
            continue
        if name == "BYSECOND":
            raise ValueError("BYSECOND is not supported: ticks are on whole minutes")
        if name not in PARTS:
            raise ValueError(f"unknown part {name or part}{suggest(name, PARTS)}; parts: {enumerate_names(PARTS)}")
        if name in parts:
            raise ValueError(f"{name} occurs twice")
        parts[name] = value
    _check_frequency(parts)
    _check_values(parts)
    return parts


def _check_frequency(parts: Mapping[str, str]) -> None:
    frequency = parts.get("FREQ", "")
    if frequency in TOO_FREQUENT:
        raise ValueError(
            f"FREQ={frequency} is not supported: use FREQ=DAILY with BYHOUR and BYMINUTE, or cron or interval"
        )
    if frequency not in FREQUENCIES:
        raise ValueError(f"FREQ must be one of {enumerate_names(FREQUENCIES)}")
    for name, most in (("COUNT", MOST_COUNTED), ("INTERVAL", MOST_INTERVALS)):
        if name in parts and not (parts[name].isdecimal() and 1 <= int(parts[name]) <= most):
            raise ValueError(f"{name} must be a whole number from 1 to {most}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("must have only one of COUNT and UNTIL")
    if "BYWEEKNO" in parts and frequency != "YEARLY":
        raise ValueError("BYWEEKNO requires FREQ=YEARLY")


def _check_values(parts: Mapping[str, str]) -> None:
    """Parse each part by itself, so that the invalid one can be named."""
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
            raise ValueError(f"{name}={value} is invalid") from error


def _check_range(name: str, value: str) -> None:
    """Check what dateutil does not: numbers that are not a month, day or hour."""
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
    """Return the text of a rule."""
    return ";".join(f"{name}={value}" for name, value in parts.items())
