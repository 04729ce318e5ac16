"""Compiled Flows for runs that start, and the revisions that runs keep.

A revision is believed to be stored after it was stored or verified, until the watch of revisions reports its deletion:
so a run costs no request for it, and one that is deleted is stored again.
"""

from __future__ import annotations

import asyncio
import copy
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from penstock.api import names
from penstock.api.base import AS_STORED
from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_defaults import RevisedFlowSpec
from penstock.engine.compiler.inheritance import inherit
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit, compile_concurrency
from penstock.engine.keys import ObjectKey
from penstock.engine.validation.validation import parse_flow
from penstock.errors import Problem, RevisionConflictError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_already_exists, is_not_found
from penstock.kube.kinds.flow import Flow
from penstock.kube.reflector import EventType
from penstock.kube.resources import CONFIGMAPS, FLOWS
from penstock.kube.writer import Writer
from penstock_operator.flow_defaults.in_force import DefaultsInForce, NamespaceDefaults
from penstock_operator.flows.kept_plans import KeptPlans
from penstock_operator.flows.large_specs import LargeSpecs
from penstock_operator.flows.revision import (
    SPEC_KEY,
    Owner,
    build_revision,
    canonical_spec,
    is_same_revision,
    owner_of,
    read_spec,
    revision_name,
)
from penstock_operator.runtime.bounded import BoundedMap, BoundedSet
from penstock_operator.runtime.shared_reads import SharedReads

KEPT_NAMES: Final = 10_000
COMPILE_THREADS: Final = 2
"""One for a large spec, and one for others. Each thread keeps for itself most of the memory that it ever had."""
KEPT_FLOWS: Final = 512
"""Flows whose spec is not parsed again while it does not change."""
SHARED_BYTES: Final = 4_096
KEPT_SHARED: Final = 512
"""Plans of small specs that many owners have: a Schedule writes the same inline spec into each of its runs."""
WRITE_S: Final = 30.0
"""How long a revision is tried at once; whoever needs it tries again later, and holds up no other Flow."""


class CurrentFlow(NamedTuple):
    """A Flow as it is now."""

    plan: Plan
    revision: str
    """The ConfigMap that keeps its spec."""
    limit: ConcurrencyLimit | None
    """How many of its runs are active at once; None for any number."""


class _FlowIdentity(NamedTuple):
    """What a Flow's plan depends on."""

    flow: ObjectKey
    uid: str
    generation: int
    defaults: str
    """Fingerprint of those in force."""


class _KnownFlow(NamedTuple):
    """What is remembered of a generation of a Flow, besides its plan."""

    revision: str
    limit: ConcurrencyLimit | None


class StoredRevision(NamedTuple):
    """What a revision holds."""

    spec: RevisedFlowSpec
    owner: Owner
    flow: str | None
    """Name of its Flow; None for the inline spec of a run."""


class _KeptSpec(NamedTuple):
    """What a plan was compiled from."""

    owner: Owner
    canonical: bytes
    """Compressed: a tenth, and little beside the plan."""


