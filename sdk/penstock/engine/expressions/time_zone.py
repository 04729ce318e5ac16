"""The time zones that an expression may name.

CEL's library keeps every name that it was ever asked for, also those that do not exist, and never forgets one. It also
reads a name that begins with `file:` from that file. So it is asked for no name but those of a known zone and offsets.

A literal name is checked when the expression is compiled. Any other is looked up in the variable ZONES, in CEL: a
function in Python would not do, as the library forgets no text that it gives to one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final
from zoneinfo import available_timezones

ZONED: Final = frozenset(
    (
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    )
)
"""Methods of a time whose argument is a zone."""
ZONE: Final = "penstock_zone"
"""The variable that holds the argument of such a method while it is checked."""
ZONES: Final = "penstock_zones"
"""The variable that maps each known zone to itself. Without that key, the expression fails."""
ZONES_COST: Final = 700_000
"""Of that variable in each evaluation that needs it: the library copies it."""
MAX_NAME: Final = 64
"""The longest known name has 32 characters."""

_MACHINES: Final = frozenset({"localtime", "posixrules", "Factory"})
"""Names that mean something else on each machine."""
_OFFSET: Final = "^[+-]?[0-2][0-9]:[0-5][0-9]$"
"""What the library knows as an offset, and RE2 compiles to little."""

BEFORE: Final = f"cel.bind({ZONE}, "
"""In front of an argument that is known only when it is evaluated; AFTER stands behind it."""
AFTER: Final = f", {ZONE}.matches('{_OFFSET}') ? {ZONE} : {ZONES}[{ZONE}])"


def is_zone(name: str) -> bool:
    """Whether it is the name of a known zone or a fixed offset."""
    return name in known_zones() or re.fullmatch(_OFFSET, name) is not None


def no_such_zone(name: str) -> str:
    """Say that there is no zone of this name."""
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    return f'there is no time zone "{shown}": use an IANA name, such as Europe/Berlin, or an offset, such as +02:00'


@cache
def known_zones() -> Mapping[str, str]:
    """Return the names of all zones, each with itself: the value of ZONES."""
    return {name: name for name in sorted(available_timezones() - _MACHINES)}
