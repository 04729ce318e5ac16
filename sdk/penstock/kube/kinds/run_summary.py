"""A FlowRun, read only for whether and how it ended."""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.kube.metadata import ObjectMeta

FINISHED_RUNS: Final = ",".join(
    ["status.state!=", *(f"status.state!={state}" for state in sorted(set(RunState) - FINAL_RUN_STATES))]
)
"""Field selector of finished runs. A run without a state has not been handled by an operator yet."""
UNFINISHED_RUNS: Final = ",".join(["status.state!=", *(f"status.state!={state}" for state in sorted(FINAL_RUN_STATES))])
"""Field selector of the runs that have begun and have not finished."""


class RunSummaryStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The state, and when the run started and ended."""

    state: str = ""
    """Empty: no operator has handled the run yet."""
    start_time: str | None = None
    completion_time: str | None = None


class RunSummary(msgspec.Struct, frozen=True, gc=False):
    """A FlowRun without its spec and tasks."""

    metadata: ObjectMeta = ObjectMeta()
    status: RunSummaryStatus = RunSummaryStatus()