class FlowStore:
    """Reads Flows, compiles them, and stores revisions.

    Args:
        client: for reads.
        writer: for revisions.
        defaults: what the specs of a namespace inherit.

    Attributes:
        large_specs: whose turn it is to parse and compile one.
    """

    def __init__(self, client: ApiClient, writer: Writer, defaults: NamespaceDefaults) -> None:
        self.defaults = defaults
        self._client = client
        self._writer = writer
        self.large_specs = LargeSpecs()
        self._threads = ThreadPoolExecutor(COMPILE_THREADS, thread_name_prefix="compile")
        self._plans = KeptPlans()
        self._shared: BoundedMap[bytes, Plan] = BoundedMap(KEPT_SHARED)
        """Of small specs, whoever owns them."""
        self._specs: WeakKeyDictionary[Plan, _KeptSpec] = WeakKeyDictionary()
        """Of plans in use: what their revisions hold, should one be deleted after its Flow has changed."""
        self._stored: BoundedSet[ObjectKey] = BoundedSet(KEPT_NAMES)
        """Revisions that were stored or verified by this process."""
        self._existing: set[ObjectKey] = set()
        """Revisions by the watch: their content may be any."""
        self._writing: dict[ObjectKey, asyncio.Task[None]] = {}
        """Revisions of Flows that are being stored: once, for all that need them."""
        self._current: BoundedMap[_FlowIdentity, _KnownFlow] = BoundedMap(KEPT_FLOWS)
        self._reads = SharedReads(self._read_flow)

    async def read_flow(self, key: ObjectKey) -> Flow | None:
        """Read a Flow as it is now, or later; None if there is none."""
        return await self._reads.get(key)

    async def _read_flow(self, key: ObjectKey) -> Flow | None:
        return await self._client.get(FLOWS, key.namespace, key.name, kind=Flow)

    async def has_no_retention(self, key: ObjectKey) -> bool:
        """Whether there is no such Flow, or nothing says how long its runs are kept; false if it cannot be decoded.

        Raises:
            ApiError: it could not be read.
        """
        try:
            flow, defaults = await asyncio.gather(self.read_flow(key), self.defaults.current(key.namespace))
        except msgspec.MsgspecError:
            return False
        return flow is None or defaults.is_silent_about_retention(flow.spec)

    async def current(self, key: ObjectKey) -> CurrentFlow | None:
        """Return a Flow as it is now, or later, and store its revision; None if there is no such Flow.

        Raises:
            InvalidSpecError: the Flow is invalid.
            ApiError: its revision could not be stored.
        """
        flow, defaults = await asyncio.gather(self.read_flow(key), self.defaults.current(key.namespace))
        if flow is None:
            return None
        identity = _FlowIdentity(key, flow.metadata.uid, flow.metadata.generation, defaults.fingerprint)
        current = self._find_current(identity)
        if current is None:
            async with self.large_specs.turn(key.namespace, flow.spec):
                # Another run of it may have had its turn meanwhile.
                current = self._find_current(identity) or await self._compile_current(identity, flow.spec, defaults)
        self._current.move_to_end(identity)
        await self._written(ObjectKey(key.namespace, current.revision))
        return current

    def _find_current(self, identity: _FlowIdentity) -> CurrentFlow | None:
        """Return a Flow that needs not be parsed: its plan is in memory, and its revision stored, or about to be."""
        known = self._current.get(identity)
        if known is None:
            return None
        revision = ObjectKey(identity.flow.namespace, known.revision)
        plan = self._plans.get(revision)
        if plan is None or not (revision in self._stored or revision in self._writing):
            return None
        return CurrentFlow(plan, known.revision, known.limit)

    async def _compile_current(
        self, identity: _FlowIdentity, flow_spec: dict[str, Any], defaults: DefaultsInForce
    ) -> CurrentFlow:
        own = parse_flow({"spec": flow_spec})
        limit = compile_concurrency(own)
        spec = inherit(own, defaults.inherited)
        owner = Owner(*identity.flow, identity.uid)
        plan = await self.compile(owner, spec)
        revision = self._begin_write(build_revision(owner, spec, is_owned_by_run=False))
        self._current[identity] = _KnownFlow(revision.name, limit)
        return CurrentFlow(plan, revision.name, limit)

    async def compile(self, owner: Owner, spec: InlineFlowSpec) -> Plan:
        """Compile a spec, once per revision; a spec of thousands of tasks takes a second, so in a thread.

        Raises:
            InvalidSpecError: the spec is invalid.
        """
        return await self._compile(owner, spec, canonical_spec(spec))

    async def _compile(self, owner: Owner, spec: InlineFlowSpec, canonical: bytes) -> Plan:
        plan = self._plans.get(ObjectKey(owner.namespace, revision_name(owner, canonical)))
        if plan is None:
            plan = await self._compile_new(owner, spec, canonical)
        return plan

    async def compile_in_turn(self, owner: Owner, spec: InlineFlowSpec) -> Plan:
        """Compile the inline spec of a run; large ones, one after the other, each namespace's in turn.

        Raises:
            InvalidSpecError: the spec is invalid.
        """
        canonical = canonical_spec(spec)
        async with self.large_specs.turn(owner.namespace, canonical):
            return await self._compile(owner, spec, canonical)

    async def _compile_new(self, owner: Owner, spec: InlineFlowSpec, canonical: bytes) -> Plan:
        shared = self._shared.get(canonical)
        if shared is None:
            shared = await asyncio.get_running_loop().run_in_executor(self._threads, compile_plan, spec)
            if len(canonical) <= SHARED_BYTES:
                self._shared[canonical] = shared
        # By its plan the owner's revision is found.
        plan = copy.copy(shared)
        self._specs[plan] = _KeptSpec(owner, zlib.compress(canonical))
        revision = ObjectKey(owner.namespace, revision_name(owner, canonical))
        self._plans.add(revision, plan, spec_bytes=len(canonical))
        return plan

    async def keep_revision(self, owner: Owner, spec: InlineFlowSpec, *, is_owned_by_run: bool = False) -> str:
        """Store the revision of a spec, unless it is stored; returns its name.

        Raises:
            ApiError: the API server refused it, or still refuses it after WRITE_S.
            ApiUnreachableError: no answer within WRITE_S.
            RevisionConflictError: a ConfigMap of its name has another content.
        """
        wanted = build_revision(owner, spec, is_owned_by_run=is_owned_by_run)
        key = _key_of(wanted)
        await self._store_revision(key, wanted, deadline=time.monotonic() + WRITE_S)
        return key.name

    async def store_revision(self, wanted: dict[str, Any]) -> None:
        """Store the revision of a Flow, unless it is stored.

        Args:
            wanted: what `build_revision` built.

        Raises:
            ApiError: the API server refused it, or still refuses it after WRITE_S.
            ApiUnreachableError: no answer within WRITE_S.
            RevisionConflictError: a ConfigMap of its name has another content.
        """
        await self._written(self._begin_write(wanted))

    def _begin_write(self, wanted: dict[str, Any]) -> ObjectKey:
        """Begin to store the revision of a Flow, unless it is stored."""
        key = _key_of(wanted)
        if key not in self._stored and key not in self._writing:
            write = self._store_revision(key, wanted, deadline=time.monotonic() + WRITE_S)
            task = self._writing[key] = asyncio.create_task(write)
            task.add_done_callback(lambda _: self._writing.pop(key))
        return key

    async def _written(self, key: ObjectKey) -> None:
        """Wait until a revision is stored that is being stored; raises what `store_revision` raises."""
        task = self._writing.get(key)
        if task is not None:
            # Others wait for it as well.
            await asyncio.shield(task)

    async def _store_revision(self, key: ObjectKey, wanted: dict[str, Any], *, deadline: float) -> None:
        if key in self._stored:
            return
        if key not in self._existing or not await self._verify_revision(key, wanted):
            await self._create_revision(key, wanted, deadline)
        self._stored.add(key)

    async def _create_revision(self, key: ObjectKey, wanted: dict[str, Any], deadline: float) -> None:
        body = msgspec.json.encode(wanted)
        try:
            await self._writer.create(CONFIGMAPS, key.namespace, body, accept=METADATA, deadline=deadline)
        except ApiError as error:
            if not is_already_exists(error) or not await self._verify_revision(key, wanted):
                raise

    async def _verify_revision(self, key: ObjectKey, wanted: dict[str, Any]) -> bool:
        """Whether a revision exists, as it should be.

        Raises:
            RevisionConflictError: a ConfigMap of its name has another content.
        """
        try:
            found = await self._read_config_map(key)
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        if is_same_revision(found, wanted):
            return True
        message = (
            f"the ConfigMap {key.name}, in which this spec is stored for runs, exists and has another content: find "
            "out who made it, and delete it"
        )
        raise RevisionConflictError([Problem("spec", message)])

    async def restore_revision(self, flow_key: ObjectKey, revision: str) -> bool:
        """Store a revision again that was deleted; false if its Flow or FlowDefaults have changed since.

        Raises:
            ApiError: the API server refused it.
            InvalidSpecError: the Flow is invalid, or a ConfigMap of that name has another content.
        """
        flow, defaults = await asyncio.gather(self.read_flow(flow_key), self.defaults.current(flow_key.namespace))
        if flow is None:
            return False
        spec = inherit(parse_flow({"spec": flow.spec}), defaults.inherited)
        owner = Owner(*flow_key, flow.metadata.uid)
        if revision_name(owner, canonical_spec(spec)) != revision:
            return False
        await self.keep_revision(owner, spec)
        return True

    async def restore_revision_of(self, plan: Plan, *, is_owned_by_run: bool) -> None:
        """Store the revision again that a plan in use was compiled from, whatever its Flow says now.

        Raises:
            ApiError: the API server refused it.
            RevisionConflictError: a ConfigMap of its name has another content.
        """
        kept = self._specs[plan]
        spec = RevisedFlowSpec.model_validate_json(zlib.decompress(kept.canonical), context=AS_STORED)
        await self.keep_revision(kept.owner, spec, is_owned_by_run=is_owned_by_run)

    def is_stored(self, revision: ObjectKey) -> bool:
        """Whether a revision was stored or verified by this process, and still exists."""
        return revision in self._stored

    def on_revision(self, event: EventType, revision: ObjectKey) -> None:
        """Handle that a revision exists, or does not exist any more."""
        if event is EventType.DELETED:
            self._existing.discard(revision)
            self._stored.discard(revision)
        else:
            self._existing.add(revision)

    async def load_plan(self, namespace: str, revision: str) -> Plan:
        """Compile the spec that a revision holds.

        Raises:
            ApiError: it could not be read; 404 when it is gone.
            StoredStatusError: the ConfigMap is not a revision.
        """
        key = ObjectKey(namespace, revision)
        plan = self._plans.get(key)
        if plan is None:
            config_map = await self._read_config_map(key)
            async with self.large_specs.turn(namespace, (config_map.get("data") or {}).get(SPEC_KEY) or ""):
                # Another run of it may have had its turn meanwhile.
                plan = self._plans.get(key)
                if plan is None:
                    stored = _read_revision(config_map)
                    plan = await self._compile_new(stored.owner, stored.spec, canonical_spec(stored.spec))
        return plan

    async def read_revision(self, namespace: str, revision: str) -> StoredRevision:
        """Read what a revision holds.

        Raises:
            ApiError: it could not be read; 404 when it is gone.
            StoredStatusError: the ConfigMap is not a revision.
        """
        return _read_revision(await self._read_config_map(ObjectKey(namespace, revision)))

    async def _read_config_map(self, key: ObjectKey) -> dict[str, Any]:
        reply = await self._client.request("GET", CONFIGMAPS.path(key.namespace, key.name))
        config_map: dict[str, Any] = msgspec.json.decode(reply.body)
        return config_map


def _key_of(revision: dict[str, Any]) -> ObjectKey:
    return ObjectKey(revision["metadata"]["namespace"], revision["metadata"]["name"])


def _read_revision(config_map: dict[str, Any]) -> StoredRevision:
    labels = config_map["metadata"].get("labels") or {}
    return StoredRevision(read_spec(config_map), owner_of(config_map), labels.get(names.LABEL_FLOW))
