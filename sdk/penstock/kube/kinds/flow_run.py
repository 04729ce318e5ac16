"""A FlowRun as the operator reads it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from penstock.engine.keys import RunKey
from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.kube.metadata import ObjectMeta
from penstock.kube.page import LARGE_PAGE_ITEMS


class RunMetadata(ObjectMeta, frozen=True, rename="camel", gc=False):
    """A run's metadata, with what shows whether a person named it."""

    generate_name: str = ""


class FlowRun(msgspec.Struct, frozen=True, gc=False):
    """A FlowRun. The machine reads its status as plain data; what others read of it has a property here."""

    page_items: ClassVar[int] = LARGE_PAGE_ITEMS

    metadata: RunMetadata = RunMetadata()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}

    @property
    def key(self) -> RunKey:
        """Namespace and name."""
        return RunKey(self.metadata.namespace, self.metadata.name)

    @property
    def uid(self) -> str:
        """Its uid."""
        return self.metadata.uid

    @property
    def is_deleting(self) -> bool:
        """Whether its deletion was requested."""
        return self.metadata.deletion_timestamp is not None

    # The spec

    @property
    def flow(self) -> str | None:
        """Name of its Flow; None for an inline spec, and for a retry."""
        name: str | None = (self.spec.get("flow") or {}).get("name")
        return name

    @property
    def retried(self) -> str | None:
        """Name of the run that it retries."""
        name: str | None = (self.spec.get("retryOf") or {}).get("name")
        return name

    @property
    def inline_spec(self) -> dict[str, Any] | None:
        """The Flow's spec, if the run has its own."""
        return self.spec.get("flowSpec")

    @property
    def params(self) -> dict[str, Any]:
        """Params as they are given."""
        return self.spec.get("params") or {}

    @property
    def priority(self) -> int | None:
        """In the queue of its Flow."""
        return self.spec.get("priority")

    @property
    def scheduled_time(self) -> str | None:
        """The earliest start, RFC 3339."""
        return self.spec.get("scheduledTime")

    @property
    def is_shutdown_requested(self) -> bool:
        """Whether its spec asks for its early end."""
        return self.spec.get("shutdown") is not None

    # The status

    @property
    def state(self) -> str:
        """The stored state; Pending without one."""
        return str(self.status.get("state", RunState.PENDING))

    @property
    def is_finished(self) -> bool:
        """Whether a final state is stored."""
        return self.state in FINAL_RUN_STATES

    @property
    def reason(self) -> str | None:
        """The reason of the stored state."""
        return self.status.get("reason")

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The stored tasks; empty if the run has not begun."""
        return self.status.get("tasks") or []

    @property
    def stored_params(self) -> dict[str, Any]:
        """All params that the run began with."""
        return self.status.get("params") or {}

    @property
    def revision(self) -> str | None:
        """The ConfigMap with the spec that it began with."""
        return self.status.get("revision")

    @property
    def epoch(self) -> int | None:
        """Epoch of the leader that wrote the status."""
        return self.status.get("epoch")

    @property
    def observed_generation(self) -> int | None:
        """Generation of the spec that the status is about."""
        return self.status.get("observedGeneration")

    @property
    def retry_of(self) -> dict[str, Any] | None:
        """The run that it retries, with that run's own line of retries."""
        return self.status.get("retryOf")


DECODER: Final = msgspec.json.Decoder(FlowRun)
