"""Flows in a cluster, from Python: `flow.deploy`, `deploy` and `run_deployment`.

What talks to the cluster is a layer above, and is loaded when it is needed: a task's Pod starts without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from penstock.authoring.deployment import NOT_OFFERED, Deployment, DeploymentKeywords
from penstock.authoring.option_reader import nearest
from penstock.authoring.states import State, StateType
from penstock.errors import OptionError

DEPLOYER: Final = "penstock.cli.deployment.from_python"
STARTER: Final = "penstock.cli.deployment.run_deployment"
RUN_NOT_OFFERED: Final[Mapping[str, str]] = {
    "poll_interval": "leave it out: the run is watched, not polled",
    "work_queue_name": NOT_OFFERED["work_queue_name"],
    "job_variables": NOT_OFFERED["job_variables"],
    "client": "there is no server; kubeconfig= and context= choose the cluster",
}
TYPES: Final[Mapping[str, StateType]] = {
    "Scheduled": StateType.SCHEDULED,
    "Queued": StateType.SCHEDULED,
    "Pending": StateType.PENDING,
    "Running": StateType.RUNNING,
    "Paused": StateType.PAUSED,
    "Completed": StateType.COMPLETED,
    "Skipped": StateType.SKIPPED,
    "Failed": StateType.FAILED,
    "TimedOut": StateType.FAILED,
    "Cancelled": StateType.CANCELLED,
    "Crashed": StateType.CRASHED,
}
"""What the state of a FlowRun means."""


class ClusterKeywords(TypedDict, total=False):
    """Which cluster; each is None for what `kubectl` would take."""

    namespace: str | None
    context: str | None
    kubeconfig: str | None


class DeployKeywords(ClusterKeywords, total=False):
    """How a flow comes into a cluster."""

    image: str | None
    inline: bool
    source: str | None
    storage: str | None
    wait: bool
    timeout: float
    force_conflicts: bool
    print_next_steps: bool


class FlowDeployKeywords(DeploymentKeywords, DeployKeywords, total=False):
    """What `flow.deploy` takes besides a name."""


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """A FlowRun of a cluster, as it was when it was last seen."""

    id: str
    """Its uid."""
    name: str
    namespace: str
    flow_name: str
    parameters: Mapping[str, Any]
    """Those that it was given."""
    state: State[Any]
    """How it is doing; `state.result()` is what the flow returned, or raises if it did not complete."""
    outputs: Mapping[str, Any]
    """What it put out; of a Python flow, `result` is what its function returned."""


def deploy(*deployments: Deployment, **keywords: Unpack[DeployKeywords]) -> list[str]:
    """Put flows into a cluster.

    Args:
        *deployments: made by `flow.to_deployment(...)`.
        **keywords: where, and how Pods come to the code: docs/deploy.md.

    Returns:
        The names of the Flows.

    Raises:
        OptionError: an option does not exist.
        CompileError: a flow can't be compiled.
        CommandError: the cluster can't be reached, or refused something.
    """
    _check(keywords, DeployKeywords.__annotations__, NOT_OFFERED)
    names: list[str] = importlib.import_module(DEPLOYER).deploy(deployments, **keywords)
    return names


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    as_subflow: bool = True,
    **keywords: Unpack[ClusterKeywords],
) -> ClusterRun:
    """Start a run of a Flow of a cluster, and wait until it is over.

    Args:
        name: name of the Flow; of `flow/deployment`, what is after the slash.
        parameters: values of its params.
        scheduled_time: start no sooner.
        flow_run_name: name of the FlowRun; made by the API server if not given.
        timeout: how long to wait, in seconds; 0 returns at once, None waits until it is over.
        tags: kept as an annotation of the run.
        idempotency_key: of several calls with the same key one starts a run, and all return it.
        as_subflow: whether the run is cancelled if the waiting is broken off by an exception or a signal.
        **keywords: which cluster.

    Returns:
        The run, however it ended, or as it is when the time is over.

    Raises:
        OptionError: an option does not exist.
        ParameterError: the Flow does not take the parameters.
        CommandError: the cluster can't be reached, has no such Flow, or refused the run.
    """
    _check(keywords, ClusterKeywords.__annotations__, RUN_NOT_OFFERED)
    run: ClusterRun = importlib.import_module(STARTER).run_deployment(
        name,
        dict(parameters or {}),
        scheduled_time=scheduled_time,
        run_name=flow_run_name,
        timeout_s=timeout,
        tags=sorted(tags or ()),
        idempotency_key=idempotency_key,
        is_cancelled_with_caller=as_subflow,
        **keywords,
    )
    return run


def _check(keywords: Mapping[str, Any], known: Mapping[str, Any], not_offered: Mapping[str, str]) -> None:
    for keyword in keywords:
        if keyword in not_offered:
            raise OptionError(f"there is no option {keyword!r}: {not_offered[keyword]}")
        if keyword not in known:
            raise OptionError(f"there is no option {keyword!r}{nearest(keyword, known)}")
