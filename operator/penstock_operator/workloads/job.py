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
        A Job of the Pod's name, labels and owner that makes this Pod once. Nobody but the engine tries again: what ends
        the Pod ends the Job, and a Pod that is being deleted is not replaced before it is over
        (https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-replacement-policy). It has no time to live:
        it goes with its run.
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
    """Return after how many seconds an attempt's Job is ended though nobody watches it; None: never.

    A Job's clock starts with the Job, not with its Pod's node: without a limit of that wait it would count it to the
    task's timeout. Then the Pod's own clock is all there is.
    """
    return backstop_s(task) if task.queue_timeout_s is not None else None
