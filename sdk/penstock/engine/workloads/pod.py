"""The Pod of an attempt, built from the plan. Pure, so that it can be tested without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api import names
from penstock.engine.compiler.task_plan import OUTPUTS_PATH, TaskPlan
from penstock.engine.keys import RunIdentity
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs
from penstock.engine.machine.tasks.attempt_deadlines import DEFAULT_QUEUE_TIMEOUTS_S
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.timestamp import rfc3339
from penstock.engine.workloads.counters import write_counters
from penstock.engine.workloads.outputs import TEXT_OUTPUTS
from penstock.engine.workloads.owner_reference import run_owner
from penstock.engine.workloads.strategic_merge import strategic_merge
from penstock.engine.workloads.workspace import Mount, affinity_of, mount_workspace

SCRIPT_DIRECTORY: Final = "/penstock"
SCRIPT_PATH: Final = f"{SCRIPT_DIRECTORY}/script"
SCRIPT_VOLUME: Final = "penstock-script"
DEFAULT_INTERPRETER: Final = "#!/bin/sh\n"
EXECUTABLE: Final = 0o555
UNBUFFERED: Final = {"name": "PYTHONUNBUFFERED", "value": "1"}
"""Else Python writes what a task printed before an error after the error, or not at all."""
ON_NODE_QUEUE_TIMEOUT_S: Final = DEFAULT_QUEUE_TIMEOUTS_S[Reason.IMAGE_PULL_FAILED]
BACKSTOP_S: Final = 300
"""How much longer than its timeouts a Pod may live when no operator watches it."""


class PodSettings(NamedTuple):
    """The settings of the installation for all task Pods."""

    user: int
    """runAsUser of task Pods."""
    is_tracked: bool
    """Whether Pods carry the tracking finalizer."""


def script_key(task: str) -> str:
    """Return the key of a task's script in its revision."""
    return f"script.{task}"


def executable_script(script: str) -> str:
    """Return a script with an interpreter: a shell, if it names none."""
    return script if script.startswith("#!") else DEFAULT_INTERPRETER + script


def build_pod(
    create: CreateAttempt,
    task: TaskPlan,
    run: RunIdentity,
    *,
    flow: str | None,
    revision: str | None,
    settings: PodSettings,
    workspace: Mount | None = None,
) -> dict[str, Any]:
    """Build the Pod of an attempt.

    Args:
        create: which attempt, with its arguments and environment.
        task: the compiled task.
        run: the run, which owns the Pod.
        flow: name of the Flow; None for an inline spec.
        revision: ConfigMap with the scripts.
        settings: of the installation.
        workspace: the run's, if it has one.

    Returns:
        A Pod under the `restricted` Pod Security Standard
        (https://kubernetes.io/docs/concepts/security/pod-security-standards/) unless its podTemplate says otherwise.
    """
    inputs = create.inputs
    assert isinstance(inputs, ContainerInputs)
    pod: dict[str, Any] = {"metadata": {}, "spec": _spec(inputs, task, revision, settings)}
    if workspace is not None:
        _share_workspace(pod["spec"], workspace, run, settings)
    for template in inputs.pod_templates:
        # Where all that was below a field is commented out, YAML has null: nothing is to be deleted.
        pod = strategic_merge(pod, {field: part for field, part in template.items() if part is not None})
    pod = strategic_merge(pod, {"spec": _task_fields(inputs, task)})
    if workspace is not None:
        mount_workspace(pod, workspace)
    _set_own_fields(pod, create, task, run, flow, settings)
    if workspace is not None:
        pod["metadata"]["annotations"][names.ANNOTATION_WORKSPACE] = workspace.claim
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def backstop_s(task: TaskPlan) -> int | None:
    """Return after how many seconds the kubelet ends an attempt if no operator does; None: never."""
    default_s = task.default_queue_timeout_s or ON_NODE_QUEUE_TIMEOUT_S
    wait_s = default_s if task.has_default_queue_timeout else task.queue_timeout_s
    return None if task.timeout_s is None or wait_s is None else int(wait_s + task.timeout_s) + BACKSTOP_S


