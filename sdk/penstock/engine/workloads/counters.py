"""Annotations of a Pod or child run that count the attempts before it, so that budgets survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.api.names import ANNOTATION_DISRUPTIONS, ANNOTATION_FAILURES


class Counters(NamedTuple):
    """Attempts before this one that count against each budget."""

    failures: int
    disruptions: int


def write_counters(failures: int, disruptions: int) -> dict[str, str]:
    """Return their annotations. A zero has none, because a larger Pod makes each write of it more expensive."""
    counted = {ANNOTATION_FAILURES: failures, ANNOTATION_DISRUPTIONS: disruptions}
    return {name: str(count) for name, count in counted.items() if count}


def read_counters(annotations: Mapping[str, str]) -> Counters:
    """Read them back.

    Raises:
        ValueError: one is not a number.
    """
    return Counters(int(annotations.get(ANNOTATION_FAILURES, "0")), int(annotations.get(ANNOTATION_DISRUPTIONS, "0")))
