"""The runs of a Flow that have ended: found by a list, for what ended while nobody listened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from penstock.api import names
from penstock.api.event import FlowRunEvent
from penstock.engine.timestamp import epoch
from penstock.engine.triggers.trigger import covered_states
from penstock.engine.triggers.watermark import Watermark
from penstock.kube.client import ApiClient
from penstock.kube.metadata import ObjectMeta
from penstock.kube.resources import FLOWRUNS

PAGE_RUNS: Final = 500


class _RunStatus(msgspec.Struct, frozen=True, rename="camel"):
    completion_time: str | None = None


class _Run(msgspec.Struct):
    metadata: ObjectMeta
    status: _RunStatus = _RunStatus()


class _ListMeta(msgspec.Struct):
    continue_token: str = msgspec.field(default="", name="continue")


class _RunPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Run] | None = None


async def ended_runs(
    client: ApiClient, namespace: str, wanted: FlowRunEvent, seen: Watermark
) -> list[tuple[ObjectMeta, float]]:
    """Find the runs that have ended and are not done with, and when each did.

    Args:
        client: the way to the API server.
        namespace: where.
        wanted: of which Flow, and how they must have ended.
        seen: what is done with.
    """
    found: dict[str, tuple[ObjectMeta, float]] = {}
    for state in sorted(covered_states(wanted.states)):
        by_field = {"fieldSelector": f"spec.flow.name={wanted.flow},status.state={state}"}
        by_label = {"labelSelector": f"{names.LABEL_FLOW}={wanted.flow}", "fieldSelector": f"status.state={state}"}
        for selectors in (by_field, by_label):
            async for run in _runs(client, namespace, selectors):
                ended = run.status.completion_time
                if ended is not None and seen.is_new(run.metadata.uid, epoch(ended)):
                    found[run.metadata.uid] = (run.metadata, epoch(ended))
    return list(found.values())


async def _runs(client: ApiClient, namespace: str, selectors: Mapping[str, str]) -> AsyncIterator[_Run]:
    token = ""
    while True:
        query = {**selectors, "limit": str(PAGE_RUNS), **({"continue": token} if token else {})}
        reply = await client.request("GET", FLOWRUNS.path(namespace), query=query)
        page = msgspec.json.decode(reply.body, type=_RunPage)
        for run in page.items or ():
            yield run
        token = page.metadata.continue_token
        if not token:
            return
