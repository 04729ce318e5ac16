"""The watches of runs without a state. Their first status takes them out of it: an operator's, or that of a backup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.api import names
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import FLOWRUNS

NEW: Final = "status.state="
"""Field selector."""
NOT_RESTORED: Final = f"!{names.LABEL_RESTORED}"
"""A restored run gets its final status after its creation: until then it must not start."""


def new_runs(
    client: ApiClient, on_event: Callable[[EventType, FlowRun], None], *, namespace: str
) -> Reflector[FlowRun]:
    """Return the watch of new runs.

    Args:
        client: the way to the API server.
        on_event: receives each; DELETED: it has a state now, or was deleted.
        namespace: empty for all.
    """
    return Reflector(
        client,
        FLOWRUNS,
        kind=FlowRun,
        on_event=on_event,
        namespace=namespace,
        label_selector=NOT_RESTORED,
        field_selector=NEW,
    )


def restored_runs(
    client: ApiClient, on_restored: Callable[[PartialObject], None], *, namespace: str
) -> Reflector[PartialObject]:
    """Return the watch of runs that are being restored from a backup.

    Args:
        client: the way to the API server.
        on_restored: receives each when it has its final status, or was deleted.
        namespace: empty for all.
    """

    def on_event(event: EventType, run: PartialObject) -> None:
        if event is EventType.DELETED:
            on_restored(run)

    return Reflector(
        client,
        FLOWRUNS,
        kind=PartialObject,
        on_event=on_event,
        namespace=namespace,
        label_selector=names.LABEL_RESTORED,
        field_selector=NEW,
        metadata_only=True,
    )
