"""FlowDefaults: their condition `Ready` says whether they are in force, and the Flows of their namespace follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from penstock.api.flow_defaults import DEFAULTS_NAME
from penstock.engine.keys import ObjectKey
from penstock.kube.conditions import find_condition, ready_condition
from penstock.kube.kinds.flow_defaults import FlowDefaults
from penstock_operator.flow_defaults.in_force import NamespaceDefaults, ReadDefaults, read_defaults
from penstock_operator.runtime.controller import KeyedController

MESSAGE_CHARACTERS: Final = 8192
VALID: Final = "Valid"
INVALID: Final = "Invalid"
NOT_DEFAULT: Final = "NotDefault"


class FlowDefaultsController(KeyedController[FlowDefaults]):
    """Reconciles FlowDefaults.

    Args:
        defaults: what is in force.
        on_change: called with a namespace and the fingerprint of what is in force there.
        options: those of `KeyedController`.
    """

    def __init__(self, *, defaults: NamespaceDefaults, on_change: Callable[[str, str], None], **options: Any) -> None:
        super().__init__(**options)
        self._defaults = defaults
        self._on_change = on_change

    def forget_object(self, key: ObjectKey) -> None:
        """Have the Flows of a namespace without FlowDefaults follow."""
        if key.name == DEFAULTS_NAME:
            self._on_change(key.namespace, self._defaults.in_force(None).fingerprint)

    async def reconcile(self, key: ObjectKey, item: FlowDefaults) -> None:
        """Validate FlowDefaults, and have the Flows of their namespace follow."""
        if key.name == DEFAULTS_NAME:
            read = await asyncio.to_thread(read_defaults, item)
            await self._store(key, item, read)
            in_force = await asyncio.to_thread(self._defaults.in_force, read)
            self._on_change(key.namespace, in_force.fingerprint)
        else:
            message = f"only the FlowDefaults named {DEFAULTS_NAME} counts in a namespace: this one has no effect"
            await self._store_condition(key, item, is_ready=False, reason=NOT_DEFAULT, message=message)

    async def _store(self, key: ObjectKey, item: FlowDefaults, read: ReadDefaults) -> None:
        if not read.problems and read.spec is not None:
            text = read.spec.model_dump_json(by_alias=True, exclude_unset=True)
            message = "new revisions of the Flows of this namespace, and new runs of inline specs, have these defaults"
            await self._store_condition(
                key, item, is_ready=True, reason=VALID, message=message, changes={"lastValid": text}
            )
            return
        consequence = "nothing of it is in force" if read.spec is None else "the last valid spec is in force"
        problems = "; ".join(map(str, read.problems))
        message = f"{problems}; {consequence}"
        if len(message) > MESSAGE_CHARACTERS:
            message = f"{problems[: MESSAGE_CHARACTERS - len(consequence) - 5]}...; {consequence}"
        await self._store_condition(key, item, is_ready=False, reason=INVALID, message=message)

    async def _store_condition(
        self,
        key: ObjectKey,
        item: FlowDefaults,
        *,
        is_ready: bool,
        reason: str,
        message: str,
        changes: dict[str, Any] | None = None,
    ) -> None:
        generation = item.metadata.generation
        before = find_condition(item.status.conditions, "Ready")
        if not is_ready and (before is None or (before.reason, before.observed_generation) != (reason, generation)):
            self.record_event(item, is_warning=True, reason=reason, note=message)
        ready = ready_condition(
            item.status.conditions,
            is_ready=is_ready,
            reason=reason,
            message=message,
            generation=generation,
            now=self.clock(),
        )
        await self.store_status(key, item, {"observedGeneration": generation, "conditions": [ready], **(changes or {})})
