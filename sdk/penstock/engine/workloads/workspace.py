"""The workspace of a run: one PersistentVolumeClaim, mounted into each of its containers. Pure."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final, NamedTuple

from penstock.api import names
from penstock.api.flow import Workspace
from penstock.engine.compiler.task_plan import WORKSPACE_PATH
from penstock.engine.keys import RunIdentity
from penstock.engine.workloads.owner_reference import run_owner

WORKSPACE_VOLUME: Final = "penstock-workspace"
ACCESS_MODE: Final = "ReadWriteOnce"
_PREFIX_CHARACTERS: Final = 40
_HASH_CHARACTERS: Final = 10
_CONTAINER_LISTS: Final = ("initContainers", "containers")


class Mount(NamedTuple):
    """How a run's Pods mount its workspace."""

    claim: str
    """Name of the PersistentVolumeClaim."""
    path: str
    is_of_one_node: bool
    """Whether only Pods of one node can mount it at once."""


def claim_name(run: RunIdentity) -> str:
    """Name the claim of a run: readable in front, then a hash, so that creating it twice is a conflict."""
    digest = base64.b32encode(hashlib.sha256(f"{run.uid}\0workspace".encode()).digest()).decode().lower()
    return f"{run.name[:_PREFIX_CHARACTERS].rstrip('-.')}-workspace-{digest[:_HASH_CHARACTERS]}"


def mount_of(workspace: Workspace, run: RunIdentity) -> Mount:
    """Return how the Pods of a run mount its workspace."""
    path = (workspace.mount_path or WORKSPACE_PATH).rstrip("/")
    return Mount(claim_name(run), path, (workspace.access_mode or ACCESS_MODE) == ACCESS_MODE)


def build_claim(workspace: Workspace, run: RunIdentity, *, flow: str | None) -> dict[str, Any]:
    """Build the claim of a run, which owns it.

    Args:
        workspace: the Flow's.
        run: the run.
        flow: name of the Flow; None for an inline spec.
    """
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_RUN: run.name, names.LABEL_RUN_UID: run.uid}
    if flow is not None:
        labels[names.LABEL_FLOW] = flow
    spec: dict[str, Any] = {
        "accessModes": [workspace.access_mode or ACCESS_MODE],
        "resources": {"requests": {"storage": workspace.size}},
    }
    if workspace.storage_class_name is not None:
        spec["storageClassName"] = workspace.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(run),
            "namespace": run.namespace,
            "labels": labels,
            "ownerReferences": [run_owner(run)],
        },
        "spec": spec,
    }


def affinity_of(mount: Mount, run: RunIdentity) -> dict[str, Any] | None:
    """Return the affinity that schedules concurrent Pods of a run to one node, if their volume can only be on one.

    The scheduler itself checks only the access mode ReadWriteOncePod: a Pod on another node would wait for the volume
    forever. The affinity does not count finished Pods, and a first Pod may go to any node.
    https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
    """
    if not mount.is_of_one_node:
        return None
    term = {
        "labelSelector": {"matchLabels": {names.LABEL_RUN_UID: run.uid}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def mount_workspace(pod: dict[str, Any], mount: Mount) -> None:
    """Mount the workspace into each container that mounts nothing else at its path; changes the Pod."""
    spec = pod["spec"]
    volumes = spec.get("volumes") or []
    if not any(volume.get("name") == WORKSPACE_VOLUME for volume in volumes):
        claim = {"name": WORKSPACE_VOLUME, "persistentVolumeClaim": {"claimName": mount.claim}}
        spec["volumes"] = [*volumes, claim]
    for field in _CONTAINER_LISTS:
        if spec.get(field):
            spec[field] = [_with_mount(container, mount) for container in spec[field]]


def _with_mount(container: dict[str, Any], mount: Mount) -> dict[str, Any]:
    mounts = container.get("volumeMounts") or []
    if any(str(one.get("mountPath", "")).rstrip("/") == mount.path for one in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, {"name": WORKSPACE_VOLUME, "mountPath": mount.path}]}
