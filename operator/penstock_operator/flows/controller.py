"""Flows: each is validated and stored as a revision, and its condition `Ready` says whether runs can start from it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow import Retention
from penstock.engine.compiler.inheritance import all_tasks, inherit
from penstock.engine.keys import ObjectKey, RunIdentity
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import parse_flow
from penstock.errors import InvalidSpecError, RevisionConflictError
from penstock.kube.client import METADATA_LIST, ApiClient
from penstock.kube.conditions import Condition, find_condition, ready_condition
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_namespace_terminating, is_not_found
from penstock.kube.kinds.flow import Flow, FlowStatus
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.reflector import EventType
from penstock.kube.resources import CONFIGMAPS
from penstock_operator.flow_defaults.in_force import DefaultsInForce
from penstock_operator.flow_metrics import FlowMetrics
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.revision import Owner, build_revision
from penstock_operator.flows.sample_pods import SamplePod
from penstock_operator.flows.store import FlowStore
from penstock_operator.flows.successes import OVERDUE, Successes
from penstock_operator.runtime.controller import KeyedController

logger = logging.getLogger(__name__)

DRY_RUN_AGAIN_S: Final = 300.0
"""A Flow whose Pods the API server refuses is checked again: a policy or a service account may have changed."""
REVISIONS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_FLOW_UID}"
"""Label selector of revisions of Flows and of inline specs."""
SWEEP_S: Final = 600.0
"""Between two sweeps of unused revisions."""
MESSAGE_CHARACTERS: Final = 8192
SUCCESS_WORKERS: Final = 4
"""Flows whose last success is stored concurrently."""
CONFLICT_AGAIN_S: Final = 60.0
"""A Flow whose revision cannot be stored is checked again: the ConfigMap in the way may be gone."""
VALID: Final = "Valid"
INVALID: Final = "Invalid"
REVISION_CONFLICT: Final = "RevisionConflict"
POD_REFUSED: Final = "PodRefused"


class _DryRunResult(NamedTuple):
    """What the API server said about a Flow's Pods."""

    revision: str
    refusals: list[str]
    valid_until: float
    """Monotonic seconds."""


class _CompiledFlow(NamedTuple):
    """What is left of a Flow once it has been compiled: its plan may be large, and others wait for their turn."""

    revision: dict[str, Any]
    """Its ConfigMap."""
    name: str
    tasks: int
    samples: list[SamplePod] | None
    """What the API server is to be asked about; None for nothing."""


