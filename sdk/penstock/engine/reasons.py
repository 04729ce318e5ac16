"""The fixed vocabulary of reasons, each with its meaning and what to do about it.

The API reference is generated from this table, and `penstock explain` prints it.
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
    MOUNT_FAILED = "MountFailed"
    SANDBOX_FAILED = "SandboxFailed"
    SIDECAR_FAILED = "SidecarFailed"
    WORKSPACE_UNBOUND = "WorkspaceUnbound"
    CLAIM_UNBOUND = "ClaimUnbound"
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
    DECISION_NOT_PROVED = "DecisionNotProved"
    CACHE_BUSY = "CacheBusy"
    CHILD_FAILED = "ChildFailed"
    CHILD_DELETED = "ChildDeleted"
    CHILD_SKIPPED = "ChildSkipped"
    TOO_DEEP = "TooDeep"
    TASK_FAILED = "TaskFailed"
    SUSPENDED = "Suspended"
    SUSPENDING = "Suspending"
    DRAINING = "Draining"
    CANCELLING = "Cancelling"
    TERMINATING = "Terminating"
    NOT_DUE = "NotDue"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    FLOW_NOT_FOUND = "FlowNotFound"
    RETRY_OF_UNFINISHED = "RetryOfUnfinished"
    INVALID_SPEC = "InvalidSpec"
    INVALID_PARAMS = "InvalidParams"
    INVALID_STATUS = "InvalidStatus"
    INTERNAL_ERROR = "InternalError"


class ReasonText(NamedTuple):
    """What a reason means, and what to do."""

    meaning: str
    advice: str
    budget: str = ""
    """The retry budget that such a failure counts against: `limit`, `infrastructure`, or none."""


NO_ACTION: Final = "No action is needed."


REASONS: Final[dict[Reason, ReasonText]] = {
    Reason.EXIT_CODE: ReasonText(
        "The container exited with a non-zero exit code.",
        "Read its log; the message shows the end of it. If the failure is transient, set `retry.limit`.",
        "limit",
    ),
    Reason.OOM_KILLED: ReasonText(
        "The container exceeded its memory limit and was killed.",
        "Raise `resources.limits.memory` of the task, or reduce its memory use.",
        "limit",
    ),
    Reason.DEADLINE_EXCEEDED: ReasonText(
        "The attempt ran longer than the task's timeout and was stopped.",
        "Raise `timeout`, or find out what the task waits for.",
        "limit",
    ),
    Reason.QUEUE_TIMEOUT: ReasonText(
        "The container did not start within the task's queueTimeout; no cause was reported.",
        "Check the Pod's Events. If the cluster is only busy, raise `queueTimeout`.",
        "limit",
    ),
    Reason.TASK_DEADLINE_EXCEEDED: ReasonText(
        "All attempts together took longer than the task's deadline.",
        "Raise `deadline`, or find out why the earlier attempts failed.",
        "none left",
    ),
    Reason.FINALLY_TIMED_OUT: ReasonText(
        "The finally tasks together took longer than finallyTimeout; those still running were stopped.",
        "Raise `finallyTimeout`, or find out what they wait for.",
    ),
    Reason.RUN_TIMED_OUT: ReasonText(
        "The run took longer than its timeout; tasks still running were stopped.",
        "Raise `timeout` of the Flow or of the run.",
    ),
    Reason.START_ERROR: ReasonText(
        "The container runtime could not start the container: command not found, wrong interpreter, or no permission.",
        "Check `command` and the first line of `script`: the image must contain what they name.",
        "limit",
    ),
    Reason.INVALID_OUTPUTS: ReasonText(
        "What the task wrote to $PENSTOCK_OUTPUTS is not a JSON object, or is too long.",
        "Write one JSON object within the limit that the message names. Pass larger data by reference.",
        "limit",
    ),
    Reason.EVICTED: ReasonText(
        "The node or the Eviction API evicted the Pod.",
        "No action is needed if it is rare: the task is retried. Otherwise check the node's pressure and the Pod's "
        "requests.",
        "infrastructure",
    ),
    Reason.PREEMPTED: ReasonText(
        "The scheduler removed the Pod in favor of one with a higher priority.",
        "Set a priorityClassName by `podTemplate`, or add capacity.",
        "infrastructure",
    ),
    Reason.NODE_LOST: ReasonText(
        "The Pod's node disappeared or stopped responding.",
        "Check the node. The task is retried on another one.",
        "infrastructure",
    ),
    Reason.NODE_REFUSED: ReasonText(
        "The node rejected the Pod, or was shutting down.",
        "Read the message and check the node. The task is retried.",
        "infrastructure",
    ),
    Reason.POD_DELETED: ReasonText(
        "The task's Pod was deleted by a person or another program.",
        "Find out what deletes Pods. The task is retried. To stop a run, delete or cancel the FlowRun.",
        "infrastructure",
    ),
    Reason.IMAGE_PULL_FAILED: ReasonText(
        "The image cannot be pulled. The container waits, at most for the task's queueTimeout.",
        "Check the image's name, that the registry responds, and `imagePullSecrets`.",
        "limit",
    ),
    Reason.UNSCHEDULABLE: ReasonText(
        "No node can run the Pod. It waits, at most for the task's queueTimeout.",
        "Read the message: it says what the nodes lack. Lower the requests, or add nodes.",
        "limit",
    ),
    Reason.WORKSPACE_UNBOUND: ReasonText(
        "The run's workspace has no volume. Its Pods wait, at most for the task's queueTimeout.",
        "Set a `storageClassName` that works in this cluster, define a default storage class, or provide a volume.",
        "limit",
    ),
    Reason.CLAIM_UNBOUND: ReasonText(
        "A PersistentVolumeClaim that the Pod names does not exist or has no volume. The Pod waits, at most for the "
        "task's queueTimeout.",
        "Create the claim that the message names, or check its storage class: `kubectl describe pvc` says what it "
        "waits for.",
        "limit",
    ),
    Reason.MOUNT_FAILED: ReasonText(
        "A volume cannot be mounted, usually because a Secret or ConfigMap that it names does not exist. The "
        "container waits, at most for the task's queueTimeout.",
        "Create what the message names, or correct the task. The kubelet tries again after at most 2 minutes.",
        "limit",
    ),
    Reason.SANDBOX_FAILED: ReasonText(
        "The node cannot set up the Pod's sandbox, usually its network. The container waits, at most for the task's "
        "queueTimeout.",
        "Read the message, and check the node's network plugin and container runtime.",
        "limit",
    ),
    Reason.SIDECAR_FAILED: ReasonText(
        "A sidecar that must start before the task's container exits again and again. The container waits, at most for "
        "the task's queueTimeout.",
        "Read the log of the sidecar that the message names: `kubectl logs POD -c SIDECAR`.",
        "limit",
    ),
    Reason.CONTAINER_CONFIG_ERROR: ReasonText(
        "The container cannot be created, usually because a Secret or ConfigMap that it names does not exist. It "
        "waits, at most for the task's queueTimeout.",
        "Create what the message names, or correct the task.",
        "limit",
    ),
    Reason.QUOTA_EXCEEDED: ReasonText(
        "The Pod does not fit into the namespace's ResourceQuota. The task is Queued, at most for its queueTimeout.",
        "No action is needed if other Pods will finish. Otherwise raise the quota or lower the requests.",
        "limit",
    ),
    Reason.ADMISSION_QUEUE: ReasonText(
        "The task is Queued: its Job is suspended, or its child run waits for a concurrency limit.",
        "No action is needed if the queue makes progress. Otherwise check the queue that the Job's label names, or the "
        "runs ahead.",
        "limit",
    ),
    Reason.CREATE_REFUSED: ReasonText(
        "The API server rejected the Pod.",
        "Read the API server's message, then correct the task or the policy that rejected it.",
        "limit",
    ),
    Reason.UPSTREAM_FAILED: ReasonText(
        "A task that this one depends on did not complete.", "Check that task; the message names it."
    ),
    Reason.UPSTREAM_SKIPPED: ReasonText(
        "A task that this one depends on was skipped.", "Check that task; the message names it."
    ),
    Reason.STATES_NOT_MET: ReasonText(
        "A task in dependsOnStates finished in a state that is not listed there.",
        "No action is needed if the flow intends this. The message names the task and its state.",
    ),
    Reason.CONDITION_FALSE: ReasonText(
        "The task's `when` is false.", "No action is needed. The message shows the values that were compared."
    ),
    Reason.NO_ITEMS: ReasonText("The task's forEach has no items.", NO_ACTION),
    Reason.ITEMS_FAILED: ReasonText(
        "Some items of the fan-out did not complete.",
        "The most recent failures are in `items.failed` of the task in the run's status.",
    ),
    Reason.OUTPUTS_DROPPED: ReasonText(
        "The outputs of the items are too large to collect; the task succeeded.",
        "Write the items' outputs to a file or bucket and pass references, or make them smaller.",
    ),
    Reason.RUN_STOPPING: ReasonText(
        "The task did not start because another one had failed.", "Check the task that the message names."
    ),
    Reason.RUN_DRAINED: ReasonText(
        "The run is draining (`shutdown: Drain`): nothing new starts.",
        "No action is needed. To run the rest, retry the run.",
    ),
    Reason.RUN_CANCELLED: ReasonText(
        "The run was cancelled (`shutdown: Cancel`); running tasks were stopped.",
        "No action is needed. To run the rest, retry the run.",
    ),
    Reason.RUN_TERMINATED: ReasonText(
        "The run was terminated (`shutdown: Terminate`); all tasks were stopped, finally tasks included.",
        "No action is needed. To run the rest, retry the run.",
    ),
    Reason.RUN_REPLACED: ReasonText(
        "A newer run replaced this one: the Flow's concurrency says `onLimit: Replace`, or its Schedule `onOverlap: "
        "Replace`.",
        "No action is needed. The message names the newer run.",
    ),
    Reason.PARENT_ENDED: ReasonText(
        "This is a child run, and its parent stopped it.", "Check the parent run, which the message names."
    ),
    Reason.EXPRESSION_ERROR: ReasonText(
        "An expression could not be evaluated.", "Read the message: it names the path and what exists there."
    ),
    Reason.AWAITING_APPROVAL: ReasonText(
        "The task waits for an approval.",
        "Run `penstock approve RUN TASK` or `penstock reject RUN TASK`, or add to `spec.approvals`.",
    ),
    Reason.REJECTED: ReasonText(
        "The approval was rejected.", "Read the comment in the message. Start another run when the cause is resolved."
    ),
    Reason.DECISION_NOT_PROVED: ReasonText(
        "The approval was decided, but not provably by one of its approvers, so the task waits on.",
        "Decisions cannot be changed: cancel the run, retry it, and have one of the approvers decide. If none is ever "
        "proved, install the chart with webhook.enabled and admissionPolicy.enabled.",
    ),
    Reason.APPROVAL_TIMEOUT: ReasonText(
        "The approval was not decided within its timeout.",
        "Raise `approval.timeout`, or notify the people who decide.",
    ),
    Reason.CACHE_BUSY: ReasonText(
        "Another run is running the same task with the same cache key; this task waits to reuse its outputs.",
        "No action is needed. The message names the other run.",
    ),
    Reason.CHILD_FAILED: ReasonText(
        "The child run did not complete.", "Check the child run, which the message names.", "limit"
    ),
    Reason.CHILD_DELETED: ReasonText(
        "The child run was deleted before it had finished.", "Find out what deleted it, then retry the run.", "limit"
    ),
    Reason.CHILD_SKIPPED: ReasonText(
        "The child run was skipped by the concurrency limit of its Flow: nothing has run. A run is Skipped for this "
        "reason if all its tasks are Skipped.",
        "Retry the run when others have finished, or set `onLimit: Queue` in the child's Flow.",
    ),
    Reason.TOO_DEEP: ReasonText(
        "Child runs are nested more than 8 levels deep.",
        "Check whether a flow calls itself (infinite recursion); the message names the flows.",
    ),
    Reason.TASK_FAILED: ReasonText(
        "A task failed, so the run failed.", "Read the message, or run `penstock logs RUN --task TASK`."
    ),
    Reason.SUSPENDED: ReasonText(
        "The run is suspended: nothing new starts.", "Run `penstock resume RUN`, or set `spec.suspend` to false."
    ),
    Reason.SUSPENDING: ReasonText(
        "The run is being suspended: nothing new starts, and what runs continues.",
        "Wait until it is Suspended, or run `penstock resume RUN`.",
    ),
    Reason.DRAINING: ReasonText(
        "The run is being drained: nothing new starts, what runs continues, then finally tasks run.",
        "Wait, or run `penstock cancel RUN`.",
    ),
    Reason.CANCELLING: ReasonText(
        "The run is being cancelled: what runs is being stopped, then finally tasks run.",
        "Wait, or run `penstock cancel RUN --now`.",
    ),
    Reason.TERMINATING: ReasonText(
        "The run is being terminated: everything is being stopped.",
        "Wait. If a Pod does not end, check its node.",
    ),
    Reason.NOT_DUE: ReasonText(
        "The run's scheduledTime is in the future.", "No action is needed. It starts at the time in the message."
    ),
    Reason.CONCURRENCY_LIMIT: ReasonText(
        "The Flow's concurrency limit is reached. The run waits, or is Skipped with `onLimit: Skip`.",
        "Wait, or raise `concurrency.limit`. The message names the active runs. A run that was skipped can be retried.",
    ),
    Reason.RETRY_OF_UNFINISHED: ReasonText(
        "The run named in retryOf has not finished; this one waits for it.", "Wait, or cancel that run."
    ),
    Reason.FLOW_NOT_FOUND: ReasonText(
        "The Flow that the run names does not exist. The run waits for it.", "Create the Flow, or delete the run."
    ),
    Reason.INVALID_SPEC: ReasonText(
        "The spec is invalid.",
        "Correct every field that the message names. The spec of a run cannot be changed: create a new run.",
    ),
    Reason.INTERNAL_ERROR: ReasonText(
        "The operator failed unexpectedly while it worked on this object. It retries the object after a "
        "growing pause, at most 5 minutes. Other objects are not affected.",
        "Report the message and the operator's log as a bug. After an edit of the object, or of the Flow that a run "
        "names, the operator retries at once.",
    ),
    Reason.INVALID_PARAMS: ReasonText(
        "The run's params do not match those that the Flow declares.",
        "Create a new run with the params that the message asks for.",
    ),
    Reason.INVALID_STATUS: ReasonText(
        "The operator cannot read the run's status: another program, or a newer version of Penstock, wrote it.",
        "Create a new run. If Penstock was downgraded, upgrade it first.",
    ),
}
