"""The fixed vocabulary of reasons, each with its meaning and what to do about it.

The API reference and the troubleshooting page are made from this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Reason(StrEnum):
    """Why a task or run is in its state."""

    EXIT_CODE = "ExitCode"
    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    RUN_TIMED_OUT = "RunTimedOut"
    START_ERROR = "StartError"
    INVALID_OUTPUTS = "InvalidOutputs"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    NODE_REFUSED = "NodeRefused"
    POD_DELETED = "PodDeleted"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CREATE_REFUSED = "CreateRefused"
    UPSTREAM_FAILED = "UpstreamFailed"
    UPSTREAM_SKIPPED = "UpstreamSkipped"
    CONDITION_FALSE = "ConditionFalse"
    NO_ITEMS = "NoItems"
    ITEMS_FAILED = "ItemsFailed"
    OUTPUTS_DROPPED = "OutputsDropped"
    RUN_STOPPING = "RunStopping"
    EXPRESSION_ERROR = "ExpressionError"
    TASK_FAILED = "TaskFailed"
    FLOW_NOT_FOUND = "FlowNotFound"
    INVALID_SPEC = "InvalidSpec"
    INVALID_PARAMS = "InvalidParams"
    INVALID_STATUS = "InvalidStatus"


class ReasonText(NamedTuple):
    """What a reason means, and what to do."""

    meaning: str
    advice: str
    budget: str = ""
    """Which budget an attempt that ends so is charged to: `limit`, `infrastructure`, or none."""


REASONS: Final[dict[Reason, ReasonText]] = {
    Reason.EXIT_CODE: ReasonText(
        "The container ended with a non-zero exit code.",
        "Read the message (the end of its log) and its log; give retry.limit if the failure is passing.",
        "limit",
    ),
    Reason.OOM_KILLED: ReasonText(
        "The container used more memory than its limit and was killed.",
        "Raise resources.limits.memory of the task, or make it use less.",
        "limit",
    ),
    Reason.DEADLINE_EXCEEDED: ReasonText(
        "The attempt took longer than the task's timeout and was stopped.",
        "Raise timeout, or find out what the task waits for.",
        "limit",
    ),
    Reason.RUN_TIMED_OUT: ReasonText(
        "The run took longer than its timeout; what still ran was stopped.",
        "Raise the Flow's or the run's timeout.",
    ),
    Reason.START_ERROR: ReasonText(
        "The container runtime could not start the container: no such command, wrong interpreter, no permission.",
        "Check command, the first line of script, and that the image has what they name.",
        "limit",
    ),
    Reason.INVALID_OUTPUTS: ReasonText(
        "What the task wrote to $PENSTOCK_OUTPUTS is no JSON object, or is too long.",
        "Write one JSON object within the limit that the message names; pass larger data by reference.",
        "limit",
    ),
    Reason.EVICTED: ReasonText(
        "The node or the Eviction API evicted the Pod.",
        "Nothing if it is rare: the task is tried again. Else look at the node's pressure and the Pod's requests.",
        "infrastructure",
    ),
    Reason.PREEMPTED: ReasonText(
        "The scheduler removed the Pod for one of higher priority.",
        "Give the task a priorityClassName by podTemplate, or add capacity.",
        "infrastructure",
    ),
    Reason.NODE_LOST: ReasonText(
        "The Pod's node went away or stopped answering.",
        "Look at the node; the task is tried again elsewhere.",
        "infrastructure",
    ),
    Reason.NODE_REFUSED: ReasonText(
        "The node refused the Pod, or was shutting down.",
        "Look at the message and at the node; the task is tried again.",
        "infrastructure",
    ),
    Reason.POD_DELETED: ReasonText(
        "Somebody deleted the task's Pod.",
        "Find out who; the task is tried again. To stop a run, delete the FlowRun.",
        "infrastructure",
    ),
    Reason.IMAGE_PULL_FAILED: ReasonText(
        "The image can't be pulled, so the container waits.",
        "Check the image's name, that the registry answers, and imagePullSecrets.",
    ),
    Reason.UNSCHEDULABLE: ReasonText(
        "No node takes the Pod, so it waits.",
        "Read the message: it says what nodes lack. Lower the requests, or add nodes.",
    ),
    Reason.CONTAINER_CONFIG_ERROR: ReasonText(
        "The container can't be made, mostly because a Secret or ConfigMap that it names does not exist; it waits.",
        "Create what the message names, or correct the task.",
    ),
    Reason.QUOTA_EXCEEDED: ReasonText(
        "The namespace's ResourceQuota has no room for the Pod, so the task is Queued.",
        "Nothing if other Pods will end; else raise the quota or lower the requests.",
    ),
    Reason.CREATE_REFUSED: ReasonText(
        "The API server refused the Pod.",
        "Read the message: it is the API server's own; correct the task or the policy that refused it.",
        "limit",
    ),
    Reason.UPSTREAM_FAILED: ReasonText(
        "A task that this one depends on did not complete.", "See that task; the message names it."
    ),
    Reason.UPSTREAM_SKIPPED: ReasonText("A task that this one depends on was skipped.", "See that task."),
    Reason.CONDITION_FALSE: ReasonText(
        "The task's when is false.", "Nothing; the message shows the values that it saw."
    ),
    Reason.NO_ITEMS: ReasonText("The task's forEach has no items.", "Nothing."),
    Reason.ITEMS_FAILED: ReasonText(
        "Some items of the fan-out did not complete.", "See items.failed for the last of them."
    ),
    Reason.OUTPUTS_DROPPED: ReasonText(
        "The outputs of a fan-out's items are too many to gather; the task itself is well.",
        "Write the items' outputs elsewhere and pass references, or make them smaller.",
    ),
    Reason.RUN_STOPPING: ReasonText(
        "The task did not start because another one had failed.", "See the task that the message names."
    ),
    Reason.EXPRESSION_ERROR: ReasonText(
        "The value of an expression can't be had.", "Read the message: it names the path and what exists there."
    ),
    Reason.TASK_FAILED: ReasonText("A task failed, and so did the run.", "See the task that the message names."),
    Reason.FLOW_NOT_FOUND: ReasonText(
        "The Flow that the run names does not exist; the run waits for it.", "Create the Flow, or delete the run."
    ),
    Reason.INVALID_SPEC: ReasonText(
        "The spec can't work.", "Correct every field that the message names; a run's spec needs a new run."
    ),
    Reason.INVALID_PARAMS: ReasonText(
        "The run's params do not fit the Flow's.", "Create a new run with params as the message says."
    ),
}