class FlowController(KeyedController[Flow]):
    """Reconciles Flows.

    Args:
        client: for reads.
        store: compiles Flows and stores their revisions.
        dry_run: asks the API server about their Pods.
        namespaces: those to sweep; a single empty one for all.
        on_ready: called with every Flow that was reconciled.
        on_retention: called with every Flow, deleted ones too, and how long its runs are kept.
        revisions_in_use: the revisions that unfinished runs need, by namespace and name.
        flow_metrics: the series of each Flow.
        options: those of `KeyedController`.
    """

    ignores_own_writes = True

    def __init__(
        self,
        client: ApiClient,
        *,
        store: FlowStore,
        dry_run: DryRun,
        namespaces: Sequence[str],
        on_ready: Callable[[ObjectKey], None],
        on_retention: Callable[[ObjectKey, Retention | None], None],
        revisions_in_use: Callable[[], set[tuple[str, str]]],
        flow_metrics: FlowMetrics,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._client = client
        self._store = store
        self._dry_run = dry_run
        self._namespaces = namespaces
        self._on_ready = on_ready
        self._on_retention = on_retention
        self._revisions_in_use = revisions_in_use
        self._successes = Successes(flow_metrics)
        self._current: dict[ObjectKey, str] = {}
        self._flows: dict[ObjectKey, ObjectKey] = {}
        """Which Flow's current revision it is."""
        self._defaults: dict[ObjectKey, str] = {}
        """The fingerprint of the defaults that each Flow was revised with."""
        self._outdated: set[ObjectKey] = set()
        """Flows that are to be revised because other defaults are in force."""
        self._dry_runs: dict[ObjectKey, _DryRunResult] = {}
        self._unused: set[tuple[str, str]] = set()

    def forget_object(self, key: ObjectKey) -> None:
        """Drop what is kept of a deleted Flow; its revisions are swept when no run needs them."""
        self._set_current(key, None)
        self._dry_runs.pop(key, None)
        self._defaults.pop(key, None)
        self._outdated.discard(key)
        self._on_retention(key, None)
        self._successes.forget_flow(key)

    def on_own_write(self, key: ObjectKey, before: Flow, item: Flow) -> None:
        """Hold no spec that was not held before: its revision has it."""
        self.objects[key] = msgspec.structs.replace(item, spec=before.spec)

    def on_success(self, key: ObjectKey, at: float) -> None:
        """Handle that a run of a Flow has completed, at a time in seconds since the epoch."""
        self._successes.record_success(key, at)
        item = self.latest(key)
        overdue = None if item is None else find_condition(item.status.conditions, OVERDUE)
        if overdue is not None and overdue.status == "True":
            self.queue.add(key)

    async def work(self) -> None:
        """Reconcile Flows forever, and store when they last succeeded."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().work())
            tasks.create_task(self.run_workers(self._successes.to_store, self._store_success, workers=SUCCESS_WORKERS))

    async def _store_success(self, key: ObjectKey) -> None:
        at, item = self._successes.take_success(key), self.latest(key)
        if at is not None and item is not None:
            await self.store_status(key, item, {"lastSuccessTime": rfc3339(at)})

    def on_defaults(self, namespace: str, fingerprint: str) -> None:
        """Have the Flows of a namespace revised that inherit something else now."""
        for key, known in self._defaults.items():
            if key.namespace == namespace and known != fingerprint:
                self._outdated.add(key)
                self.queue.add(key)

    def on_revision(self, event: EventType, item: PartialObject) -> None:
        """Handle a change of a revision: a Flow's current one is stored again if it is deleted."""
        self._store.on_revision(event, item.metadata.key)
        flow = self._flows.get(item.metadata.key)
        if event is EventType.DELETED and flow is not None:
            self.queue.add(flow)

    def _set_current(self, key: ObjectKey, revision: str | None) -> None:
        before = self._current.pop(key, None)
        if before is not None:
            self._flows.pop(ObjectKey(key.namespace, before), None)
        if revision is not None:
            self._current[key] = revision
            self._flows[ObjectKey(key.namespace, revision)] = key

    async def reconcile(self, key: ObjectKey, item: Flow) -> None:
        """Validate a Flow, store its revision, and whether it is overdue."""
        if item.spec:
            self._successes.add_flow(key, item)
            await self._validate(key, item)
        else:
            await self._validate_again(key)
            await self._store_overdue(key)
        overdue_at = self._successes.overdue_at(key)
        if overdue_at is not None and (left_s := overdue_at - self.clock()) > 0:
            self.queue.add_at(key, time.monotonic() + left_s)

    async def _validate_again(self, key: ObjectKey) -> None:
        """Validate a Flow whose spec has not changed, if its revision is gone or other defaults are in force."""
        # It was found valid, and has not changed since.
        revision = self._current.get(key)
        is_missing = revision is not None and not self._store.is_stored(ObjectKey(key.namespace, revision))
        if is_missing or key in self._outdated:
            self._outdated.discard(key)
            try:
                found = await self._store.read_flow(key)
                if found is not None:
                    await self._validate(key, found)
            except BaseException:
                self._outdated.add(key)
                raise

    async def _validate(self, key: ObjectKey, item: Flow) -> None:
        metadata, stored = item.metadata, item.status
        status: dict[str, Any] = {"observedGeneration": metadata.generation}
        defaults = await self._store.defaults.current(key.namespace)
        if not self._exists(key, metadata):
            return
        self._defaults[key] = defaults.fingerprint
        self._on_retention(key, defaults.retention_of(item.spec))
        try:
            # What waits for the API server, or for a webhook of its namespace, is outside: other Flows have their turn.
            async with self._store.large_specs.turn(key.namespace, item.spec):
                compiled = await self._compile(key, item, defaults)
            await self._store.store_revision(compiled.revision)
            if not self._exists(key, metadata):
                return
            status |= {"revision": compiled.name, "tasks": compiled.tasks}
            self._set_current(key, compiled.name)
            refusals = await self._find_refusals(key, metadata, compiled)
        except InvalidSpecError as error:
            is_ready, (reason, message) = False, self._report_invalid(key, item, error)
        except ApiError as error:
            if is_namespace_terminating(error) or is_not_found(error):
                # The Flow is deleted with its namespace.
                return
            raise
        else:
            is_ready, reason, message = True, VALID, "; ".join(filter(None, ("runs can start", defaults.note)))
            if refusals:
                is_ready, reason, message = False, POD_REFUSED, "; ".join(refusals)[:MESSAGE_CHARACTERS]
                if not _was_refused(stored, metadata.generation):
                    self.record_event(item, is_warning=True, reason=POD_REFUSED, note=message)
        ready = ready_condition(
            stored.conditions,
            is_ready=is_ready,
            reason=reason,
            message=message,
            generation=metadata.generation,
            now=self.clock(),
        )
        overdue = self._overdue(key, item)
        status["conditions"] = [ready] if overdue is None else [ready, overdue]
        await self.store_status(key, item, status)
        latest = self.objects.get(key)
        if is_ready and latest is not None and latest.spec is item.spec:
            # Its revision holds the spec: here it would take several times the memory that it has as text.
            self.objects[key] = msgspec.structs.replace(latest, spec={})
        # Of an invalid Flow as well: runs that wait for it then say what is wrong with it.
        self._on_ready(key)

    async def _store_overdue(self, key: ObjectKey) -> None:
        item = self.latest(key)
        if item is None or item.status.ready is None:
            return
        overdue = self._overdue(key, item)
        if overdue is not None and overdue not in item.status.conditions:
            await self.store_status(key, item, {"conditions": [item.status.ready, overdue]})

    def _overdue(self, key: ObjectKey, item: Flow) -> Condition | None:
        """Return whether a Flow is overdue, and record an Event when it comes to be, or is not any more."""
        before = find_condition(item.status.conditions, OVERDUE)
        overdue = self._successes.overdue_condition(
            key, item.status.conditions, generation=item.metadata.generation, now=self.clock()
        )
        was, is_now = (one is not None and one.status == "True" for one in (before, overdue))
        if is_now and overdue is not None and not was:
            self.record_event(item, is_warning=True, reason=OVERDUE, note=overdue.message)
        elif was and overdue is not None and not is_now:
            self.record_event(item, is_warning=False, reason="Recovered", note="a run has succeeded again")
        return overdue

    def _exists(self, key: ObjectKey, metadata: ObjectMeta) -> bool:
        """Whether a Flow was not deleted while something was awaited: what is kept of it would not be dropped then."""
        latest = self.objects.get(key)
        return latest is not None and latest.metadata.uid == metadata.uid

    async def _compile(self, key: ObjectKey, item: Flow, defaults: DefaultsInForce) -> _CompiledFlow:
        """Compile a Flow, unless it is known to be valid."""
        metadata, stored = item.metadata, item.status
        spec = inherit(parse_flow({"spec": item.spec}), defaults.inherited)
        owner = Owner(key.namespace, key.name, metadata.uid)
        revision = build_revision(owner, spec, is_owned_by_run=False)
        name = revision["metadata"]["name"]
        samples = None
        # One that is known to be valid is not compiled before a run needs it: thousands of Flows may be read at the
        # start, and the plan of a large one takes tens of megabytes.
        if not (_was_valid(stored, metadata.generation) and stored.revision == name):
            plan = await self._store.compile(owner, spec)
            asked = self._dry_runs.get(key)
            if asked is None or asked.revision != name or time.monotonic() >= asked.valid_until:
                samples = await self._dry_run.make_samples(plan, RunIdentity(*owner), revision=name)
        return _CompiledFlow(revision, name, len(all_tasks(spec)), samples)

    def _report_invalid(self, key: ObjectKey, item: Flow, error: InvalidSpecError) -> tuple[str, str]:
        """Record that a Flow cannot be used; returns reason and message of its condition."""
        message = "; ".join(str(problem) for problem in error.problems)[:MESSAGE_CHARACTERS]
        is_conflict = isinstance(error, RevisionConflictError)
        reason = REVISION_CONFLICT if is_conflict else INVALID
        if item.status.observed_generation != item.metadata.generation or not _was_reported(item.status, reason):
            self.record_event(item, is_warning=True, reason=reason, note=message)
        if is_conflict:
            self.queue.add_at(key, time.monotonic() + CONFLICT_AGAIN_S)
        return reason, message

    async def _find_refusals(self, key: ObjectKey, metadata: ObjectMeta, compiled: _CompiledFlow) -> list[str]:
        """Return why the API server refuses a Flow's Pods."""
        if compiled.samples is not None:
            flow = RunIdentity(key.namespace, key.name, metadata.uid)
            refusals = await self._dry_run.find_refusals(compiled.samples, flow)
            if not self._exists(key, metadata):
                return []
            self._dry_runs[key] = _DryRunResult(compiled.name, refusals, time.monotonic() + DRY_RUN_AGAIN_S)
        result = self._dry_runs.get(key)
        if result is None or result.revision != compiled.name:
            return []
        if result.refusals:
            self.queue.add_at(key, result.valid_until)
        return result.refusals

    async def sweep(self) -> None:
        """Delete revisions that are not a Flow's current one and that no unfinished run names, forever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._sweep_once()
            except (ApiError, ApiUnreachableError) as error:
                logger.warning("Failed to delete unused revisions of Flows; trying again later: %s", error)
            except NotLeaderError:
                raise
            except Exception:
                self.metrics.internal_errors.labels("Flow").inc()
                logger.exception("Internal error while deleting unused revisions of Flows; trying again later")

    async def _sweep_once(self) -> None:
        # Runs of a backup have no other copy of their revisions.
        others = f"!{names.LABEL_RUN},!{names.LABEL_RESTORED}"
        selector = f"{REVISIONS},{others}"
        revisions: dict[tuple[str, str], str] = {}
        for namespace in self._namespaces:
            listed = self._client.list(
                CONFIGMAPS, kind=PartialObject, namespace=namespace, label_selector=selector, accept=METADATA_LIST
            )
            revisions |= {(item.metadata.namespace, item.metadata.name): item.metadata.uid async for item in listed}
        current = {(key.namespace, name) for key, name in self._current.items()}
        unused = set(revisions) - current - self._revisions_in_use()
        # Twice unused, because a run may be about to name one that has just been superseded.
        for namespace, name in unused & self._unused:
            self._store.on_revision(EventType.DELETED, ObjectKey(namespace, name))
            try:
                await self.writer.delete(CONFIGMAPS, namespace, name, revisions[namespace, name])
            except ApiError as error:
                if not is_not_found(error):
                    logger.warning("Failed to delete the unused revision %s/%s: %s", namespace, name, error)
        self._unused = unused - self._unused


def _was_reported(stored: FlowStatus, reason: str) -> bool:
    return stored.ready is not None and stored.ready.reason == reason


def _was_valid(stored: FlowStatus, generation: int) -> bool:
    """Whether a Flow was found valid before, and the API server accepted its Pods."""
    ready = stored.ready
    return ready is not None and ready.reason == VALID and ready.observed_generation == generation


def _was_refused(stored: FlowStatus, generation: int) -> bool:
    ready = stored.ready
    return ready is not None and ready.reason == POD_REFUSED and ready.observed_generation == generation
