"""Deployments: a flow with schedules and parameters, to be served by a process or deployed to a cluster."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypedDict

from penstock.authoring.deployments.schedules import Cron, Interval, RRule, Timing
from penstock.authoring.function import FlowFunction
from penstock.authoring.options.option_reader import nearest
from penstock.authoring.pods.imported import is_skipped
from penstock.errors import OptionError

SERVER: Final = "penstock.local.serving.serve"
"""A name instead of an import: the module is in a higher layer."""
ON_OVERLAP: Final = ("Allow", "Skip", "Queue", "Replace")
ON_MISSED: Final = ("Skip", "Latest", "All")
_POOLS: Final = "there are no work pools: a flow is deployed to a cluster, and its tasks have options for their Pods"
NOT_OFFERED: Final[Mapping[str, str]] = {
    "work_pool_name": _POOLS,
    "work_queue_name": _POOLS,
    "job_variables": _POOLS,
    "triggers": "write a Schedule with events: docs/events.md",
    "global_limit": "use limit",
    "webserver": "there is no web server: see the log of the process",
    "entrypoint_type": "omit it: the flow is found by its file and name, or its module and name",
    "version_type": "omit it: each change of a Flow is a new revision",
    "enforce_parameter_schema": "omit it: parameters are always validated",
    "build": "build and push the image yourself, and set image=...",
    "push": "build and push the image yourself, and set image=...",
    "catchup": "use on_missed",
}
"""Options of Prefect and Airflow, and what to use instead."""


class DeploymentKeywords(TypedDict, total=False):
    """The options of deployments. docs/python.md describes each."""

    cron: str | Sequence[str] | None
    interval: timedelta | float | Sequence[timedelta | float] | None
    rrule: str | Sequence[str] | None
    schedule: Timing | None
    schedules: Sequence[Timing] | None
    timezone: str | None
    paused: bool
    on_missed: str | Mapping[str, Any] | None
    on_overlap: str | None
    limit: int | None
    parameters: Mapping[str, Any] | None
    description: str | None
    tags: Iterable[str] | None
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A flow with its schedules, returned by `flow.to_deployment(...)`."""

    flow: FlowFunction
    name: str
    timings: tuple[Timing, ...]
    parameters: Mapping[str, Any]
    paused: bool
    on_missed: Mapping[str, Any] | None
    on_overlap: str | None
    limit: int | None
    description: str
    tags: frozenset[str]
    version: str | None

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return self.flow.name

    def schedules(self) -> list[dict[str, Any]]:
        """Return the Schedules as Kubernetes objects: one for all timings with the same time zone and parameters."""
        merged: list[tuple[Timing, dict[str, Any]]] = []
        for timing in (each for each in self.timings if each.active):
            alike = (fields for other, fields in merged if _can_share(other, timing))
            fields = next(alike, None)
            if fields is None:
                merged.append((timing, dict(timing.fields)))
            else:
                fields.update({key: [*fields.get(key, []), *value] for key, value in timing.fields.items()})
        names = [timing.slug or (str(place) if place > 1 else "") for place, (timing, _) in enumerate(merged, start=1)]
        return [
            self._schedule(f"{self.name}-{end}" if end else self.name, timing, fields)
            for end, (timing, fields) in zip(names, merged, strict=True)
        ]

    def _schedule(self, name: str, timing: Timing, fields: Mapping[str, Any]) -> dict[str, Any]:
        run: dict[str, Any] = {"flow": {"name": self.name}}
        if parameters := {**self.parameters, **timing.parameters}:
            run["params"] = parameters
        spec = {
            **fields,
            "timeZone": timing.timezone,
            "suspend": self.paused or None,
            "onMissed": None if self.on_missed is None else dict(self.on_missed),
            "onOverlap": self.on_overlap,
            "runTemplate": {"spec": run},
        }
        return {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "Schedule",
            "metadata": {"name": name},
            "spec": {key: value for key, value in spec.items() if value is not None},
        }


def object_name(name: str) -> str:
    """Return a name that objects of Kubernetes can have, from any text."""
    text = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return text or "deployment"


