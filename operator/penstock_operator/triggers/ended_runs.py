"""The runs that have ended: found by a list, for those that ended while no trigger was active."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.api import names
from penstock.api.event import FlowRunEvent
from penstock.engine.timestamp import epoch
from penstock.engine.triggers.label_selector import selects
from penstock.engine.triggers.trigger import covered_states
from penstock.engine.triggers.watermark import Watermark
from penstock.kube.client import ApiClient
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.metadata import ObjectMeta
from penstock.kube.resources import FLOWRUNS


async def list_ended_runs(
    client: ApiClient, namespace: str, source: FlowRunEvent, watermark: Watermark
) -> list[tuple[ObjectMeta, float]]:
    """List the runs that have ended and were not handled, and when each ended, in seconds since the epoch.

    Args:
        client: the way to the API server.
        namespace: where.
        source: which runs count, and in which states they must have ended.
        watermark: ends that were handled.
    """
    found: dict[str, tuple[ObjectMeta, float]] = {}
    for state in sorted(covered_states(source.states)):
        for label_selector, field_selector in _selectors(source, state):
            runs = client.list(
                FLOWRUNS,
                kind=RunSummary,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            async for run in runs:
                ended = run.status.completion_time
                is_selected = selects(source.selector, run.metadata.labels)
                if ended is not None and is_selected and watermark.is_new(run.metadata.uid, epoch(ended)):
                    found[run.metadata.uid] = (run.metadata, epoch(ended))
    return list(found.values())


def _selectors(source: FlowRunEvent, state: str) -> Iterator[tuple[str, str]]:
    """Return the label and field selectors that together list the runs of a source in a state."""
    if source.flow is None:
        yield "", f"status.state={state}"
        return
    yield "", f"spec.flow.name={source.flow},status.state={state}"
    # A retry has its Flow in a label only.
    yield f"{names.LABEL_FLOW}={source.flow}", f"status.state={state}"
