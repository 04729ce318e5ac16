"""Events of Schedules: their fields in expressions, and the runs that they create."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from penstock.api.event import EventSource, EventTrigger, FlowRunEvent, LabelSelector
from penstock.api.names import LABEL_FLOW
from penstock.api.schedule import ScheduleSpec
from penstock.engine.expressions.budget import FIELDS_COST, limited
from penstock.engine.expressions.expression import Expression
from penstock.engine.expressions.scope import ANYTHING, EVENT_ROOTS, Fields, Scope
from penstock.engine.expressions.template import ValueTemplate, compile_condition, compile_value
from penstock.engine.ticks.timetable import has_ticks
from penstock.engine.triggers.forbidden_kinds import check_kind
from penstock.engine.triggers.label_selector import selects
from penstock.errors import ExpressionError, InvalidSpecError, Problem

MAX_CHAIN: Final = 8
"""Runs that may follow from each other by flowRun events, so that two Schedules cannot trigger each other forever."""


class Source(StrEnum):
    """Where an event comes from, as its field is spelled."""

    FLOW_RUN = "flowRun"
    RESOURCE = "resource"
    WEBHOOK = "webhook"


COVERED_STATES: Final = {"Failed": ("Failed", "TimedOut", "Crashed")}
"""States that include other states, as in dependsOnStates."""
_COMMON: Final[Fields] = {"name": {}, "time": {}}
EVENT_FIELDS: Final[Mapping[Source, Fields]] = {
    Source.FLOW_RUN: {
        **_COMMON,
        "run": {
            "name": {},
            "uid": {},
            "flow": {},
            "state": {},
            "reason": {},
            "message": {},
            "startTime": {},
            "completionTime": {},
            "params": ANYTHING,
            "outputs": ANYTHING,
            "labels": ANYTHING,
            "annotations": ANYTHING,
        },
    },
    Source.RESOURCE: {**_COMMON, "object": ANYTHING},
    Source.WEBHOOK: {**_COMMON, "id": {}, "body": ANYTHING},
}
"""The fields of `event`, by its source."""


def source_of(trigger: EventTrigger) -> tuple[Source, EventSource] | None:
    """Return the source of an event; None unless exactly one is given."""
    given = [
        (source, value)
        for source, value in (
            (Source.FLOW_RUN, trigger.flow_run),
            (Source.RESOURCE, trigger.resource),
            (Source.WEBHOOK, trigger.webhook),
        )
        if value is not None
    ]
    return given[0] if len(given) == 1 else None


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """A compiled event of a Schedule.

    Args:
        when: whether a run is created; None: always.
        params: the run's params; None: it has none.
        path: field path of the source, for messages.
    """

    when: Expression | None
    params: Mapping[str, tuple[str, ValueTemplate]]
    path: str

    def evaluate(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the params of the run that an event creates.

        Args:
            event: its fields, plain JSON.

        Returns:
            The params; None if `when` is false for the event.

        Raises:
            ExpressionError: an expression could not be evaluated; names the field.
        """
        with limited(FIELDS_COST):
            return self._evaluate({"event": event})

    def _evaluate(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.when is not None:
            try:
                if not self.when.evaluate_condition(values):
                    return None
            except ExpressionError as error:
                raise ExpressionError(f"{self.path}.when: {error}") from error
        params: dict[str, Any] = {}
        for name, (path, template) in self.params.items():
            try:
                params[name] = template.evaluate(values)
            except ExpressionError as error:
                raise ExpressionError(f"{path}: {error}") from error
        return params


def compile_trigger(spec: ScheduleSpec, index: int, *, path: str = "spec") -> CompiledTrigger:
    """Compile the expressions of an event.

    Args:
        spec: the Schedule.
        index: which of its events.
        path: field path of the spec, for problems.

    Raises:
        InvalidSpecError: an expression does not compile. Holds every problem.
    """
    trigger = (spec.events or [])[index]
    found = source_of(trigger)
    if found is None:
        message = "must have exactly one of flowRun, resource and webhook"
        raise InvalidSpecError([Problem(f"{path}.events[{index}]", message)])
    source, value = found
    where = f"{path}.events[{index}].{source}"
    scope = Scope(EVENT_ROOTS, event=EVENT_FIELDS[source])
    problems: list[Problem] = []
    when = None
    if value.when is not None:
        try:
            when = compile_condition(value.when, scope)
        except ExpressionError as error:
            problems.append(Problem(f"{where}.when", str(error)))
    given = {name: (f"{path}.runTemplate.spec.params.{name}", one) for name, one in _template_params(spec).items()}
    given |= {name: (f"{where}.params.{name}", one) for name, one in (value.params or {}).items()}
    params: dict[str, tuple[str, ValueTemplate]] = {}
    for name, (place, text) in given.items():
        try:
            params[name] = (place, compile_value(text, scope))
        except ExpressionError as error:
            hint = f" (for event {trigger.name}; set {where}.params.{name} for a value of its own)"
            problems.append(Problem(place, f"{error}{hint if place.startswith(f'{path}.runTemplate') else ''}"))
    if problems:
        raise InvalidSpecError(problems)
    return CompiledTrigger(when, params, where)


def check_triggers(spec: ScheduleSpec, *, path: str = "spec") -> list[Problem]:
    """Find what is wrong with a Schedule's events.

    Args:
        spec: the Schedule.
        path: field path of the spec, for problems.
    """
    problems = list(_check_clock_fields(spec, path))
    names: set[str] = set()
    for index, trigger in enumerate(spec.events or ()):
        if trigger.name in names:
            problems.append(
                Problem(f"{path}.events[{index}].name", f'"{trigger.name}" is already the name of another event')
            )
        names.add(trigger.name)
        problems += _check_flow_run(trigger, f"{path}.events[{index}]")
        problems += _check_resource(trigger, f"{path}.events[{index}]")
        try:
            compile_trigger(spec, index, path=path)
        except InvalidSpecError as error:
            problems += error.problems
    return problems


def params_of_every_event(spec: ScheduleSpec) -> dict[str, Any]:
    """Return the params that every event of a Schedule gives itself, with the values of one of them."""
    given = [dict(found[1].params or {}) for trigger in spec.events or () if (found := source_of(trigger)) is not None]
    return {name: given[0][name] for name in given[0] if all(name in one for one in given)} if given else {}


def _check_clock_fields(spec: ScheduleSpec, path: str) -> Iterator[Problem]:
    if not spec.events or has_ticks(spec):
        return
    for field, value in (("onOverlap", spec.on_overlap), ("onMissed", spec.on_missed), ("jitter", spec.jitter)):
        if value is not None:
            message = (
                "has no effect without cron, interval, at or rrule; to limit runs of events, set spec.concurrency of "
                "the Flow"
            )
            yield Problem(f"{path}.{field}", message)


def may_be_of(source: FlowRunEvent, flow: str | None, labels: Mapping[str, str]) -> bool:
    """Whether the end of a run counts as an event, as far as that is known.

    Args:
        source: which runs count.
        flow: name of the run's Flow; empty for none, None if that is not known: a retry has it in a label only.
        labels: of the run.
    """
    if source.flow is None:
        return selects(source.selector, labels)
    return flow is None or flow == source.flow


def _check_flow_run(trigger: EventTrigger, path: str) -> Iterator[Problem]:
    source = trigger.flow_run
    if source is None:
        return
    if (source.flow is None) == (source.selector is None):
        yield Problem(f"{path}.flowRun", "give exactly one of flow and selector")
    yield from _check_selector(source.selector, f"{path}.flowRun.selector")


def _check_resource(trigger: EventTrigger, path: str) -> Iterator[Problem]:
    resource = trigger.resource
    if resource is None:
        return
    yield from check_kind(resource, f"{path}.resource")
    yield from _check_selector(resource.selector, f"{path}.resource.selector")


def _check_selector(selector: LabelSelector | None, path: str) -> Iterator[Problem]:
    for place, one in enumerate((selector.match_expressions if selector is not None else None) or ()):
        if (one.operator in ("In", "NotIn")) != bool(one.values):
            needs = "requires values" if one.operator in ("In", "NotIn") else "must not have values"
            yield Problem(f"{path}.matchExpressions[{place}].values", f"{one.operator} {needs}")


def definition_digest(trigger: EventTrigger, *, is_suspended: bool) -> str:
    """Return a digest of what is watched: while it stays the same, no event is handled again."""
    if is_suspended:
        return "suspended"
    source = source_of(trigger)
    assert source is not None, "the spec was checked"
    # Params do not change which events there are.
    watched = source[1].model_dump(mode="json", exclude={"params"}, exclude_none=True)
    text = json.dumps({source[0]: watched}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def covered_states(states: Iterable[str]) -> frozenset[str]:
    """Return the states that a list of states includes."""
    return frozenset(one for state in states for one in COVERED_STATES.get(state, (state,)))


def flow_of(run: Mapping[str, Any]) -> str | None:
    """Return the name of the Flow that a run is of; a retry names another run instead, and has the Flow in a label."""
    name: str | None = ((run.get("spec") or {}).get("flow") or {}).get("name")
    return name or (run["metadata"].get("labels") or {}).get(LABEL_FLOW)


def flow_run_event(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of `event` for the end of a run.

    Args:
        name: of the event.
        run: the FlowRun, with its final status.
    """
    metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
    seen = {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "flow": flow_of(run),
        "params": status.get("params") or spec.get("params") or {},
        "outputs": status.get("outputs") or {},
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
    }
    seen |= {field: status.get(field) for field in ("state", "reason", "message", "startTime", "completionTime")}
    present = {field: value for field, value in seen.items() if value is not None}
    return {"name": name, "time": status.get("completionTime"), "run": present}


def resource_event(name: str, found: Mapping[str, Any], time: str) -> dict[str, Any]:
    """Return the value of `event` for a change of an object.

    Args:
        name: of the event.
        found: the object as it is now.
        time: when it was observed, RFC 3339.
    """
    metadata = {field: value for field, value in found["metadata"].items() if field != "managedFields"}
    return {"name": name, "time": time, "object": {**found, "metadata": metadata}}


def webhook_event(name: str, delivery: str, time: str, body: Any) -> dict[str, Any]:
    """Return the value of `event` for a delivery.

    Args:
        name: of the event.
        delivery: its id.
        time: when it was signed, RFC 3339.
        body: its body, plain JSON.
    """
    return {"name": name, "time": time, "id": delivery, "body": body}


def _template_params(spec: ScheduleSpec) -> Mapping[str, Any]:
    return spec.run_template.spec.params or {}
