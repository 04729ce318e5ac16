"""Flows for runs that begin, and the revisions that runs keep."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow import InlineFlowSpec
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.limit import ConcurrencyLimit, compile_concurrency
from penstock.engine.keys import ObjectKey
from penstock.engine.validation.validation import parse_flow
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_already_exists
from penstock.kube.resources import CONFIGMAPS, FLOWS
from penstock.kube.writer import Writer
from penstock_operator.flows.revision import Owner, build_revision, canonical_spec, read_revision, revision_name

KEPT_PLANS: Final = 512
"""Compiled plans in memory; a plan that fell out is compiled again."""
KEPT_NAMES: Final = 10_000
KEPT_FLOWS: Final = 512
"""Flows whose spec is not read a second time while it does not change."""


class CurrentFlow(NamedTuple):
    """A Flow as it is now."""

    plan: Plan
    revision: str
    """The ConfigMap that keeps its spec."""
    limit: ConcurrencyLimit | None
    """How many of its runs go on at once; None for any number."""


class KeptSpec(NamedTuple):
    """What a revision keeps."""

    spec: InlineFlowSpec
    flow: str | None
    """Name of the Flow that it is of; None for that of a run with an inline spec."""


class FlowStore:
    """Reads Flows, compiles them, and keeps revisions.

    Args:
        client: for reads.
        writer: for revisions.
    """

    def __init__(self, client: ApiClient, writer: Writer) -> None:
        self._client = client
        self._writer = writer
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._current: OrderedDict[tuple[str, int], CurrentFlow] = OrderedDict()
        """By uid and generation of the Flow."""
        self._reading: dict[ObjectKey, asyncio.Task[dict[str, Any] | None]] = {}
        self._next: dict[ObjectKey, asyncio.Task[dict[str, Any] | None]] = {}

    async def read(self, key: ObjectKey) -> dict[str, Any] | None:
        """Read a Flow as it is now, or later; None if there is none.

        A thousand runs of one Flow that begin together share two reads. A read that was sent before the call does
        not serve it: who edits a Flow and then starts a run must get the edit.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._read_after(key, self._reading.get(key)))
        return await asyncio.shield(task)

    async def _read_after(
        self, key: ObjectKey, earlier: asyncio.Task[dict[str, Any] | None] | None
    ) -> dict[str, Any] | None:
        if earlier is not None:
            await asyncio.wait([earlier])
        task = self._reading[key] = self._next.pop(key)
        try:
            reply = await self._client.request("GET", FLOWS.path(key.namespace, key.name))
            return msgspec.json.decode(reply.body, type=dict[str, Any])
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]

    async def current(self, key: ObjectKey) -> CurrentFlow | None:
        """Return a Flow as it is now, or later, and keep its revision; None if there is no such Flow.

        Raises:
            InvalidSpecError: it can't work.
            ApiError: its revision can't be kept.
        """
        body = await self.read(key)
        if body is None:
            return None
        metadata = body["metadata"]
        identity = (metadata["uid"], metadata["generation"])
        known = self._current.get(identity)
        if known is None or (key.namespace, known.revision) not in self._kept:
            spec = parse_flow(body)
            owner = Owner(key.namespace, key.name, metadata["uid"])
            limit = compile_concurrency(spec)
            plan = await self.compile(owner, spec)
            known = self._current[identity] = CurrentFlow(plan, await self.keep(owner, spec), limit)
            if len(self._current) > KEPT_FLOWS:
                self._current.popitem(last=False)
        self._current.move_to_end(identity)
        return known

    async def compile(self, owner: Owner, spec: InlineFlowSpec) -> Plan:
        """Compile a spec, once per revision; a spec of thousands of tasks takes a second, so in a thread.

        Raises:
            InvalidSpecError: the spec can't work.
        """
        name = revision_name(owner, canonical_spec(spec))
        return await self._compile(name, spec)

    async def _compile(self, name: str, spec: InlineFlowSpec) -> Plan:
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = await asyncio.to_thread(compile_plan, spec)
            if len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(name)
        return plan

    async def keep(self, owner: Owner, spec: InlineFlowSpec, *, is_owned_by_run: bool = False) -> str:
        """Store the revision of a spec, unless it is stored; returns its name.

        Raises:
            ApiError: the API server refused it.
        """
        name = revision_name(owner, canonical_spec(spec))
        known = (owner.namespace, name)
        if known not in self._kept:
            body = msgspec.json.encode(build_revision(owner, spec, is_owned_by_run=is_owned_by_run))
            try:
                await self._writer.create(CONFIGMAPS, owner.namespace, body, accept=METADATA)
            except ApiError as error:
                if not is_already_exists(error):
                    raise
            self._kept[known] = None
            if len(self._kept) > KEPT_NAMES:
                self._kept.popitem(last=False)
        return name

    def forget(self, namespace: str, revision: str) -> None:
        """Learn that a revision is not stored any more."""
        self._kept.pop((namespace, revision), None)

    async def load(self, namespace: str, revision: str) -> Plan:
        """Compile the spec that a revision keeps.

        Raises:
            ApiError: it can't be read; 404 when it is gone.
            StoredStatusError: it is no revision.
        """
        plan = self._plans.get(revision)
        if plan is None:
            plan = await self._compile(revision, (await self.read_kept(namespace, revision)).spec)
        return plan

    async def read_kept(self, namespace: str, revision: str) -> KeptSpec:
        """Read what a revision keeps.

        Raises:
            ApiError: it can't be read; 404 when it is gone.
            StoredStatusError: it is no revision.
        """
        reply = await self._client.request("GET", CONFIGMAPS.path(namespace, revision))
        config_map = msgspec.json.decode(reply.body)
        flow = (config_map["metadata"].get("labels") or {}).get(names.LABEL_FLOW)
        return KeptSpec(read_revision(config_map), flow)
