"""Flows: validated, kept as revisions, and told whether runs can start from them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import ObjectKey, RunIdentity
from penstock.engine.validation.validation import parse_flow
from penstock.errors import InvalidSpecError
from penstock.kube.client import METADATA_LIST, ApiClient
from penstock.kube.conditions import ready_condition
from penstock.kube.errors import ApiError, ApiUnreachableError, is_not_found
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import CONFIGMAPS
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.revision import Owner
from penstock_operator.flows.store import FlowStore
from penstock_operator.runtime.controller import KeyedController

logger = logging.getLogger(__name__)

TRY_AGAIN_S: Final = 300.0
"""A Flow whose Pods the API server refuses is tried again: a policy or a service account may have changed."""
SWEEP_S: Final = 600.0
"""Between two looks for revisions that nothing needs any more."""
MESSAGE_CHARACTERS: Final = 8192
VALID: Final = "Valid"
POD_REFUSED: Final = "PodRefused"


class _RevisionList(msgspec.Struct):
    items: list[PartialObject] | None = None


class _Tried(NamedTuple):
    """What was found out about a Flow's Pods."""

    revision: str
    refusals: list[str]
    good_until: float
    """Monotonic seconds."""


class FlowController(KeyedController):
    """Looks at Flows.

    Args:
        client: for reads.
        store: compiles Flows and keeps their revisions.
        rehearsal: asks the API server about their Pods.
        namespace: the one to sweep; empty for all.
        on_ready: told of every Flow that runs can start from.
        revisions_in_use: the revisions that unfinished runs need, by namespace and name.
        options: those of `KeyedController`.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        store: FlowStore,
        rehearsal: DryRun,
        namespace: str,
        on_ready: Callable[[ObjectKey], None],
        revisions_in_use: Callable[[], set[tuple[str, str]]],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._client = client
        self._store = store
        self._rehearsal = rehearsal
        self._namespace = namespace
        self._on_ready = on_ready
        self._revisions_in_use = revisions_in_use
        self._current: dict[ObjectKey, str] = {}
        self._tried: dict[ObjectKey, _Tried] = {}
        self._unused: set[tuple[str, str]] = set()

    def forget(self, key: ObjectKey) -> None:
        """Learn that a Flow is gone; its revisions go when no run needs them."""
        self._current.pop(key, None)
        self._tried.pop(key, None)

    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Validate a Flow, and keep its revision."""
        metadata = body["metadata"]
        generation = metadata["generation"]
        stored = body.get("status") or {}
        status: dict[str, Any] = {"observedGeneration": generation}
        try:
            spec = parse_flow(body)
            owner = Owner(key.namespace, key.name, metadata["uid"])
            plan = await self._store.compile(owner, spec)
        except InvalidSpecError as error:
            message = "; ".join(str(problem) for problem in error.problems)[:MESSAGE_CHARACTERS]
            is_ready, reason = False, "Invalid"
            if stored.get("observedGeneration") != generation:
                self.record(body, is_warning=True, reason="Invalid", note=message)
        else:
            status["revision"] = self._current[key] = await self._store.keep(owner, spec)
            status["tasks"] = len(plan.tasks)
            refusals = await self._try_pods(key, metadata, stored, plan, status["revision"])
            is_ready, reason, message = True, VALID, "runs can start from it"
            if refusals:
                is_ready, reason, message = False, POD_REFUSED, "; ".join(refusals)[:MESSAGE_CHARACTERS]
                if not _was_refused(stored, generation):
                    self.record(body, is_warning=True, reason=POD_REFUSED, note=message)
        status["conditions"] = [
            ready_condition(
                stored, is_ready=is_ready, reason=reason, message=message, generation=generation, now=self.clock()
            )
        ]
        await self.store_status(key, body, status)
        # An invalid Flow too: runs that wait for it should be told what is wrong with it.
        self._on_ready(key)

    async def _try_pods(
        self, key: ObjectKey, metadata: Mapping[str, Any], stored: Mapping[str, Any], plan: Plan, revision: str
    ) -> list[str]:
        """Return what the API server has against the Pods of a Flow; a revision that it accepted is not tried again."""
        if stored.get("revision") == revision and _ready(stored).get("reason") == VALID:
            return []
        tried = self._tried.get(key)
        if tried is None or tried.revision != revision or time.monotonic() >= tried.good_until:
            flow = RunIdentity(key.namespace, key.name, metadata["uid"])
            refusals = await self._rehearsal.judge(plan, flow, revision=revision)
            tried = self._tried[key] = _Tried(revision, refusals, time.monotonic() + TRY_AGAIN_S)
        if tried.refusals:
            self.queue.add_at(key, tried.good_until)
        return tried.refusals

    async def sweep(self) -> None:
        """Delete revisions that are nobody's current one and that no unfinished run names, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._sweep_once()
            except (ApiError, ApiUnreachableError) as error:
                logger.warning("Revisions could not be swept: %s", error)

    async def _sweep_once(self) -> None:
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_FLOW_UID},!{names.LABEL_RUN}"
        reply = await self._client.request(
            "GET", CONFIGMAPS.path(self._namespace), query={"labelSelector": selector}, accept=METADATA_LIST
        )
        revisions = {
            (item.metadata.namespace, item.metadata.name): item.metadata.uid
            # Of no objects at all the API server says null.
            for item in msgspec.json.decode(reply.body, type=_RevisionList).items or ()
        }
        current = {(key.namespace, name) for key, name in self._current.items()}
        unused = set(revisions) - current - self._revisions_in_use()
        # Twice unused, because a run may be about to name one that has just been superseded.
        for namespace, name in unused & self._unused:
            self._store.forget(namespace, name)
            try:
                await self.writer.delete(CONFIGMAPS, namespace, name, revisions[namespace, name])
            except ApiError as error:
                if not is_not_found(error):
                    raise
        self._unused = unused - self._unused


def _ready(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((one for one in stored.get("conditions") or () if one["type"] == "Ready"), {})


def _was_refused(stored: Mapping[str, Any], generation: int) -> bool:
    ready = _ready(stored)
    return ready.get("reason") == POD_REFUSED and ready.get("observedGeneration") == generation
