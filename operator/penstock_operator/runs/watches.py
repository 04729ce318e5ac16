"""Runs that no operator has looked at: those without a state. The first status takes a run out of this watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from penstock.kube.client import ApiClient
from penstock.kube.metadata import ObjectMeta
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import FLOWRUNS

NEW: Final = "status.state="
"""Field selector."""


class RunMetadata(ObjectMeta, frozen=True, rename="camel", gc=False):
    """A run's metadata, with what tells who named it."""

    generate_name: str = ""


class NewRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run as it was created."""

    metadata: RunMetadata = RunMetadata()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


def new_runs(
    client: ApiClient, on_event: Callable[[EventType, Mapping[str, Any]], None], *, namespace: str
) -> Reflector[NewRun]:
    """Return the watch of new runs.

    Args:
        client: the way to the API server.
        on_event: told of each as plain data; DELETED: it has a state now, or is gone.
        namespace: empty for all.
    """

    def tell(event: EventType, run: NewRun) -> None:
        on_event(event, msgspec.to_builtins(run))

    return Reflector(client, FLOWRUNS, kind=NewRun, on_event=tell, namespace=namespace, field_selector=NEW)
