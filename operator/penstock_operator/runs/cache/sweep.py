"""Removes entries of the cache that will not be used: outputs that are too old, and locks of runs that do not run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from penstock.api import names
from penstock.engine.keys import RunUid
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError
from penstock.kube.resources import CONFIGMAPS
from penstock_operator.metrics import Metrics
from penstock_operator.runs.cache.entry import Lock, Outputs, StoredEntry, read_entry
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runtime.rate_limiter import RateLimiter

logger = logging.getLogger(__name__)

SWEEP_S: Final = 600.0
"""Between two sweeps."""
PER_S: Final = 20.0
"""Entries removed a second, at most."""
PAGE_ITEMS: Final = 50
"""An entry has up to some 5 KB."""
SELECTOR: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_CACHE}"


class CacheSweep:
    """Reads the whole cache now and then.

    Args:
        client: for the list.
        store: the entries.
        namespaces: those to sweep; a single empty one for all.
        is_live: whether a run is carried out by this process.
        metrics: where removals are counted.
        fail: receives an error after which this process must not continue.
        clock: seconds since the epoch.
        pace: of removals.
    """

    def __init__(
        self,
        client: ApiClient,
        store: CacheStore,
        *,
        namespaces: Sequence[str],
        is_live: Callable[[RunUid], bool],
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
        pace: RateLimiter | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._namespaces = namespaces
        self._is_live = is_live
        self._removals = metrics.removals.labels("cache entry")
        self._errors = metrics.internal_errors.labels("cache entry")
        self._fail = fail
        self._clock = clock
        self._pace = pace or RateLimiter(PER_S)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except NotLeaderError as error:
                self._fail(error)
            except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
                logger.warning("Failed to sweep the cache; trying again later: %s", error)
            except Exception:
                # The sweep belongs to all namespaces: an error of one list must not end it, or the operator with it.
                self._errors.inc()
                logger.exception("Internal error while sweeping the cache; trying again later")

    async def sweep(self) -> None:
        """Read every entry once, and remove what will not be used.

        Raises:
            ApiError: the API server refused the list.
            ApiUnreachableError: it did not answer.
        """
        for namespace in self._namespaces:
            await self._sweep_namespace(namespace)

    async def _sweep_namespace(self, namespace: str) -> None:
        entries = self._client.list(
            CONFIGMAPS, kind=StoredEntry, namespace=namespace, label_selector=SELECTOR, page_items=PAGE_ITEMS
        )
        async for entry in entries:
            try:
                await self._sweep_entry(entry)
            except (ApiUnreachableError, NotLeaderError):
                raise
            except ApiError as error:
                logger.warning("Failed to remove cache entry %s: %s", entry.metadata.key, error)
            except Exception:
                self._errors.inc()
                logger.exception("Internal error while sweeping cache entry %s", entry.metadata.key)

    async def _sweep_entry(self, entry: StoredEntry) -> None:
        if await self._is_needed(entry):
            return
        await self._pace.step()
        # Conditional: an entry that has changed meanwhile stays.
        if await self._store.delete_entry(entry.metadata.key, entry.metadata):
            self._removals.inc()

    async def _is_needed(self, entry: StoredEntry) -> bool:
        content = read_entry(entry, self._clock())
        if isinstance(content, Outputs):
            return content.is_fresh(self._clock())
        if isinstance(content, Lock):
            holder = content.holder
            return self._is_live(RunUid(entry.metadata.namespace, holder.uid)) or await self._store.is_holder_running(
                entry.metadata.namespace, holder
            )
        return False