def read_deployment(flow: FlowFunction, name: str | None, keywords: DeploymentKeywords) -> Deployment:
    """Return the deployment for the arguments of `serve`, `deploy` or `to_deployment`.

    Args:
        flow: the flow.
        name: name of the deployment; defaults to the name of the flow.
        keywords: the options.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    for keyword in keywords:
        if keyword in NOT_OFFERED:
            raise OptionError(f"deployments have no option {keyword!r}: {NOT_OFFERED[keyword]}")
        if keyword not in DeploymentKeywords.__annotations__:
            raise OptionError(
                f"deployments have no option {keyword!r}{nearest(keyword, DeploymentKeywords.__annotations__)}"
            )
    limit = keywords.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise OptionError(f"limit={limit!r}: must be a whole number, 1 or more")
    parameters = dict(keywords.get("parameters") or {})
    deployment = Deployment(
        flow=flow,
        name=name or flow.name,
        timings=_read_timings(keywords),
        parameters=parameters,
        paused=bool(keywords.get("paused", False)),
        on_missed=_read_on_missed(keywords.get("on_missed")),
        on_overlap=_one_of("on_overlap", keywords.get("on_overlap"), ON_OVERLAP),
        limit=limit,
        description=keywords.get("description") or flow.options.description,
        tags=frozenset(keywords.get("tags") or ()),
        version=keywords.get("version") or flow.options.version,
    )
    for names in (parameters, *(timing.parameters for timing in deployment.timings)):
        _check_parameters(flow, names)
    return deployment


def serve(
    *deployments: Deployment,
    limit: int | None = None,
    pause_on_shutdown: bool = True,
    print_starting_message: bool = True,
) -> None:
    """Run flows on their schedules, each run in its own process, until Ctrl-C or SIGTERM.

    While a command or a Pod imports the module of a flow it does nothing: the import would not end.

    Args:
        *deployments: returned by `flow.to_deployment(...)`.
        limit: maximum number of concurrent runs of all deployments; None for no limit.
        pause_on_shutdown: ignore ticks that are missed while this process is not running; false applies `on_missed`.
        print_starting_message: log which deployments are served.

    Raises:
        OptionError: a deployment cannot be served.
    """
    if is_skipped("serve()"):
        return
    importlib.import_module(SERVER).serve(
        deployments, limit=limit, is_forgetful=pause_on_shutdown, is_announced=print_starting_message
    )


def _can_share(other: Timing, timing: Timing) -> bool:
    is_alike = (other.timezone, other.parameters, other.slug) == (timing.timezone, timing.parameters, timing.slug)
    return is_alike and "interval" not in timing.fields


def _read_timings(keywords: DeploymentKeywords) -> tuple[Timing, ...]:
    zone = keywords.get("timezone")
    timings = [Cron(text, zone) for text in _several(keywords.get("cron"))]
    timings += [Interval(distance, None, zone) for distance in _several(keywords.get("interval"))]
    timings += [RRule(text, zone) for text in _several(keywords.get("rrule"))]
    for timing in (*_several(keywords.get("schedule")), *_several(keywords.get("schedules"))):
        if not isinstance(timing, Timing):
            raise OptionError(f"schedule={timing!r}: must be a Cron, Interval or RRule of penstock.schedules")
        timings.append(timing)
    if zone is not None and not timings:
        raise OptionError(f"timezone={zone!r}: set cron, interval or rrule as well")
    return tuple(timings)


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _read_on_missed(value: str | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping):
        return value
    return {"policy": _one_of("on_missed", value, ON_MISSED)}


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise OptionError(f"{name}={value!r}{nearest(str(value), known)}: must be one of {', '.join(known)}")
    return None if value is None else str(value)


def _check_parameters(flow: FlowFunction, parameters: Mapping[str, Any]) -> None:
    if any(each.kind is each.VAR_KEYWORD for each in flow.signature.parameters.values()):
        return
    if unknown := [name for name in parameters if name not in flow.signature.parameters]:
        raise OptionError(
            f"flow {flow.name!r} has no parameter {unknown[0]!r}{nearest(unknown[0], flow.signature.parameters)}"
        )
