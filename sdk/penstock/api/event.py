"""Events: what makes a Schedule create runs, besides the clock."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, DnsName, Expression, ObjectName, TaskName, Time
from penstock.api.flow import Values
from penstock.api.flowrun import Message
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, SET, Rule, map_list

MAX_EVENTS: Final = 16
MAX_REQUIREMENTS: Final = 16

FinalRunState = Literal["Completed", "Skipped", "Failed", "TimedOut", "Cancelled", "Crashed"]
LabelValue = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


class LabelRequirement(ApiModel):
    """One thing that is asked of an object's labels."""

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value relates to values."""
    values: Annotated[list[LabelValue], Field(max_length=64), ATOMIC_LIST] | None = None
    """The values, for In and NotIn."""


class LabelSelector(ApiModel):
    """Selects objects by their labels, as everywhere in Kubernetes: all that is given must hold."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=MAX_REQUIREMENTS)] | None = None
    """Labels that it must have."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=MAX_REQUIREMENTS), ATOMIC_LIST] | None = None
    """What else is asked of its labels."""


class EventSource(ApiModel):
    """What every source of events has."""

    when: Expression | None = None
    """CEL expression over `event`; when it is false, no run is created."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of params for runs of this event, from `$(event...)`. They go before those of runTemplate."""


class FlowRunEvent(EventSource):
    """A run of a Flow has ended."""

    flow: ObjectName
    """Name of the Flow."""
    states: Annotated[list[FinalRunState], Field(min_length=1, max_length=6), SET]
    """How it must have ended, any of these. Failed covers TimedOut and Crashed."""


class ResourceEvent(EventSource):
    """An object of the same namespace was created or changed."""

    api_version: Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9.-]+/)?v[a-z0-9]+$")]
    """API version of its kind, such as `v1` or `apps/v1`. The installer decides which kinds may be named."""
    kind: Annotated[str, Field(max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Its kind, such as `ConfigMap`. Never Secret."""
    selector: LabelSelector | None = None
    """Which objects of that kind; all if not given."""


class SecretKeyReference(ApiModel):
    """Names a value in a Secret of the same namespace."""

    name: DnsName
    """Name of the Secret. The installer decides which names the operator may read."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key of the value."""


class WebhookEvent(EventSource):
    """A signed HTTP POST has come in."""

    secret_ref: SecretKeyReference
    """The signing secret, in the form `whsec_` and base64; several, one on each line, while one replaces another."""


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
    """A run of a Flow has ended."""
    resource: ResourceEvent | None = None
    """An object was created or changed."""
    webhook: WebhookEvent | None = None
    """A signed HTTP POST has come in."""


Events = Annotated[list[EventTrigger], Field(min_length=1, max_length=MAX_EVENTS), map_list("name")]


class SeenEvent(ApiModel):
    """An event that is done with."""

    id: Annotated[str, Field(max_length=253)]
    """Uid of the run that ended."""
    time: Time
    """When it ended."""


class EventStatus(ApiModel):
    """What became of an event of a Schedule."""

    definition: Annotated[str, Field(max_length=64)] | None = None
    """What is listened for, as a digest: an edit acts from then on, and makes nothing up."""
    since: Time | None = None
    """Ends of runs up to this time are done with."""
    seen: Annotated[list[SeenEvent], Field(max_length=64), ATOMIC_LIST] | None = None
    """Ends of runs after it that are done with, too."""
    resource_version: Annotated[str, Field(max_length=64)] | None = None
    """Changes of objects up to this version are done with."""
    last_time: Time | None = None
    """When this event last created a run."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    problem: Message | None = None
    """Why the last event created no run although it should have; not there while all is well."""
