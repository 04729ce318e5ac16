"""How kopf is configured: it watches and hands over, and writes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import kopf

from penstock.api import names
from penstock.kube.backoff import UNANSWERED_CAP_S
from penstock.kube.page import LARGE_PAGE_ITEMS

IDLE_S: Final = 0.3
"""kopf keeps the last event of an object so long: with its default, a first list of 10,000 objects costs four times the
memory."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores no copy of a spec and builds none: no handler asks for differences."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's signature
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class _EndlessBackoff(Collection[float]):
    """Pauses between the retries of a request, without an end: with kopf's own the operator exits after a minute.

    Short ones: kopf opens few watches, and does not distinguish an API server that is away from one that refuses.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((UNANSWERED_CAP_S / 2,), itertools.repeat(UNANSWERED_CAP_S))

    def __len__(self) -> int:
        return 1_000_000

    def __contains__(self, pause: object) -> bool:
        return isinstance(pause, float)


def configure(settings: kopf.OperatorSettings) -> None:
    """Change what differs from kopf's defaults."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.finalizer = f"{names.GROUP}/kopf"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = kopf.StatusProgressStorage(name="penstock")
    settings.watching.chunk_size = LARGE_PAGE_ITEMS
    settings.queueing.idle_timeout = IDLE_S
    settings.networking.error_backoffs = _EndlessBackoff()
