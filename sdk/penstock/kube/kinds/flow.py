"""A Flow as it is stored."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.kube.conditions import Condition, find_condition
from penstock.kube.metadata import ObjectMeta


class FlowStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.flow.FlowStatus`."""

    observed_generation: int | None = None
    revision: str | None = None
    tasks: int | None = None
    last_success_time: str | None = None
    conditions: list[Condition] = []

    @property
    def ready(self) -> Condition | None:
        """The condition that says whether runs can start."""
        return find_condition(self.conditions, "Ready")


class Flow(msgspec.Struct, frozen=True):
    """A Flow."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: FlowStatus = FlowStatus()
