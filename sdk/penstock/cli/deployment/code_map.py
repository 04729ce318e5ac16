"""Code of a Python flow in a ConfigMap, mounted into the Pods of its tasks: a first deployment needs no image.

The ConfigMap is named by a hash of its content and immutable: later deployments do not affect a run in progress. It is
deleted with the Flow, or by a later deployment when no revision of the Flow refers to it. Whoever may create ConfigMaps
can put another one in its place, so the Flow has a digest of the code too, and Pods import nothing else.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.names import LABEL_CODE, LABEL_FLOW_UID, LABEL_MANAGED_BY, MAIN_CONTAINER, MANAGED_BY
from penstock.authoring.function import FlowFunction
from penstock.authoring.pods.code_digest import digest_of
from penstock.cli.cluster.access import Cluster
from penstock.drawing.task_rows import Object
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.errors import CommandError, RefusalError

LIMIT_BYTES: Final = 1024 * 1024
"""Maximum size of a ConfigMap: https://kubernetes.io/docs/concepts/configuration/configmap/."""
FOLDER: Final = "/var/run/penstock/code"
VOLUME: Final = "penstock-code"
MAIN: Final = "__main__"
_PREFIX_CHARACTERS: Final = 40
_HASH_CHARACTERS: Final = 12
_NOT_OURS: Final = frozenset({"site-packages", "dist-packages", "node_modules"})


class Module(NamedTuple):
    """A source file."""

    place: str
    """Path relative to the directory that modules are imported from."""
    text: str

    @property
    def key(self) -> str:
        """Its key in the ConfigMap, which must not contain slashes."""
        return self.place.replace("/", ".")


def read_code(flow: FlowFunction) -> list[Module]:
    """Read the file of a flow, and the modules in its directory and below that it has imported.

    Raises:
        CommandError: the flow is not defined in a file.
    """
    module = sys.modules.get(flow.fn.__module__)
    file = getattr(module, "__file__", None)
    if not file or not Path(file).is_file():
        raise CommandError(f"flow {flow.name!r} is not defined in a file: move it to one")
    name = Path(file).stem if flow.fn.__module__ == MAIN else flow.fn.__module__
    # The directory that the module is imported from: for `a.b` the parent of the directory of `b`.
    folder = Path(file).resolve().parents[name.count(".") + (Path(file).name == "__init__.py")]
    paths = {Path(file).resolve(), *_imported_from(folder)}
    return [Module(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")) for path in sorted(paths)]


def check_size(modules: Sequence[Module]) -> None:
    """Check that code fits into a ConfigMap.

    Raises:
        CommandError: it is too large.
    """
    size = sum(len(each.text.encode()) for each in modules)
    if size > LIMIT_BYTES:
        largest = max(modules, key=lambda each: len(each.text))
        raise CommandError(
            f"the code has {size:,} bytes ({largest.place} alone {len(largest.text.encode()):,}), but a ConfigMap"
            f" is limited to {LIMIT_BYTES:,}: use an image (--image) or another source (--source)"
        )


def digest_of_code(modules: Iterable[Module]) -> str:
    """Return the digest that Pods compare the code with before they import it."""
    return digest_of((module.place, module.text.encode()) for module in modules)


def build_code_map(flow: str, modules: Sequence[Module]) -> dict[str, Any]:
    """Build the ConfigMap.

    Args:
        flow: name of the Flow.
        modules: the code.
    """
    end = base64.b32encode(bytes.fromhex(digest_of_code(modules))).decode().lower()[:_HASH_CHARACTERS]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{flow[:_PREFIX_CHARACTERS].rstrip('-.')}-code-{end}",
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_CODE: flow},
        },
        "immutable": True,
        "data": {module.key: module.text for module in modules},
    }


def mount_code(flow: dict[str, Any], code_map: Mapping[str, Any], modules: Sequence[Module]) -> None:
    """Mount the code into the Pods of a Flow.

    Args:
        flow: the Flow; it is modified.
        code_map: the ConfigMap.
        modules: its content.
    """
    spec = flow["spec"].setdefault("defaults", {}).setdefault("podTemplate", {}).setdefault("spec", {})
    items = [{"key": module.key, "path": module.place} for module in modules]
    source = {"name": code_map["metadata"]["name"], "items": items}
    spec["volumes"] = [*spec.get("volumes", ()), {"name": VOLUME, "configMap": source}]
    containers = spec["containers"] = [dict(each) for each in spec.get("containers", ())]
    main = next((each for each in containers if each.get("name") == MAIN_CONTAINER), None)
    if main is None:
        main = {"name": MAIN_CONTAINER}
        containers.append(main)
    mount = {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}
    main["volumeMounts"] = [*main.get("volumeMounts", ()), mount]


def with_owners(code_map: Mapping[str, Any], flows: Sequence[Object]) -> dict[str, Any]:
    """Return the ConfigMap with these Flows as owners: it is deleted with the last of them."""
    owners = [
        owner_reference("Flow", flow["metadata"]["name"], flow["metadata"]["uid"], is_controller=False)
        for flow in flows
    ]
    return {**code_map, "metadata": {**code_map["metadata"], "ownerReferences": owners}}


def remove_unused(cluster: Cluster, flow: Object, keep: str) -> list[str]:
    """Delete ConfigMaps with earlier code of a Flow that no revision refers to.

    Args:
        cluster: the cluster.
        flow: the Flow.
        keep: name of its current ConfigMap.

    Returns:
        The names of the deleted ConfigMaps.
    """
    revisions = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_FLOW_UID}"
    try:
        old = _list(cluster, f"{LABEL_CODE}={flow['metadata']['name']}")
        names = [each["metadata"]["name"] for each in old if each["metadata"]["name"] != keep]
        if not names:
            return []
        # Revisions of all Flows: the Flows that this one calls have the same code.
        used = " ".join(text for each in _list(cluster, revisions) for text in (each.get("data") or {}).values())
        unused = [name for name in names if f'"{name}"' not in used]
        for name in unused:
            cluster.send("DELETE", cluster.config_map_path(name))
    except RefusalError:
        return []  # without permission to list or delete them, they are deleted with the Flow
    return unused


def _imported_from(folder: Path) -> set[Path]:
    """Return the files of imported modules in a directory: `a.b` in `a/b.py`, and so on."""
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            continue
        path, place = Path(file).resolve(), name.replace(".", "/")
        if path in {folder / f"{place}.py", folder / place / "__init__.py"} and not _NOT_OURS & set(path.parts):
            found.add(path)
    return found


def _list(cluster: Cluster, selector: str) -> list[Object]:
    pages = cluster.list_pages(cluster.config_map_path(), {"labelSelector": selector})
    return [item for page in pages for item in page["items"]]
