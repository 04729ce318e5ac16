"""The Pods of attempts as writes: created or adopted, stopped, looked for, and let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.effects import CreateAttempt, StopAttempt, VerifyAttempt
from penstock.engine.facts import AttemptGone, CreateHeld, CreateRefused, Fact
from penstock.engine.identity import pod_name
from penstock.errors import PenstockError
from penstock_operator.client import METADATA, ApiClient
from penstock_operator.errors import (
    ApiError,
    ApiUnreachableError,
    is_already_exists,
    is_conflict,
    is_namespace_terminating,
    is_not_found,
    is_quota,
)
from penstock_operator.gate import QuotaGates
from penstock_operator.keptpods import retention_annotations
from penstock_operator.liverun import LiveRun
from penstock_operator.observation import Pod, observe_pod, run_uid
from penstock_operator.pod import PodSettings, build_pod
from penstock_operator.resource import PODS
from penstock_operator.writer import Writer

logger = logging.getLogger(__name__)

STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
READ_AGAIN_S: Final = 5.0

_POD: Final = msgspec.json.Decoder(Pod)


class Lanes(NamedTuple):
    """Ways to the API server that don't hold each other up."""

    work: Writer
    """Creates and stops Pods."""
    status: Writer
    """Stores statuses."""
    release: Writer
    """Lets Pods go: the least urgent write."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears what became of a write.

    Attributes:
        is_live: whether a run is still the one of its name that is carried out.
        tell: takes a fact about a run.
        hear: takes a Pod of a run.
        stray: takes a Pod whose run went while the Pod came.
        doubt: told that a run, or its namespace, may be gone.
    """

    is_live: Callable[[LiveRun], bool]
    tell: Callable[[LiveRun, Fact], None]
    hear: Callable[[LiveRun, Pod], None]
    stray: Callable[[Pod], None]
    doubt: Callable[[LiveRun], None]


class QuotaFullError(PenstockError):
    """A ResourceQuota refused a Pod."""


class AttemptPods:
    """Carries out what the machine asks for.

    Args:
        client: for reads.
        lanes: for writes.
        settings: what the installer decided about Pods.
        listener: who hears of it.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        lanes: Lanes,
        *,
        settings: PodSettings,
        listener: Listener,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._lanes = lanes
        self._settings = settings
        self._listener = listener
        self._clock = clock
        self._gates = QuotaGates()

    def notice_room(self, namespace: str) -> None:
        """Learn that a Pod of ours in a namespace has ended: a quota may have room."""
        self._gates.notice_room(namespace)

    async def create(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the Pod of an attempt, adopt the one that is there, or learn why it can't be had."""
        if self._gates.is_closed(run.key.namespace):
            self._hold(run, create, "the namespace's quota is full")
            return
        try:
            await self._try_create(run, create)
        except QuotaFullError as full:
            self._hold(run, create, str(full))

    def _hold(self, run: LiveRun, create: CreateAttempt, message: str) -> None:
        self._listener.tell(run, CreateHeld(create.key, create.attempt, message))

        async def attempt() -> bool:
            try:
                await self._try_create(run, create)
            except QuotaFullError:
                return False
            return True

        self._gates.wait(run.key.namespace, attempt)

    async def _try_create(self, run: LiveRun, create: CreateAttempt) -> None:
        machine = run.machine
        if not self._listener.is_live(run) or machine is None or run.is_terminating:
            return
        task = machine.plan.tasks[machine.plan.positions[create.key.task]]
        pod = build_pod(create, task, run.identity, flow=run.flow, revision=run.revision, settings=self._settings)
        pod["metadata"]["annotations"] |= retention_annotations(machine.plan.pod_retention)
        try:
            reply = await self._lanes.work.create(PODS, run.key.namespace, msgspec.json.encode(pod), accept=METADATA)
        except ApiError as error:
            await self._on_refused(run, create, error)
        else:
            self._hear_reply(run, _POD.decode(reply.body))

    async def _on_refused(self, run: LiveRun, create: CreateAttempt, error: ApiError) -> None:
        if is_already_exists(error):
            await self._adopt(run, create)
        elif is_quota(error):
            raise QuotaFullError(error.message)
        elif is_namespace_terminating(error):
            run.is_terminating = True
        elif is_not_found(error):
            run.is_terminating = True
            self._listener.doubt(run)
        else:
            self._listener.tell(run, CreateRefused(create.key, create.attempt, error.message or str(error)))

    async def _adopt(self, run: LiveRun, create: CreateAttempt) -> None:
        name = pod_name(run.key.name, run.uid, create.key, create.attempt)
        pod = await self.read(run.key.namespace, name)
        if pod is None:
            # It went in between: the machine asks again.
            self._listener.tell(run, AttemptGone(create.key, create.attempt))
            return
        seen = observe_pod(pod, now=self._clock())
        if seen is None or run_uid(pod) != run.uid or (seen.key, seen.attempt) != (create.key, create.attempt):
            message = f"a Pod named {name} exists that is not of this run"
            self._listener.tell(run, CreateRefused(create.key, create.attempt, message))
            return
        self._hear_reply(run, pod)

    def _hear_reply(self, run: LiveRun, pod: Pod) -> None:
        if self._listener.is_live(run):
            self._listener.hear(run, pod)
        else:
            self._listener.stray(pod)

    async def stop(self, run: LiveRun, stop: StopAttempt) -> None:
        """Delete the Pod of an attempt."""
        try:
            await self._lanes.work.delete(PODS, run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                await self.verify(run, VerifyAttempt(stop.key, stop.attempt))
            else:
                logger.warning("%s: the Pod %s could not be stopped: %s", run.key, stop.pod, error)

    async def discard(self, namespace: str, pod: str, uid: str) -> None:
        """Delete a Pod of a run that has nothing to stop it."""
        try:
            await self._lanes.work.delete(PODS, namespace, pod, uid)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("The Pod %s/%s could not be stopped: %s", namespace, pod, error)

    async def release(self, namespace: str, pod: str, uid: str) -> None:
        """Take the finalizer off a Pod; one that is gone, or is another of its name, is left alone."""
        patch = {"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
        try:
            await self._lanes.release.patch(
                PODS, namespace, pod, msgspec.json.encode(patch), content_type=STRATEGIC_MERGE_PATCH
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("The Pod %s/%s could not be let go: %s", namespace, pod, error)

    async def verify(self, run: LiveRun, verify: VerifyAttempt) -> None:
        """Find out whether the Pod of an attempt still exists."""
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        pod = await self.read(run.key.namespace, name)
        if pod is not None and run_uid(pod) == run.uid:
            self._listener.hear(run, pod)
        else:
            self._listener.tell(run, AttemptGone(verify.key, verify.attempt))

    async def read(self, namespace: str, name: str) -> Pod | None:
        """Read a Pod, however long that takes; None if there is none."""
        while True:
            try:
                reply = await self._client.request("GET", PODS.path(namespace, name))
                return _POD.decode(reply.body)
            except ApiError as error:
                if is_not_found(error):
                    return None
                logger.info("The Pod %s/%s can't be read: %s", namespace, name, error)
            except ApiUnreachableError as error:
                logger.info("The Pod %s/%s can't be read: %s", namespace, name, error)
            await asyncio.sleep(READ_AGAIN_S)