def _share_workspace(spec: dict[str, Any], workspace: Mount, run: RunIdentity, settings: PodSettings) -> None:
    """Let the user write to the workspace, and schedule Pods to its node; a podTemplate may override both."""
    spec["securityContext"] |= {"fsGroup": settings.user, "fsGroupChangePolicy": "OnRootMismatch"}
    affinity = affinity_of(workspace, run)
    if affinity is not None:
        spec["affinity"] = affinity


def _spec(inputs: ContainerInputs, task: TaskPlan, revision: str | None, settings: PodSettings) -> dict[str, Any]:
    main: dict[str, Any] = {
        "name": names.MAIN_CONTAINER,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if task.command is not None:
        main["command"] = list(task.command)
    if inputs.args:
        main["args"] = inputs.args
    spec: dict[str, Any] = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [main],
    }
    if (deadline_s := backstop_s(task)) is not None:
        spec["activeDeadlineSeconds"] = deadline_s
    if task.has_script:
        main["command"] = [SCRIPT_PATH]
        main["volumeMounts"] = [{"name": SCRIPT_VOLUME, "mountPath": SCRIPT_DIRECTORY, "readOnly": True}]
        spec["volumes"] = [
            {
                "name": SCRIPT_VOLUME,
                "configMap": {
                    "name": revision,
                    "items": [{"key": script_key(task.name), "path": "script", "mode": EXECUTABLE}],
                },
            }
        ]
    return spec


def _task_fields(inputs: ContainerInputs, task: TaskPlan) -> dict[str, Any]:
    main: dict[str, Any] = {"name": names.MAIN_CONTAINER, "image": inputs.image}
    if inputs.env:
        main["env"] = inputs.env
    if task.resources:
        main["resources"] = task.resources
    spec: dict[str, Any] = {"containers": [main]}
    if task.service_account_name is not None:
        spec["serviceAccountName"] = task.service_account_name
        spec["automountServiceAccountToken"] = True
    return spec


def _set_own_fields(
    pod: dict[str, Any],
    create: CreateAttempt,
    task: TaskPlan,
    run: RunIdentity,
    flow: str | None,
    settings: PodSettings,
) -> None:
    """Overwrite what identifies the Pod, whatever a podTemplate set."""
    key = create.key
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_RUN: run.name,
        names.LABEL_RUN_UID: run.uid,
        names.LABEL_TASK: key.task,
        names.LABEL_ATTEMPT: str(create.attempt),
    }
    if flow is not None:
        labels[names.LABEL_FLOW] = flow
    if key.item is not None:
        labels[names.LABEL_INDEX] = str(key.item)
    annotations = write_counters(create.failures, create.disruptions)
    if create.began_at is not None:
        annotations[names.ANNOTATION_BEGIN_TIME] = rfc3339(create.began_at)
    if task.has_text_outputs:
        annotations[names.ANNOTATION_OUTPUTS_FORMAT] = TEXT_OUTPUTS
    template: Mapping[str, Any] = pod["metadata"]
    metadata: dict[str, Any] = {
        "name": pod_name(run.name, run.uid, key, create.attempt),
        "namespace": run.namespace,
        "labels": {**(template.get("labels") or {}), **labels},
        "annotations": {**(template.get("annotations") or {}), **annotations},
        "ownerReferences": [run_owner(run)],
    }
    if settings.is_tracked:
        metadata["finalizers"] = [names.FINALIZER]
    pod["metadata"] = metadata
    pod["spec"]["restartPolicy"] = "Never"
    main = next(container for container in pod["spec"]["containers"] if container["name"] == names.MAIN_CONTAINER)
    path = task.outputs_file or OUTPUTS_PATH
    main["terminationMessagePath"] = path
    main["terminationMessagePolicy"] = "FallbackToLogsOnError" if task.has_log_tail else "File"
    others = [entry for entry in main.get("env", []) if entry["name"] != names.OUTPUTS_VARIABLE]
    own = [{"name": names.OUTPUTS_VARIABLE, "value": path}]
    if not any(entry["name"] == UNBUFFERED["name"] for entry in others):
        own.append(dict(UNBUFFERED))
    # First, so that the task's own variables may refer to them.
    main["env"] = [*own, *others]
