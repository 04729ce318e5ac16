"""The kinds of the API: their names, their models, what `kubectl get` shows, and the rules on whole objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penstock.api.backfill import BackfillSpec, BackfillStatus
from penstock.api.base import ApiModel
from penstock.api.flow import FlowSpec, FlowStatus
from penstock.api.flowrun import FlowRunSpec, FlowRunStatus
from penstock.api.marker import Rule
from penstock.api.names import GROUP
from penstock.api.schedule import ScheduleSpec, ScheduleStatus

MAX_LABEL_VALUE: Final = 63
"""Longest value of a label, by Kubernetes' rules."""
MAX_SCHEDULE_NAME: Final = 52
"""What is left of a name once the tick is appended to it, as for a CronJob."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`.

    Args:
        name: its heading.
        path: JSON path of the value in the object.
        description: what it shows.
        type: OpenAPI type. `date` shows how long ago it was; a time to come would show as `<invalid>`: use `string`.
        is_wide: whether only `-o wide` shows it.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    is_wide: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Args:
        name: the kind, as objects spell it.
        plural: name of the resource, in lower case.
        short_name: what people type.
        description: what it is for.
        spec: what users write.
        status: what the operator writes.
        max_name: longest `metadata.name`.
        why_max_name: where that comes from, for whoever chose a longer one.
        columns: what `kubectl get` shows between name and age.
        selectable_fields: JSON paths usable in `--field-selector`.
        rules: rules on the whole object.
    """

    name: str
    plural: str
    short_name: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    max_name: int
    why_max_name: str
    columns: tuple[Column, ...]
    selectable_fields: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def singular(self) -> str:
        """Name of one of them, in lower case."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """Name of the resource with its group, which is also that of its definition."""
        return f"{self.plural}.{GROUP}"


def _condition(condition: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


def _immutable(field: str, why: str, unless: str = "") -> Rule:
    """Make the rule that a field of the spec stays as it was made, absence included.

    It stands above the field, since a rule on the field itself is not asked when the field is removed. Through `dyn` it
    also sees fields whose content has no schema.

    Args:
        field: the field.
        why: what to do instead.
        unless: a cheap CEL expression that, where it holds, spares the comparison.
    """
    now, before = f"dyn(self.spec).{field}", f"dyn(oldSelf.spec).{field}"
    spared = " || ".join(filter(None, (f"!has({now})", unless)))
    return Rule(
        f"has({now}) == has({before}) && ({spared} || {now} == {before})",
        f"{field} can't be changed: {why}",
        f".spec.{field}",
    )


_IS_STATUS_UPDATE: Final = (
    "has(self.status) != has(oldSelf.status) || has(self.status) && "
    "(self.status.state != oldSelf.status.state || has(self.status.counts) != has(oldSelf.status.counts) || "
    "has(self.status.counts) && self.status.counts != oldSelf.status.counts)"
)
"""Holds for most writes to the status subresource, which can't change the spec, and for no other write: with those the
API server puts the old status back first. To compare an inline spec of 2,500 tasks takes it longer than all else."""

_READY = Column("Ready", _condition("Ready", "status"), "Whether it can be used.")
_READY_REASON = Column("Reason", _condition("Ready", "reason"), "Why it can or can't be used.")
_READY_MESSAGE = Column("Message", _condition("Ready", "message"), "The same for people.", is_wide=True)

FLOW: Final = Kind(
    name="Flow",
    plural="flows",
    short_name="fl",
    description="A parameterised graph of tasks. Runs of it are made with FlowRuns, by hand or by a Schedule.",
    spec=FlowSpec,
    status=FlowStatus,
    max_name=MAX_LABEL_VALUE,
    why_max_name="it becomes the value of a label",
    columns=(
        _READY,
        _READY_REASON,
        Column("Tasks", ".status.tasks", "Number of tasks.", type="integer"),
        _READY_MESSAGE,
    ),
)

_NEW_RUN = "create a new FlowRun instead"
FLOWRUN: Final = Kind(
    name="FlowRun",
    plural="flowruns",
    short_name="fr",
    description="One execution of a Flow. Its status holds the state of every task.",
    spec=FlowRunSpec,
    status=FlowRunStatus,
    max_name=MAX_LABEL_VALUE,
    why_max_name="it becomes the value of a label",
    columns=(
        Column("Flow", ".spec.flow.name", "The Flow that it runs."),
        Column("State", ".status.state", "The state in one word."),
        Column("Progress", ".status.progress", "Tasks that are over, of all."),
        Column("Reason", ".status.reason", "Why it is in this state."),
        Column("Started", ".status.startTime", "When its first task started.", type="date", is_wide=True),
        Column("Finished", ".status.completionTime", "When it was over.", type="date"),
        Column("Finished at", ".status.completionTime", "The same as a time.", is_wide=True),
        Column("Message", ".status.message", "The reason for people.", is_wide=True),
    ),
    selectable_fields=(".status.state", ".spec.flow.name"),
    rules=(
        _immutable("flow", _NEW_RUN),
        _immutable("flowSpec", _NEW_RUN, unless=_IS_STATUS_UPDATE),
        _immutable("params", _NEW_RUN),
        _immutable("retryOf", _NEW_RUN),
        Rule(
            "!has(oldSelf.spec.shutdown) || has(self.spec.shutdown) && "
            "(self.spec.shutdown == oldSelf.spec.shutdown || oldSelf.spec.shutdown == 'Drain' || "
            "self.spec.shutdown == 'Terminate')",
            "a shutdown can't be taken back: it only gets stronger, from Drain to Cancel to Terminate",
            ".spec.shutdown",
        ),
        Rule(
            "!has(oldSelf.spec.approvals) || has(self.spec.approvals) && "
            "oldSelf.spec.approvals.all(before, self.spec.approvals.exists(now, now == before))",
            "a decision about an approval can't be changed or taken back",
            ".spec.approvals",
        ),
    ),
)

SCHEDULE: Final = Kind(
    name="Schedule",
    plural="schedules",
    short_name="fs",
    description="Creates FlowRuns by the clock.",
    spec=ScheduleSpec,
    status=ScheduleStatus,
    max_name=MAX_SCHEDULE_NAME,
    why_max_name="its runs are named after it and their tick",
    columns=(
        Column("Cron", ".spec.cron", "When it is due, as far as cron says it."),
        Column("Zone", ".spec.timeZone", "The zone of its times; UTC if empty."),
        Column("Suspend", ".spec.suspend", "Whether it creates no runs.", type="boolean"),
        Column("Active", ".status.activeRuns", "Number of its runs that are not over.", type="integer"),
        Column("Last tick", ".status.lastTickTime", "The last tick for which a run was created.", type="date"),
        Column("Next tick", ".status.nextTickTimes[0]", "The next tick."),
        Column("Missed", ".status.missedTicks", "Number of ticks that got no run.", type="integer", is_wide=True),
        Column("Flow", ".spec.runTemplate.spec.flow.name", "The Flow that it runs.", is_wide=True),
        Column("Ready", _READY.path, "Whether it creates runs.", is_wide=True),
        Column("Last run", ".status.lastRun", "The last run that it created.", is_wide=True),
    ),
)

_NEW_BACKFILL = "create a new Backfill instead"
BACKFILL: Final = Kind(
    name="Backfill",
    plural="backfills",
    short_name="fb",
    description="Makes up a Schedule's past: a run for each of its ticks in a span of time. Deleting it cancels it.",
    spec=BackfillSpec,
    status=BackfillStatus,
    max_name=MAX_LABEL_VALUE,
    why_max_name="it becomes the value of a label",
    columns=(
        Column("Schedule", ".spec.schedule.name", "The Schedule whose past it makes up."),
        Column("From", ".spec.from", "The first time to make up.", is_wide=True),
        Column("To", ".spec.to", "The time to stop before.", is_wide=True),
        Column("State", ".status.state", "The state in one word."),
        Column("Progress", ".status.progress", "Ticks that are done with, of all."),
        Column("Running", ".status.counts.Running", "Its runs that are under way.", type="integer"),
        Column("Failed", ".status.counts.Failed", "Its runs that did not complete.", type="integer"),
        Column("Reason", ".status.reason", "Why it is in this state."),
        Column("Message", ".status.message", "The reason for people.", is_wide=True),
    ),
    selectable_fields=(".status.state", ".spec.schedule.name"),
    rules=tuple(_immutable(field, _NEW_BACKFILL) for field in ("schedule", "from", "to", "order", "reprocess")),
)

KINDS: Final = (FLOW, FLOWRUN, SCHEDULE, BACKFILL)
"""Every kind, in the order in which a user meets them."""
