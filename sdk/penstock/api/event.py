"""Events: what makes a Schedule create runs, besides the clock."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, DnsName, Expression, ObjectName, TaskName, Time
from penstock.api.flow import Values
from penstock.api.flow_run import Message
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, SET, Rule, map_list

MAX_EVENTS: Final = 16
MAX_REQUIREMENTS: Final = 16

FinalRunState = Literal["Completed", "Skipped", "Failed", "TimedOut", "Cancelled", "Crashed"]
LabelValue = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


class LabelRequirement(ApiModel):
    """A requirement on one label."""

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value is compared with `values`."""
    values: Annotated[list[LabelValue], Field(max_length=64), ATOMIC_LIST] | None = None
    """The values, for In and NotIn."""


class LabelSelector(ApiModel):
    """Selects objects by their labels, as elsewhere in Kubernetes: all requirements must hold."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=MAX_REQUIREMENTS)] | None = None
    """Labels that the object must have."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=MAX_REQUIREMENTS), ATOMIC_LIST] | None = None
    """Further requirements on its labels."""


class EventSource(ApiModel):
    """Fields that every source of events has."""

    when: Expression | None = None
    """CEL expression over `event`; when it is false, no run is created."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of params for runs of this event, from `$(event...)`. They override those of runTemplate."""


class FlowRunEvent(EventSource):
    """A run has finished: give exactly one of flow and selector."""

    rules: ClassVar = (Rule("has(self.flow) != has(self.selector)", "give exactly one of flow and selector"),)

    flow: ObjectName | None = None
    """Name of the Flow."""
    selector: LabelSelector | None = None
    """Selects runs of any Flow by their labels; `{}` selects all runs of the namespace. Runs of this Schedule never
    count."""
    states: Annotated[list[FinalRunState], Field(min_length=1, max_length=6), SET]
    """Final states of the run that count as this event. Failed covers TimedOut and Crashed."""


class ResourceEvent(EventSource):
    """An object of the same namespace was created or changed."""

    api_version: Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9.-]+/)?v[a-z0-9]+$")]
    """API version of its kind, such as `v1` or `apps/v1`. The chart's `events.kinds` lists the allowed kinds."""
    kind: Annotated[str, Field(max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Its kind, such as `ConfigMap`. Never Secret."""
    selector: LabelSelector | None = None
    """Selects objects of that kind; all if not given."""


class SecretKeyReference(ApiModel):
    """Refers to a value in a Secret of the same namespace."""

    name: DnsName
    """Name of the Secret. The chart's `events.webhook.secretNames` lists the names that the operator may read."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key of the value."""


class WebhookEvent(EventSource):
    """A signed HTTP POST was received."""

    secret_ref: SecretKeyReference
    """The signing secret: `whsec_` followed by base64. To rotate it, list several, one per line."""


class EventTrigger(ApiModel):
    """An event that creates a run: give exactly one of flowRun, resource and webhook."""

    rules: ClassVar = (
        Rule(
            "[has(self.flowRun), has(self.resource), has(self.webhook)].exists_one(given, given)",
            "give exactly one of flowRun, resource and webhook",
        ),
    )

    name: TaskName
    """Name of the event, unique in the Schedule; part of a webhook's URL."""
    flow_run: FlowRunEvent | None = None
    """A run of a Flow has finished."""
    resource: ResourceEvent | None = None
    """An object was created or changed."""
    webhook: WebhookEvent | None = None
    """A signed HTTP POST was received."""


Events = Annotated[list[EventTrigger], Field(min_length=1, max_length=MAX_EVENTS), map_list("name")]


class SeenEvent(ApiModel):
    """An event that was processed."""

    id: Annotated[str, Field(max_length=253)]
    """Uid of the run that finished."""
    time: Time
    """When it finished."""


class EventStatus(ApiModel):
    """State of one event of a Schedule."""

    definition: Annotated[str, Field(max_length=64)] | None = None
    """Internal: digest of the event's definition. After an edit only later events count."""
    since: Time | None = None
    """Internal: finished runs up to this time were processed."""
    seen: Annotated[list[SeenEvent], Field(max_length=64), ATOMIC_LIST] | None = None
    """Internal: later finished runs that were processed already."""
    resource_version: Annotated[str, Field(max_length=64)] | None = None
    """Internal: changes of objects up to this version were processed."""
    last_time: Time | None = None
    """When this event last created a run."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    problem: Message | None = None
    """Why the last event failed to create a run; absent if there is no problem."""
