"""The kinds of the API: their names, their models, what `kubectl get` shows, and the rules on whole objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penstock.api.backfill import BackfillSpec, BackfillStatus
from penstock.api.base import ApiModel
from penstock.api.flow import FlowSpec, FlowStatus
from penstock.api.flow_defaults import FlowDefaultsSpec, FlowDefaultsStatus
from penstock.api.flow_run import FlowRunSpec, FlowRunStatus
from penstock.api.marker import Rule
from penstock.api.names import GROUP
from penstock.api.schedule import ScheduleSpec, ScheduleStatus

MAX_LABEL_VALUE: Final = 63
"""Longest value of a label, by Kubernetes' rules."""
MAX_SCHEDULE_NAME: Final = 52
"""Leaves room for the tick that is appended to it, as for a CronJob."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`.

    Args:
        name: its heading.
        path: JSON path of the value in the object.
        description: what it shows.
        type: OpenAPI type. `date` shows the age; for a future time, which would show as `<invalid>`, use `string`.
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
        short_name: short name for the command line.
        description: what it is for.
        spec: what users write.
        status: what the operator writes.
        max_name: longest `metadata.name`.
        why_max_name: the reason for that limit, for the error message.
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
        """Name of the kind in lower case."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """Name of the resource with its group, which is also the name of its CRD."""
        return f"{self.plural}.{GROUP}"


def _record(deed: str) -> str:
    return rf".metadata.annotations.audit\.penstock\.dev/{deed}-by"


def _condition(condition: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


def _immutable(field: str, why: str, unless: str = "") -> Rule:
    """Make the rule that a field of the spec cannot be added, changed or removed.

    The rule is on the spec: the API server does not evaluate a rule on the field itself when the field is removed.
    Through `dyn` the rule also sees fields whose content has no schema.

    Args:
        field: the field.
        why: what to do instead.
        unless: a cheap CEL expression; if it is true, the fields are not compared.
    """
    now, before = f"dyn(self.spec).{field}", f"dyn(oldSelf.spec).{field}"
    spared = " || ".join(filter(None, (f"!has({now})", unless)))
    return Rule(
        f"has({now}) == has({before}) && ({spared} || {now} == {before})",
        f"{field} cannot be changed: {why}",
        f".spec.{field}",
    )


_IS_STATUS_UPDATE: Final = (
    "has(self.status) != has(oldSelf.status) || has(self.status) && "
    "(self.status.state != oldSelf.status.state || has(self.status.counts) != has(oldSelf.status.counts) || "
    "has(self.status.counts) && self.status.counts != oldSelf.status.counts)"
)
"""True for most writes to the status subresource, which cannot change the spec, and false for all other writes: before
those the API server restores the old status. Comparing an inline spec of 2,500 tasks takes longer than all the rest."""

_READY = Column("Ready", _condition("Ready", "status"), "Whether it can be used.")
_READY_REASON = Column("Reason", _condition("Ready", "reason"), "Why it can or cannot be used.")
_READY_MESSAGE = Column("Message", _condition("Ready", "message"), "Explanation for people.", is_wide=True)

FLOW: Final = Kind(
    name="Flow",
    plural="flows",
    short_name="fl",
    description="A graph of tasks with parameters. A FlowRun, created by a person or by a Schedule, runs it.",
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
        Column("Progress", ".status.progress", "Finished tasks out of all tasks."),
        Column(
            "Failed",
            ".status.failedTasks",
            "Number of tasks that are Failed, TimedOut, Cancelled or Crashed.",
            type="integer",
        ),
        Column("Failed task", ".status.failedTask", "The first task that is Failed, TimedOut or Crashed."),
        Column("Reason", ".status.reason", "Why it is in this state."),
        Column("Started at", ".status.startTime", "When its first task started, as a timestamp.", is_wide=True),
        Column("Finished", ".status.completionTime", "When it finished.", type="date"),
        Column("Finished at", ".status.completionTime", "When it finished, as a timestamp.", is_wide=True),
        Column("Retry of", ".spec.retryOf.name", "The run that it retries, whose Flow it runs.", is_wide=True),
        Column("Suspend", ".spec.suspend", "Whether it is to start nothing new.", type="boolean", is_wide=True),
        Column("Shutdown", ".spec.shutdown", "How it is to end early.", is_wide=True),
        Column("Counts", ".status.counts", "Number of tasks in each state.", is_wide=True),
        Column("By", _record("created"), "Who created it, as far as that is recorded.", is_wide=True),
        Column("Message", ".status.message", "Explanation of the state.", is_wide=True),
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
            "a shutdown cannot be revoked or weakened: Drain can become Cancel, and either can become Terminate",
            ".spec.shutdown",
        ),
        Rule(
            "!has(oldSelf.spec.approvals) || has(self.spec.approvals) && "
            "oldSelf.spec.approvals.all(before, self.spec.approvals.exists(now, now == before))",
            "a decision about an approval cannot be changed or removed",
            ".spec.approvals",
        ),
    ),
)

SCHEDULE: Final = Kind(
    name="Schedule",
    plural="schedules",
    short_name="fs",
    description="Creates FlowRuns by the clock and by events.",
    spec=ScheduleSpec,
    status=ScheduleStatus,
    max_name=MAX_SCHEDULE_NAME,
    why_max_name="its runs are named after it and their tick",
    columns=(
        Column("Cron", ".spec.cron", "Its cron expressions."),
        Column("Event", ".spec.events[0].name", "The first of its events."),
        Column("Zone", ".spec.timeZone", "Its time zone; UTC if empty."),
        Column("Suspend", ".spec.suspend", "Whether it is suspended.", type="boolean"),
        Column("Active", ".status.activeRuns", "Number of its active runs.", type="integer"),
        Column("Last tick", ".status.lastTickTime", "The last tick for which a run was created.", type="date"),
        Column("Next tick", ".status.nextTickTimes[0]", "The next tick."),
        Column("Last success", ".status.lastSuccessTime", "When one of its runs last completed.", type="date"),
        Column("Ready", _READY.path, "Whether it creates runs."),
        Column("Listening", _condition("Listening", "status"), "Whether its events are being watched.", is_wide=True),
        Column("Missed", ".status.missedTicks", "Number of ticks that got no run.", type="integer", is_wide=True),
        Column("Flow", ".spec.runTemplate.spec.flow.name", "The Flow that it runs.", is_wide=True),
        Column("Last run", ".status.lastRun", "The last run that it created.", is_wide=True),
        Column("Changed by", _record("changed"), "Who changed it last, as far as that is recorded.", is_wide=True),
    ),
)

_NEW_BACKFILL = "create a new Backfill instead"
BACKFILL: Final = Kind(
    name="Backfill",
    plural="backfills",
    short_name="fb",
    description="Runs a Schedule for a past period: one run for each of its ticks. Deleting the Backfill cancels it.",
    spec=BackfillSpec,
    status=BackfillStatus,
    max_name=MAX_LABEL_VALUE,
    why_max_name="it becomes the value of a label",
    columns=(
        Column("Schedule", ".spec.schedule.name", "The Schedule that it runs."),
        Column("By", _record("created"), "Who created it, as far as that is recorded.", is_wide=True),
        Column("From", ".spec.from", "Start of the period, inclusive.", is_wide=True),
        Column("To", ".spec.to", "End of the period, exclusive.", is_wide=True),
        Column("State", ".status.state", "The state in one word."),
        Column("Progress", ".status.progress", "Finished ticks out of all ticks."),
        Column("Running", ".status.counts.Running", "Number of its active runs.", type="integer"),
        Column("Failed", ".status.counts.Failed", "Number of its runs that did not complete.", type="integer"),
        Column("Reason", ".status.reason", "Why it is in this state."),
        Column("Message", ".status.message", "Explanation of the state.", is_wide=True),
    ),
    selectable_fields=(".status.state", ".spec.schedule.name"),
    rules=tuple(_immutable(field, _NEW_BACKFILL) for field in ("schedule", "from", "to", "order", "reprocess")),
)

FLOW_DEFAULTS: Final = Kind(
    name="FlowDefaults",
    plural="flowdefaults",
    short_name="fd",
    description="What the Flows of a namespace have unless they say otherwise. Only the one named `default` counts.",
    spec=FlowDefaultsSpec,
    status=FlowDefaultsStatus,
    max_name=MAX_LABEL_VALUE,
    why_max_name="no other name than default has an effect",
    columns=(_READY, _READY_REASON, _READY_MESSAGE),
)

KINDS: Final = (FLOW, FLOWRUN, SCHEDULE, BACKFILL, FLOW_DEFAULTS)
"""Every kind, in the order in which a user meets them."""
