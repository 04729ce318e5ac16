"""Annotations of a Pod or child run that count the attempts before it, so that budgets survive a restart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from penstock.api.names import ANNOTATION_DISRUPTIONS, ANNOTATION_FAILURES

_COUNT: Final = re.compile("[0-9]{1,6}")


class Counters(NamedTuple):
    """Attempts before this one that count against each budget."""

    failures: int
    disruptions: int


NONE: Final = Counters(0, 0)


def write_counters(failures: int, disruptions: int) -> dict[str, str]:
    """Return their annotations. A zero has none, because a larger Pod makes each write of it more expensive."""
    counted = {ANNOTATION_FAILURES: failures, ANNOTATION_DISRUPTIONS: disruptions}
    return {name: str(count) for name, count in counted.items() if count}


def read_counters(annotations: Mapping[str, str]) -> Counters:
    """Read them back. One that no operator wrote counts as zero: the attempt is the same whatever is said beside it."""
    if not annotations:
        return NONE
    return Counters(_count(annotations.get(ANNOTATION_FAILURES)), _count(annotations.get(ANNOTATION_DISRUPTIONS)))


def _count(text: str | None) -> int:
    return 0 if text is None or _COUNT.fullmatch(text) is None else int(text)
