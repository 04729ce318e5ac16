"""FlowDefaults as they are stored."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.kube.conditions import Condition
from penstock.kube.metadata import ObjectMeta


class FlowDefaultsStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`penstock.api.flow_defaults.FlowDefaultsStatus`."""

    observed_generation: int | None = None
    conditions: list[Condition] = []
    last_valid: str | None = None


class FlowDefaults(msgspec.Struct, frozen=True):
    """FlowDefaults."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: FlowDefaultsStatus = FlowDefaultsStatus()
