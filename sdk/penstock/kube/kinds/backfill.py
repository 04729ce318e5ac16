"""A Backfill as it is stored."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.kube.conditions import Condition, find_condition
from penstock.kube.metadata import ObjectMeta


class BackfillStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.backfill.BackfillStatus`."""

    state: str | None = None
    reason: str | None = None
    message: str | None = None
    observed_generation: int | None = None
    conditions: list[Condition] = []
    timing: str | None = None
    ticks: int | None = None
    progress: str | None = None
    counts: dict[str, int] | None = None
    started: str | None = None
    settled: dict[str, str] | None = None
    start_time: str | None = None
    completion_time: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        finished = find_condition(self.conditions, "Finished")
        return finished is not None and finished.status == "True"


class Backfill(msgspec.Struct, frozen=True):
    """A Backfill."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: BackfillStatus = BackfillStatus()

    @property
    def schedule(self) -> str | None:
        """Name of its Schedule; None if its spec names none."""
        reference = self.spec.get("schedule")
        return reference.get("name") if isinstance(reference, dict) else None
