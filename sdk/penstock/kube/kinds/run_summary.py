"""A FlowRun as those read it that want to know whether and how it ended."""

from __future__ import annotations

import msgspec

from penstock.kube.metadata import ObjectMeta


class RunSummaryStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The state, and when the run ended."""

    state: str = ""
    """Empty: no operator has handled the run yet."""
    completion_time: str | None = None


class RunSummary(msgspec.Struct, frozen=True, gc=False):
    """A FlowRun without its spec and tasks."""

    metadata: ObjectMeta = ObjectMeta()
    status: RunSummaryStatus = RunSummaryStatus()
