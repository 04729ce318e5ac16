"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from penstock.engine.suggestion import suggest

LOCAL_ZONES: Final = frozenset({"localtime", "posixrules", "Factory", "local", "Local"})
"""Names that mean something else on each machine."""


def read_zone(name: str | None) -> tzinfo:
    """Return a zone.

    Args:
        name: its IANA name; None is UTC.

    Raises:
        ValueError: the zone does not exist; the message suggests a similar name.
    """
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
    raise ValueError(f"unknown time zone {name!r}{hint or ': use an IANA name, such as Europe/Berlin'}")


@cache
def _known_zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - LOCAL_ZONES))
