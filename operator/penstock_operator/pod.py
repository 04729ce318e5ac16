"""The Pod of an attempt, built from the plan: pure, so that it can be looked at without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api import names
from penstock.engine.container import ContainerInputs
from penstock.engine.effects import CreateAttempt
from penstock.engine.identity import pod_name
from penstock.engine.machine import RunIdentity
from penstock.engine.plan import TaskPlan
from penstock_operator.strategic_merge import strategic_merge

OUTPUTS_PATH: Final = "/dev/termination-log"
SCRIPT_DIRECTORY: Final = "/penstock"
SCRIPT_PATH: Final = f"{SCRIPT_DIRECTORY}/script"
SCRIPT_VOLUME: Final = "penstock-script"
EXECUTABLE: Final = 0o555
BACKSTOP_S: Final = 300
"""How much longer than its timeout a Pod may live when nobody watches it."""


class PodSettings(NamedTuple):
    """What the installer decides about all task Pods."""

    user: int
    """runAsUser of task Pods."""
    is_tracked: bool
    """Whether Pods carry the tracking finalizer."""


def script_key(task: str) -> str:
    """Return the key of a task's script in its revision."""
    return f"script.{task}"


def build_pod(  # noqa: PLR0913 - keyword-only, named at every call
    create: CreateAttempt,
    task: TaskPlan,
    run: RunIdentity,
    *,
    flow: str | None,
    revision: str | None,
    settings: PodSettings,
) -> dict[str, Any]:
    """Build the Pod of an attempt.

    Args:
        create: which attempt, with its arguments and environment.
        task: the compiled task.
        run: the run, which owns the Pod.
        flow: name of the Flow; None for an inline spec.
        revision: ConfigMap with the scripts.
        settings: what the installer decided.

    Returns:
        A Pod under the `restricted` Pod Security Standard
        (https://kubernetes.io/docs/concepts/security/pod-security-standards/) unless its podTemplate says otherwise.
    """
    inputs = create.inputs
    assert isinstance(inputs, ContainerInputs)
    pod: dict[str, Any] = {"metadata": {}, "spec": _spec(inputs, task, revision, settings)}
    for template in inputs.pod_templates:
        pod = strategic_merge(pod, template)
    pod = strategic_merge(pod, {"spec": _short_cuts(inputs, task)})
    _keep_ours(pod, create, run, flow, settings)
    return {"apiVersion": "v1", "kind": "Pod", **pod}


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
    if task.timeout_s is not None:
        spec["activeDeadlineSeconds"] = int(task.timeout_s) + BACKSTOP_S
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


def _short_cuts(inputs: ContainerInputs, task: TaskPlan) -> dict[str, Any]:
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


def _keep_ours(
    pod: dict[str, Any], create: CreateAttempt, run: RunIdentity, flow: str | None, settings: PodSettings
) -> None:
    """Write what identifies the Pod over whatever a podTemplate said about it."""
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
    annotations = {
        names.ANNOTATION_FAILURES: str(create.failures),
        names.ANNOTATION_DISRUPTIONS: str(create.disruptions),
    }
    template: Mapping[str, Any] = pod["metadata"]
    metadata: dict[str, Any] = {
        "name": pod_name(run.name, run.uid, key, create.attempt),
        "namespace": run.namespace,
        "labels": {**(template.get("labels") or {}), **labels},
        "annotations": {**(template.get("annotations") or {}), **annotations},
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "FlowRun",
                "name": run.name,
                "uid": run.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    if settings.is_tracked:
        metadata["finalizers"] = [names.FINALIZER]
    pod["metadata"] = metadata
    pod["spec"]["restartPolicy"] = "Never"
    main = next(container for container in pod["spec"]["containers"] if container["name"] == names.MAIN_CONTAINER)
    main["terminationMessagePath"] = OUTPUTS_PATH
    main["terminationMessagePolicy"] = "FallbackToLogsOnError"
    others = [entry for entry in main.get("env", []) if entry["name"] != names.OUTPUTS_VARIABLE]
    # First, so that the task's own variables may refer to it.
    main["env"] = [{"name": names.OUTPUTS_VARIABLE, "value": OUTPUTS_PATH}, *others]
