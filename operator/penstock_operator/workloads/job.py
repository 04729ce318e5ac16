"""The Job of an attempt, built around its Pod: for clusters whose policy or queueing (Kueue) works on Jobs. Pure."""

from __future__ import annotations

from typing import Any, Final

from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.workloads.pod import backstop_s

QUEUE_NAME_LABEL: Final = "kueue.x-k8s.io/queue-name"
"""https://kueue.sigs.k8s.io/docs/tasks/run/jobs/: on the Job, where the podTemplate's labels are put as well."""


def build_job(pod: dict[str, Any], *, deadline_s: int | None) -> dict[str, Any]:
    """Build the Job of an attempt.

    Args:
        pod: the Pod as `build_pod` gives it.
        deadline_s: most seconds from the Job's start to its end; None: no limit but the Pod's.

    Returns:
        A Job with the Pod's name, labels and owner that creates this Pod once. Only the engine retries: the end of the
        Pod is the end of the Job, and a Pod that is being deleted is not replaced before it has finished
        (https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-replacement-policy). It has no time to live:
        it is deleted with its run.
    """
    metadata = pod["metadata"]
    template = {field: metadata[field] for field in ("labels", "annotations", "finalizers") if field in metadata}
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "template": {"metadata": template, "spec": pod["spec"]},
    }
    if deadline_s is not None:
        spec["activeDeadlineSeconds"] = deadline_s
    own = {field: value for field, value in metadata.items() if field != "finalizers"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": own, "spec": spec}


def job_deadline_s(task: TaskPlan) -> int | None:
    """Return after how many seconds Kubernetes ends an attempt's Job while no operator runs; None: never.

    The deadline of a Job counts from its start, not from when its Pod gets a node. Without a limit of that wait, the
    wait would count towards the task's timeout: then the Job has no deadline, and only the Pod's own applies.
    """
    return backstop_s(task) if task.queue_timeout_s is not None else None
