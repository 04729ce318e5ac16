"""What an attempt's Pod or child run remembers of the attempts before it, so that budgets survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.api.names import ANNOTATION_DISRUPTIONS, ANNOTATION_FAILURES


class Counters(NamedTuple):
    """Attempts that were charged to each budget before this one."""

    failures: int
    disruptions: int


def write_counters(failures: int, disruptions: int) -> dict[str, str]:
    """Return the annotations that keep them; a zero takes none, as whatever a Pod carries costs each write of it."""
    counted = {ANNOTATION_FAILURES: failures, ANNOTATION_DISRUPTIONS: disruptions}
    return {name: str(count) for name, count in counted.items() if count}


def read_counters(annotations: Mapping[str, str]) -> Counters:
    """Read them back.

    Raises:
        ValueError: one is no number.
    """
    return Counters(int(annotations.get(ANNOTATION_FAILURES, "0")), int(annotations.get(ANNOTATION_DISRUPTIONS, "0")))
