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
    QUEUE_TIMEOUT = "QueueTimeout"
    TASK_DEADLINE_EXCEEDED = "TaskDeadlineExceeded"
    RUN_TIMED_OUT = "RunTimedOut"
    FINALLY_TIMED_OUT = "FinallyTimedOut"
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
    WORKSPACE_UNBOUND = "WorkspaceUnbound"
    QUOTA_EXCEEDED = "QuotaExceeded"
    ADMISSION_QUEUE = "AdmissionQueue"
    CREATE_REFUSED = "CreateRefused"
    UPSTREAM_FAILED = "UpstreamFailed"
    UPSTREAM_SKIPPED = "UpstreamSkipped"
    STATES_NOT_MET = "StatesNotMet"
    CONDITION_FALSE = "ConditionFalse"
    NO_ITEMS = "NoItems"
    ITEMS_FAILED = "ItemsFailed"
    OUTPUTS_DROPPED = "OutputsDropped"
    RUN_STOPPING = "RunStopping"
    RUN_DRAINED = "RunDrained"
    RUN_CANCELLED = "RunCancelled"
    RUN_TERMINATED = "RunTerminated"
    RUN_REPLACED = "RunReplaced"
    PARENT_ENDED = "ParentEnded"
    EXPRESSION_ERROR = "ExpressionError"
    AWAITING_APPROVAL = "AwaitingApproval"
    REJECTED = "Rejected"
    APPROVAL_TIMEOUT = "ApprovalTimeout"
    CACHE_BUSY = "CacheBusy"
    CHILD_FAILED = "ChildFailed"
    CHILD_DELETED = "ChildDeleted"
    TOO_DEEP = "TooDeep"
    TASK_FAILED = "TaskFailed"
    SUSPENDED = "Suspended"
    NOT_DUE = "NotDue"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    FLOW_NOT_FOUND = "FlowNotFound"
    RETRY_OF_UNFINISHED = "RetryOfUnfinished"
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
    Reason.QUEUE_TIMEOUT: ReasonText(
        "The attempt waited longer than the task's queueTimeout for its container to start; nobody says why.",
        "Look at the Pod's Events; raise queueTimeout if the cluster is merely busy.",
        "limit",
    ),
    Reason.TASK_DEADLINE_EXCEEDED: ReasonText(
        "All attempts together took longer than the task's deadline.",
        "Raise deadline, or see why the attempts before failed.",
        "none left",
    ),
    Reason.FINALLY_TIMED_OUT: ReasonText(
        "The finally tasks together took longer than finallyTimeout; what still ran was stopped.",
        "Raise finallyTimeout, or find out what they wait for.",
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
        "The image can't be pulled, so the container waits, at most for the task's queueTimeout.",
        "Check the image's name, that the registry answers, and imagePullSecrets.",
        "limit",
    ),
    Reason.UNSCHEDULABLE: ReasonText(
        "No node takes the Pod, so it waits, at most for the task's queueTimeout.",
        "Read the message: it says what nodes lack. Lower the requests, or add nodes.",
        "limit",
    ),
    Reason.WORKSPACE_UNBOUND: ReasonText(
        "The run's workspace has no volume, so its Pods wait, at most for the task's queueTimeout.",
        "Name a storageClassName whose provisioner works here, make a default storage class, or provide a volume.",
        "limit",
    ),
    Reason.CONTAINER_CONFIG_ERROR: ReasonText(
        "The container can't be made, mostly because a Secret or ConfigMap that it names does not exist; it waits, at "
        "most for the task's queueTimeout.",
        "Create what the message names, or correct the task.",
        "limit",
    ),
    Reason.QUOTA_EXCEEDED: ReasonText(
        "The namespace's ResourceQuota has no room for the Pod, so the task is Queued, at most for its queueTimeout.",
        "Nothing if other Pods will end; else raise the quota or lower the requests.",
        "limit",
    ),
    Reason.ADMISSION_QUEUE: ReasonText(
        "The task's Job is suspended, or its child run waits for a concurrency limit, so the task is Queued.",
        "Nothing if the queue moves; else look at the queue that the Job's label names, or at the runs in front.",
        "limit",
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
    Reason.STATES_NOT_MET: ReasonText(
        "A task named in dependsOnStates ended in another state than those asked for.",
        "Nothing if that is what the flow means; the message names the task and its state.",
    ),
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
    Reason.RUN_DRAINED: ReasonText(
        "The run is being drained by shutdown: Drain, so nothing new starts.", "Nothing; start another run."
    ),
    Reason.RUN_CANCELLED: ReasonText(
        "The run was cancelled by shutdown: Cancel; what ran was stopped.", "Nothing; start another run, or retry it."
    ),
    Reason.RUN_TERMINATED: ReasonText(
        "The run was terminated by shutdown: Terminate; everything was stopped, finally tasks too.",
        "Nothing; start another run, or retry it.",
    ),
    Reason.RUN_REPLACED: ReasonText(
        "A newer run took this one's place: the Flow's concurrency says Replace.",
        "Nothing; see the run in the message.",
    ),
    Reason.PARENT_ENDED: ReasonText(
        "The run is a child whose parent stopped its task.", "See the parent run, which the message names."
    ),
    Reason.EXPRESSION_ERROR: ReasonText(
        "The value of an expression can't be had.", "Read the message: it names the path and what exists there."
    ),
    Reason.AWAITING_APPROVAL: ReasonText(
        "The task waits for a person's decision.",
        "Decide: `penstock approve RUN TASK` or `penstock reject RUN TASK`, or add to spec.approvals.",
    ),
    Reason.REJECTED: ReasonText(
        "A person rejected the approval.", "Read the comment in the message; start another run once it is settled."
    ),
    Reason.APPROVAL_TIMEOUT: ReasonText(
        "Nobody decided within the approval's timeout.", "Raise approval.timeout, or tell those who decide."
    ),
    Reason.CACHE_BUSY: ReasonText(
        "Another run runs the same task with the same cache key just now; this one waits to reuse its outputs.",
        "Nothing; the message names the run.",
    ),
    Reason.CHILD_FAILED: ReasonText(
        "The child run did not end well.", "See the child run, which the message names.", "limit"
    ),
    Reason.CHILD_DELETED: ReasonText(
        "The child run was deleted before it was over.", "Find out who deleted it; run the flow again.", "limit"
    ),
    Reason.TOO_DEEP: ReasonText(
        "Child runs are nested deeper than 8 levels.",
        "Look for a flow that runs itself without an end; the message names the flows.",
    ),
    Reason.TASK_FAILED: ReasonText("A task failed, and so did the run.", "See the task that the message names."),
    Reason.SUSPENDED: ReasonText(
        "The run is suspended: nothing new starts.", "Set spec.suspend to false: `penstock resume RUN`."
    ),
    Reason.NOT_DUE: ReasonText(
        "The run's scheduledTime is in the future.", "Nothing; it starts by itself at the time in the message."
    ),
    Reason.CONCURRENCY_LIMIT: ReasonText(
        "As many runs go on as the Flow's concurrency allows; this one waits, or is Skipped if onLimit says so.",
        "Nothing, or raise concurrency.limit; the message says which runs are in front.",
    ),
    Reason.RETRY_OF_UNFINISHED: ReasonText(
        "The run that retryOf names is not over yet; this one waits for its end.", "Nothing, or cancel that run."
    ),
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
