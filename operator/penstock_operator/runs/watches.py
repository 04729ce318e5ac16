"""The watch of runs that no operator has reconciled: those without a state. The first status takes a run out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import FLOWRUNS

NEW: Final = "status.state="
"""Field selector."""


def new_runs(
    client: ApiClient, on_event: Callable[[EventType, FlowRun], None], *, namespace: str
) -> Reflector[FlowRun]:
    """Return the watch of new runs.

    Args:
        client: the way to the API server.
        on_event: receives each; DELETED: it has a state now, or was deleted.
        namespace: empty for all.
    """
    return Reflector(client, FLOWRUNS, kind=FlowRun, on_event=on_event, namespace=namespace, field_selector=NEW)
