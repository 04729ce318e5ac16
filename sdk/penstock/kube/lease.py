"""Which of several replicas leads, and writes: the holder of a `coordination.k8s.io` Lease.

Rules, as in Kubernetes' own components (https://kubernetes.io/docs/concepts/architecture/leases/):

- Every change of the Lease carries the resourceVersion that it was read at, so of two attempts at the same time
  one fails.
- A holder renews every `retry_period_s` and may write for `renew_deadline_s` after it *sent* its last successful
  renewal.
- Others acquire the Lease once they have seen no renewal for `lease_duration_s` by their own clock. Clocks are
  never compared between machines: the times in the Lease are for people.

Our own addition is the epoch, `spec.leaseTransitions`: it grows with every acquisition, also when the same identity
returns. The holder writes it into the statuses that it stores, so that what a deposed holder still sends is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from penstock.errors import OptionError
from penstock.kube.backoff import Backoff
from penstock.kube.client import ApiClient
from penstock.kube.errors import (
    ApiError,
    ApiUnreachableError,
    is_already_exists,
    is_conflict,
    is_not_found,
)
from penstock.kube.resources import LEASES

logger = logging.getLogger(__name__)

FIRST_EPOCH_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""A new Lease's epoch is the seconds since then: even if the Lease is deleted, the epoch never decreases."""
ABSENT_PERIODS: Final = 1.5
"""A Lease that does not exist may have been deleted a moment ago. Its holder, of whom a new replica knows nothing,
misses it at its next renewal; until then both would write. So the Lease is created when it was absent for so many retry
periods."""
CONFIRM_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How fast leadership changes hands.

    Raises:
        OptionError: the times do not leave a holder room to renew before others acquire the Lease.
    """

    lease_duration_s: float = 15.0
    """Without a renewal for so long, others acquire the Lease."""
    renew_deadline_s: float = 10.0
    """Without a renewal for so long, the holder stops writing."""
    retry_period_s: float = 2.0
    """How often a holder renews the Lease; the others read it twice as often."""

    def __post_init__(self) -> None:
        """Check that the times fit together."""
        if not self.lease_duration_s > self.renew_deadline_s > self.retry_period_s > 0:
            raise OptionError(
                f"--lease-duration ({self.lease_duration_s:g}s) must be greater than --lease-renew-deadline "
                f"({self.renew_deadline_s:g}s), and that greater than --lease-retry-period ({self.retry_period_s:g}s)"
            )
        if self.lease_duration_s < 1:
            raise OptionError(f"--lease-duration ({self.lease_duration_s:g}s) must be at least 1s")


class _Record(NamedTuple):
    """The fields of a Lease that distinguish holders and renewals."""

    uid: str
    holder: str
    epoch: int
    renew_time: str


class LeaderElection:
    """Takes part in the election for one Lease.

    Args:
        client: the way to the API server.
        namespace: of the Lease.
        name: of the Lease.
        identity: of this process, for people; unique among those that run at the same time.
        times: how fast leadership changes hands.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.epoch = 0
        """Number of this acquisition; greater than that of any holder before."""
        self.lost = asyncio.Event()
        """Set when leadership ended, for whatever reason; this object never leads again."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times or LeaseTimes()
        self._clock = clock
        self._sleep = sleep
        self._deadline = float("-inf")
        self._sent = 0
        """Number of the last renewal that was sent."""
        self._answered = 0
        """Number of the last one that the API server has accepted."""
        self._lease: dict[str, Any] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._renewal = asyncio.Lock()

    def is_leading(self) -> bool:
        """Return whether this process may write at this moment: a holder that cannot renew the Lease stops in time."""
        return not self.lost.is_set() and self._clock() < self._deadline

    async def acquire(self) -> int:
        """Wait until this process leads, and renew the Lease in the background until `release` or `lost`.

        Returns:
            The epoch.
        """
        seen: _Record | None = None
        seen_at: float | None = None
        read_every_s = self._times.retry_period_s / 2
        backoff = Backoff(cap_s=read_every_s)
        while True:
            pause_s = read_every_s * (0.8 + 0.4 * random.random())  # noqa: S311 - spreads load
            try:
                looked_at = self._clock()
                lease = await self._read_lease()
                record = _record(lease) if lease is not None else None
                if seen_at is None or (record is not None and record != seen):
                    seen, seen_at = record, looked_at
                if self._is_free(record, seen, seen_at) and await self._try_acquire(lease, seen):
                    break
                backoff.reset()
            except ApiError as error:
                pause_s = backoff.next_s(error.retry_after_s)
                self._log_failure(error)
            except ApiUnreachableError as error:
                pause_s = backoff.next_unanswered_s()
                self._log_failure(error)
            await self._sleep(pause_s)
        logger.info(
            "%s is now the leader (Lease %s/%s, epoch %d)", self._identity, self._namespace, self._name, self.epoch
        )
        self._renewing = asyncio.create_task(self._renew_until_lost(), name="lease")
        return self.epoch

    async def confirm(self) -> bool:
        """Ask the Lease now, whatever is left of the deadline, by a renewal that is sent after this call.

        Returns:
            Whether it names this process; then no other has led since `acquire`. If not, `lost` is set.
        """
        asked_after = self._sent
        while self.is_leading():
            async with self._renewal:
                # One renewal answers all who asked before it was sent.
                if self._answered > asked_after:
                    return True
                if not self.is_leading() or not await self._renew_once():
                    break
                if self._answered > asked_after:
                    return True
            # No answer, or a person has changed the Lease.
            await self._sleep(CONFIRM_AGAIN_S)
        self._stop_leading()
        return False

    async def release(self) -> None:
        """Stop leading, so that another can lead immediately. Every write of this process must have ended before."""
        was_leading = self.is_leading()
        self._stop_leading()
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
        if not was_leading:
            return
        try:
            # A renewal that was cancelled half way may have reached the API server: then the first try is refused.
            if not await self._clear_holder() and await self._still_holds_lease():
                await self._clear_holder()
        except (ApiError, ApiUnreachableError) as error:
            logger.warning("Failed to release Lease %s/%s; it will expire: %s", self._namespace, self._name, error)

    async def _clear_holder(self) -> bool:
        lease = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": "", "renewTime": _now()}}
        try:
            await self._put_lease(lease, timeout_s=self._times.retry_period_s)
        except ApiError as error:
            if is_conflict(error):
                return False
            raise
        return True

    def _log_failure(self, error: ApiError | ApiUnreachableError) -> None:
        logger.warning("Failed to acquire Lease %s/%s; trying again: %s", self._namespace, self._name, error)

    def _is_free(self, record: _Record | None, seen: _Record | None, seen_at: float) -> bool:
        if record is not None and record.holder in ("", self._identity):
            # This replica before a restart: that process is gone, and its epoch ends with this acquisition.
            return True
        # The holder of a Lease that was deleted may write until its deadline.
        absent_s = ABSENT_PERIODS * self._times.retry_period_s
        return self._clock() - seen_at >= (absent_s if seen is None else self._times.lease_duration_s)

    async def _try_acquire(self, lease: dict[str, Any] | None, seen: _Record | None) -> bool:
        now = _now()
        first = int((datetime.now(UTC) - FIRST_EPOCH_FROM).total_seconds())
        epoch = max(first, seen.epoch + 1 if seen else 0) if lease is None else _record(lease).epoch + 1
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._times.lease_duration_s),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": epoch,
        }
        sent_at = self._clock()
        try:
            if lease is None:
                await self._create_lease(spec)
            else:
                await self._put_lease(
                    {**lease, "spec": {**lease.get("spec", {}), **spec}}, self._times.renew_deadline_s
                )
        except ApiError as error:
            if is_conflict(error) or is_already_exists(error):
                return False
            raise
        self.epoch = epoch
        self._deadline = sent_at + self._times.renew_deadline_s
        return True

    async def _renew_until_lost(self) -> None:
        try:
            while self.is_leading():
                await self._sleep(min(self._times.retry_period_s, max(0.0, self._deadline - self._clock())))
                async with self._renewal:
                    is_held = not self.is_leading() or await self._renew_once()
                if not is_held:
                    logger.error("Lease %s/%s was acquired by another replica or deleted", self._namespace, self._name)
                    break
            else:
                logger.error("Failed to renew Lease %s/%s in time", self._namespace, self._name)
        except Exception:
            logger.exception("Unexpected error while renewing Lease %s/%s", self._namespace, self._name)
        self._stop_leading()

    async def _renew_once(self) -> bool:
        """Try to renew once; returns False if another replica holds the Lease or it is gone."""
        sent_at = self._clock()
        self._sent += 1
        number = self._sent
        left_s = max(0.1, self._deadline - sent_at)
        lease = {**self._lease, "spec": {**self._lease["spec"], "renewTime": _now()}}
        try:
            await self._put_lease(lease, timeout_s=min(left_s, self._times.renew_deadline_s / 2))
        except (ApiError, ApiUnreachableError) as error:
            if isinstance(error, ApiError) and (is_not_found(error) or is_conflict(error)):
                return await self._still_holds_lease()
            logger.warning("Failed to renew Lease %s/%s; trying again: %s", self._namespace, self._name, error)
            return True
        self._answered = number
        self._deadline = sent_at + self._times.renew_deadline_s
        return True

    async def _still_holds_lease(self) -> bool:
        """Find out what changed the Lease: a person, our own renewal whose answer got lost, or a new holder."""
        try:
            lease = await self._read_lease()
        except (ApiError, ApiUnreachableError) as error:
            logger.warning("Failed to read Lease %s/%s; trying again: %s", self._namespace, self._name, error)
            return True
        if lease is None:
            return False
        record, ours = _record(lease), _record(self._lease)
        if (record.uid, record.holder, record.epoch) != (ours.uid, ours.holder, ours.epoch):
            return False
        self._lease = lease
        return True

    def _stop_leading(self) -> None:
        self._deadline = float("-inf")
        self.lost.set()

    async def _read_lease(self) -> dict[str, Any] | None:
        return await self._client.get(
            LEASES,
            self._namespace,
            self._name,
            kind=dict[str, Any],
            timeout_s=self._times.renew_deadline_s / 2,
            urgent=True,
        )

    async def _create_lease(self, spec: dict[str, Any]) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        response = await self._client.request(
            "POST",
            LEASES.path(self._namespace),
            body=msgspec.json.encode(lease),
            timeout_s=self._times.renew_deadline_s / 2,
            urgent=True,
        )
        self._lease = msgspec.json.decode(response.body)

    async def _put_lease(self, lease: dict[str, Any], timeout_s: float) -> None:
        response = await self._client.request(
            "PUT",
            LEASES.path(self._namespace, self._name),
            body=msgspec.json.encode(lease),
            timeout_s=timeout_s,
            urgent=True,
        )
        self._lease = msgspec.json.decode(response.body)


def _record(lease: dict[str, Any]) -> _Record:
    spec = lease.get("spec") or {}
    return _Record(
        lease["metadata"]["uid"],
        spec.get("holderIdentity") or "",
        spec.get("leaseTransitions") or 0,
        spec.get("renewTime") or "",
    )


def _now() -> str:
    # metav1.MicroTime has exactly six decimals.
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
