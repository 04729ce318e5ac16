"""The volumes of a Pod, as directories of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.engine.workloads.pod import SCRIPT_VOLUME
from penstock.engine.workloads.workspace import WORKSPACE_VOLUME
from penstock.local.pods.downward_api import field_value
from penstock.local.pods.manifest_objects import Objects

DATA_MODE: Final = 0o644
_DATA_KINDS: Final = {"configMap": "ConfigMap", "secret": "Secret"}
KINDS: Final = (*_DATA_KINDS, "downwardAPI", "projected", "hostPath", "emptyDir")
"""Volumes that work as in the cluster. Other kinds are replaced by an empty directory."""


class Mount(NamedTuple):
    """A directory or file of this machine, and its path in the container."""

    source: Path
    path: str


def mounts_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], objects: Objects, *, folder: Path, workspace: Path | None
) -> list[Mount]:
    """Make the directories that a container mounts.

    Args:
        pod: the Pod.
        container: the container.
        objects: the objects that its volumes may refer to.
        folder: where to make them.
        workspace: the workspace of the run, if it has one.

    Returns:
        The mounts in the order of the container, without the mount of its script.

    Raises:
        MissingObjectError: a volume refers to an object that does not exist.
    """
    volumes = {volume.get("name"): volume for volume in pod["spec"].get("volumes") or ()}
    sources: dict[str, Path] = {}
    mounts = []
    for mount in container.get("volumeMounts") or ():
        name = mount["name"]
        if name == SCRIPT_VOLUME:
            continue
        if name not in sources:
            is_workspace = name == WORKSPACE_VOLUME and workspace is not None
            sources[name] = (
                workspace
                if is_workspace and workspace is not None
                else _make(pod, volumes.get(name, {}), objects, Path(tempfile.mkdtemp(prefix="volume-", dir=folder)))
            )
        source = sources[name]
        if mount.get("subPath"):
            source /= str(mount["subPath"]).lstrip("/")
            if not source.exists():
                source.mkdir(parents=True)
        mounts.append(Mount(source, "/" + str(mount["mountPath"]).strip("/")))
    return mounts


def _make(pod: Mapping[str, Any], volume: Mapping[str, Any], objects: Objects, folder: Path) -> Path:
    if volume.get("hostPath") is not None:
        return Path(str(volume["hostPath"].get("path")))
    for source in (volume.get("projected") or {}).get("sources") or [volume]:
        for field, kind in _DATA_KINDS.items():
            if source.get(field) is not None:
                _write_data(source[field], kind, objects, folder)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            if item.get("fieldRef") is not None:
                text = field_value(pod, str(item["fieldRef"].get("fieldPath")))
                _write(folder, str(item["path"]), text.encode(), DATA_MODE)
    return folder


def _write_data(source: Mapping[str, Any], kind: str, objects: Objects, folder: Path) -> None:
    name = str(source.get("name") or source.get("secretName"))
    data = objects.data_of(kind, name, is_optional=bool(source.get("optional")))
    default = source.get("defaultMode", DATA_MODE)
    items: Iterable[Mapping[str, Any]] = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] in data:
            _write(folder, str(item["path"]), data[item["key"]], item.get("mode", default))


def _write(folder: Path, path: str, content: bytes, mode: int) -> None:
    file = folder / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
