"""Flows in a cluster, from Python: `flow.deploy`, `deploy` and `run_deployment`.

The code that talks to the cluster is in a higher layer and loaded when needed, so that Pods of tasks start without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from penstock.authoring.awaiting import blocking
from penstock.authoring.backend import check_effect
from penstock.authoring.deployments.deployment import NOT_OFFERED, Deployment, DeploymentKeywords
from penstock.authoring.options.option_reader import nearest
from penstock.authoring.pods.imported import is_skipped
from penstock.authoring.runs.states import State, StateType
from penstock.errors import OptionError

DEPLOYER: Final = "penstock.cli.deployment.from_python"
STARTER: Final = "penstock.cli.deployment.run_deployment"
RUN_NOT_OFFERED: Final[Mapping[str, str]] = {
    "work_queue_name": NOT_OFFERED["work_queue_name"],
    "job_variables": NOT_OFFERED["job_variables"],
    "client": "there is no server; choose the cluster with kubeconfig= and context=",
}
REQUESTS: Final = "penstock.local.serving.run_requests"
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
"""States of FlowRuns as types of states."""


class ClusterKeywords(TypedDict, total=False):
    """Which cluster; None for the default of `kubectl`."""

    namespace: str | None
    context: str | None
    kubeconfig: str | None


class DeployKeywords(ClusterKeywords, total=False):
    """How a flow is deployed to a cluster."""

    image: str | None
    inline: bool
    source: str | None
    storage: str | None
    wait: bool
    timeout: float
    force_conflicts: bool
    print_next_steps: bool


class FlowDeployKeywords(DeploymentKeywords, DeployKeywords, total=False):
    """The keyword arguments of `flow.deploy`."""


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """A FlowRun of a cluster, as last seen."""

    id: str
    """Its uid."""
    name: str
    namespace: str
    flow_name: str
    parameters: Mapping[str, Any]
    """The parameters that were given."""
    state: State[Any]
    """Its state; `state.result()` returns the result of the flow, or raises if it did not complete."""
    outputs: Mapping[str, Any]
    """Its outputs; for a Python flow, `result` is what its function returned."""


def deploy(*deployments: Deployment, **keywords: Unpack[DeployKeywords]) -> list[str]:
    """Deploy flows to a cluster.

    While a command or a Pod imports the module of a flow it does nothing: each Pod would deploy.

    Args:
        *deployments: returned by `flow.to_deployment(...)`.
        **keywords: which cluster, and how Pods get the code: docs/deploy.md.

    Returns:
        The names of the Flows.

    Raises:
        OptionError: an option does not exist.
        CompileError: a flow cannot be compiled.
        CommandError: the cluster cannot be reached, or refused a request.
    """
    _check(keywords, DeployKeywords.__annotations__, NOT_OFFERED)
    if is_skipped("deploy()"):
        return [each.name for each in deployments]
    names: list[str] = importlib.import_module(DEPLOYER).deploy(deployments, **keywords)
    return names


@blocking
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
    poll_interval: float | None = None,  # noqa: ARG001 - the run is watched, not polled
    **keywords: Unpack[ClusterKeywords],
) -> ClusterRun:
    """Start a run of a deployed flow, and wait until it has finished.

    If a process of this machine serves a deployment of the name, the run is started there, else in the cluster. If a
    cluster is named, it is always that cluster.

    Args:
        name: name of the Flow; for `flow/deployment`, the part after the slash is used.
        parameters: parameters of the flow.
        scheduled_time: earliest start time.
        flow_run_name: name of the FlowRun; generated if not given.
        timeout: how long to wait, in seconds; 0 returns immediately, None waits until the run has finished.
        tags: stored as an annotation of the run.
        idempotency_key: several calls with the same key start one run, and all return it.
        as_subflow: cancel the run if waiting is interrupted by an exception or a signal.
        poll_interval: has no meaning: the run is watched, not polled.
        **keywords: which cluster.

    Returns:
        The run in its final state, or in its state at the timeout.

    Raises:
        OptionError: an option does not exist.
        ParameterError: the Flow does not accept the parameters.
        CommandError: the cluster cannot be reached, does not have the Flow, or refused the run.
    """
    _check(keywords, ClusterKeywords.__annotations__, RUN_NOT_OFFERED)
    check_effect(f"a run of {name!r} would be started", "start it in a task, or call that flow in this one")
    if not keywords:
        local = name.rpartition("/")[2]
        served = _run_served(
            local,
            dict(parameters or {}),
            tags=sorted(tags or ()),
            timeout_s=timeout,
            run_name=flow_run_name,
            key=idempotency_key,
            scheduled_time=scheduled_time,
        )
        if served is not None:
            return served
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


async def arun_deployment(name: str, parameters: Mapping[str, Any] | None = None, **keywords: Any) -> ClusterRun:
    """Start a run, and wait in a thread until it has finished. Arguments and errors are those of `run_deployment`."""
    run: ClusterRun = await run_deployment(name, parameters, **keywords)  # type: ignore[misc]  # it is a coroutine here
    return run


def _run_served(name: str, parameters: dict[str, Any], **options: Any) -> ClusterRun | None:
    """Run what a process of this machine serves; None if none serves it."""
    found = importlib.import_module(REQUESTS).request_run(name, parameters, **options)
    if found is None:
        return None
    run, state = found
    return ClusterRun(run, run, "", name, parameters, state, {})


def _check(keywords: Mapping[str, Any], known: Mapping[str, Any], not_offered: Mapping[str, str]) -> None:
    for keyword in keywords:
        if keyword in not_offered:
            raise OptionError(f"unknown option {keyword!r}: {not_offered[keyword]}")
        if keyword not in known:
            raise OptionError(f"unknown option {keyword!r}{nearest(keyword, known)}")
