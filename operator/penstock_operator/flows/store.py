"""Compiled Flows for runs that start, and the revisions that runs keep."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow import InlineFlowSpec
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit, compile_concurrency
from penstock.engine.keys import ObjectKey
from penstock.engine.validation.validation import parse_flow
from penstock.errors import StoredStatusError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_already_exists
from penstock.kube.kinds.flow import Flow
from penstock.kube.resources import CONFIGMAPS, FLOWS
from penstock.kube.writer import Writer
from penstock_operator.flows.kept_plans import KeptPlans
from penstock_operator.flows.revision import Owner, build_revision, canonical_spec, read_spec, revision_name
from penstock_operator.runtime.bounded import BoundedMap, BoundedSet

KEPT_NAMES: Final = 10_000
KEPT_FLOWS: Final = 512
"""Flows whose spec is not parsed again while it does not change."""


class CurrentFlow(NamedTuple):
    """A Flow as it is now."""

    plan: Plan
    revision: str
    """The ConfigMap that keeps its spec."""
    limit: ConcurrencyLimit | None
    """How many of its runs are active at once; None for any number."""


class _KnownFlow(NamedTuple):
    """What is remembered of a generation of a Flow, besides its plan."""

    revision: str
    limit: ConcurrencyLimit | None


class StoredRevision(NamedTuple):
    """What a revision holds."""

    spec: InlineFlowSpec
    flow: str | None
    """Name of its Flow; None for the inline spec of a run."""


class FlowStore:
    """Reads Flows, compiles them, and stores revisions.

    Args:
        client: for reads.
        writer: for revisions.
    """

    def __init__(self, client: ApiClient, writer: Writer) -> None:
        self._client = client
        self._writer = writer
        self._plans = KeptPlans()
        self._stored: BoundedSet[tuple[str, str]] = BoundedSet(KEPT_NAMES)
        self._current: BoundedMap[tuple[str, int], _KnownFlow] = BoundedMap(KEPT_FLOWS)
        """By uid and generation of the Flow."""
        self._reading: dict[ObjectKey, asyncio.Task[Flow | None]] = {}
        self._next: dict[ObjectKey, asyncio.Task[Flow | None]] = {}

    async def read_flow(self, key: ObjectKey) -> Flow | None:
        """Read a Flow as it is now, or later; None if there is none.

        A thousand runs of one Flow that start together share two reads. A read that was sent before the call does not
        serve it: whoever edits a Flow and then starts a run must get the edit.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._read_after(key, self._reading.get(key)))
        return await asyncio.shield(task)

    async def _read_after(self, key: ObjectKey, earlier: asyncio.Task[Flow | None] | None) -> Flow | None:
        if earlier is not None:
            await asyncio.wait([earlier])
        task = self._reading[key] = self._next.pop(key)
        try:
            return await self._client.get(FLOWS, key.namespace, key.name, kind=Flow)
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]

    async def current(self, key: ObjectKey) -> CurrentFlow | None:
        """Return a Flow as it is now, or later, and store its revision; None if there is no such Flow.

        Raises:
            InvalidSpecError: the Flow is invalid.
            ApiError: its revision could not be stored.
        """
        flow = await self.read_flow(key)
        if flow is None:
            return None
        identity = (flow.metadata.uid, flow.metadata.generation)
        known = self._current.get(identity)
        if known is None or (key.namespace, known.revision) not in self._stored:
            spec = parse_flow({"spec": flow.spec})
            owner = Owner(key.namespace, key.name, flow.metadata.uid)
            limit = compile_concurrency(spec)
            plan = await self.compile(owner, spec)
            known = _KnownFlow(await self.keep_revision(owner, spec), limit)
        else:
            kept = self._plans.get(ObjectKey(key.namespace, known.revision))
            owner = Owner(key.namespace, key.name, flow.metadata.uid)
            plan = kept or await self.compile(owner, parse_flow({"spec": flow.spec}))
        self._current[identity] = known
        self._current.move_to_end(identity)
        return CurrentFlow(plan, known.revision, known.limit)

    async def compile(self, owner: Owner, spec: InlineFlowSpec) -> Plan:
        """Compile a spec, once per revision; a spec of thousands of tasks takes a second, so in a thread.

        Raises:
            InvalidSpecError: the spec is invalid.
        """
        canonical = canonical_spec(spec)
        revision = ObjectKey(owner.namespace, revision_name(owner, canonical))
        plan = self._plans.get(revision)
        if plan is None:
            plan = await asyncio.to_thread(compile_plan, spec)
            self._plans.add(revision, plan, spec_bytes=len(canonical))
        return plan

    async def keep_revision(self, owner: Owner, spec: InlineFlowSpec, *, is_owned_by_run: bool = False) -> str:
        """Store the revision of a spec, unless it is stored; returns its name.

        Raises:
            ApiError: the API server refused it.
        """
        name = revision_name(owner, canonical_spec(spec))
        known = (owner.namespace, name)
        if known not in self._stored:
            body = msgspec.json.encode(build_revision(owner, spec, is_owned_by_run=is_owned_by_run))
            try:
                await self._writer.create(CONFIGMAPS, owner.namespace, body, accept=METADATA)
            except ApiError as error:
                if not is_already_exists(error):
                    raise
            self._stored.add(known)
        return name

    def forget_revision(self, namespace: str, revision: str) -> None:
        """Note that a revision is not stored any more."""
        self._stored.discard((namespace, revision))

    async def load_plan(self, namespace: str, revision: str) -> Plan:
        """Compile the spec that a revision holds.

        Raises:
            ApiError: it could not be read; 404 when it is gone.
            StoredStatusError: the ConfigMap is not a revision.
        """
        key = ObjectKey(namespace, revision)
        plan = self._plans.get(key)
        if plan is None:
            spec = (await self.read_revision(namespace, revision)).spec
            plan = await asyncio.to_thread(compile_plan, spec)
            self._plans.add(key, plan, spec_bytes=len(canonical_spec(spec)))
        return plan

    async def read_revision(self, namespace: str, revision: str) -> StoredRevision:
        """Read what a revision holds.

        Raises:
            ApiError: it could not be read; 404 when it is gone.
            StoredStatusError: the ConfigMap is not a revision.
        """
        reply = await self._client.request("GET", CONFIGMAPS.path(namespace, revision))
        config_map = msgspec.json.decode(reply.body)
        labels = config_map["metadata"].get("labels") or {}
        spec = read_spec(config_map)
        flow = labels.get(names.LABEL_FLOW)
        owner = Owner(namespace, flow or labels.get(names.LABEL_RUN, ""), labels.get(names.LABEL_FLOW_UID, ""))
        if revision_name(owner, canonical_spec(spec)) != revision:
            raise StoredStatusError(f"ConfigMap {revision} has been replaced: its content does not match its name")
        return StoredRevision(spec, flow)
