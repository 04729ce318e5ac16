"""Putting a Python flow into a cluster: its Flow, those that it calls, its Schedules and its code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.names import LABEL_DEPLOYED_WITH, LABEL_MANAGED_BY, MANAGED_BY
from penstock.authoring.call import SOURCE
from penstock.authoring.code_source import GIT, GitSource, read_source
from penstock.authoring.compilation import flow_name
from penstock.authoring.deployment import Deployment
from penstock.authoring.entrypoint import CODE_VARIABLE
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.apply import Applied, Change, apply
from penstock.cli.cluster.chart import OPERATOR_LABELS
from penstock.cli.deployment.code_archive import Archive, pack
from penstock.cli.deployment.code_map import (
    FOLDER,
    Module,
    build_code_map,
    check_size,
    mount_code,
    read_code,
    remove_unused,
    with_owners,
)
from penstock.cli.deployment.code_repository import pin, subdirectory_of
from penstock.cli.deployment.compile import check, compile_loaded
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError, RefusalError

TAGS: Final = "penstock.dev/tags"
READY: Final = "Ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """How Pods come to the code; in none of these ways it is in their image.

    Args:
        image: image of the tasks that name none.
        is_inline: whether it goes into a ConfigMap.
        source: where to fetch it from.
        storage: where big results go.
    """

    image: str | None = None
    is_inline: bool = False
    source: str | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Manifests:
    """What is to be in the cluster.

    Args:
        flows: the flow's own is the last.
        schedules: its Schedules.
        code_map: its code.
        archive: its code, outside of the cluster.
    """

    flows: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    code_map: dict[str, Any] | None = None
    archive: Archive | None = None

    @property
    def flow(self) -> dict[str, Any]:
        """The Flow of the flow itself."""
        return self.flows[-1]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield all objects, in the order in which they are applied."""
        if self.code_map is not None:
            yield self.code_map
        yield from (*self.flows, *self.schedules)


class Deployed(NamedTuple):
    """What was done."""

    flow: Object
    applied: list[Applied]
    removed: list[str]
    """ConfigMaps with earlier code that nothing needs any more."""
    left: list[str]
    """Schedules of an earlier deployment that this one does not have."""


def build_manifests(deployment: Deployment, code: Code, cluster: Cluster | None) -> Manifests:
    """Build what is to be in the cluster.

    Args:
        deployment: the flow, and when it is due.
        code: how Pods come to the code.
        cluster: where to look for the operator's image if none is given; None: nowhere.

    Raises:
        CommandError: the code can't be had.
        CompileError: the flow can't be compiled.
    """
    env: dict[str, str] = {}
    modules: list[Module] = []
    archive: Archive | None = None
    if code.is_inline:
        modules = read_code(deployment.flow)
        check_size(modules)
        env[CODE_VARIABLE] = FOLDER
    elif code.source is not None and code.source.startswith(GIT):
        env[SOURCE] = str(_pinned(code.source, deployment))
    elif code.source is not None:
        archive = pack(read_code(deployment.flow), code.source)
        env[SOURCE] = archive.url
    flow = deployment.flow
    flows = compile_loaded(
        flow, f"flow {flow.name!r}", image=code.image, storage=code.storage, name=_name(deployment), env=env or None
    )
    lacking = [each["spec"] for each in flows if _lacks_image(each["spec"])]
    if lacking:
        image = _operator_image(cluster, is_code_elsewhere=bool(env))
        for spec in lacking:
            spec.setdefault("defaults", {})["image"] = image
    made = flows[-1]
    _decorate(made, deployment)
    check(flows)
    schedules = _schedules(deployment, made)
    if not modules:
        return Manifests(flows, schedules, archive=archive)
    code_map = build_code_map(made["metadata"]["name"], modules)
    for each in flows:
        mount_code(each, code_map, modules)
    return Manifests(flows, schedules, code_map)


def deploy(cluster: Cluster, manifests: Manifests, *, force: bool = False, is_dry_run: bool = False) -> Deployed:
    """Apply everything.

    Args:
        cluster: where.
        manifests: what.
        force: whether to take fields over from whoever manages them.
        is_dry_run: whether the server only says what it would do.

    Raises:
        CommandError: the cluster refused something, or somebody else manages it.
    """
    if manifests.archive is not None and not is_dry_run:
        manifests.archive.upload()
    # Fields that are left out are taken away: code that has owners keeps them.
    owners = [flow for each in manifests.flows if (flow := cluster.find_object("flows", each["metadata"]["name"]))]
    code_map = manifests.code_map
    if code_map is not None and owners:
        code_map = with_owners(code_map, owners)
    applied: list[Applied] = []
    try:
        for body in (*([code_map] if code_map is not None else ()), *manifests.flows, *manifests.schedules):
            applied.append(apply(cluster, body, force=force, is_dry_run=is_dry_run))  # noqa: PERF401 - one may fail
    except CommandError:
        if applied and not is_dry_run:
            _remove_orphan(cluster, applied[0])
        raise
    by_name = {(each.object["kind"], each.object["metadata"]["name"]): each.object for each in applied}
    flow = by_name["Flow", manifests.flow["metadata"]["name"]]
    if is_dry_run:
        return Deployed(flow, applied, [], [])
    removed: list[str] = []
    if manifests.code_map is not None:
        flows = [by_name["Flow", each["metadata"]["name"]] for each in manifests.flows]
        if len(owners) < len(flows):
            apply(cluster, with_owners(manifests.code_map, flows), force=force)
        removed = remove_unused(cluster, flow, manifests.code_map["metadata"]["name"])
    return Deployed(flow, applied, removed, _leftover_schedules(cluster, manifests))


def wait_until_ready(cluster: Cluster, flow: Object, timeout_s: float) -> None:
    """Wait until the operator has looked at a Flow.

    Args:
        cluster: where it is.
        flow: the Flow, as it was applied.
        timeout_s: how long to wait.

    Raises:
        CommandError: it is not ready, and why; or the time is over.
    """
    name, generation = flow["metadata"]["name"], flow["metadata"]["generation"]
    for seen in cluster.follow("flows", "Flow", name, until=time.monotonic() + timeout_s):
        conditions = seen.get("status", {}).get("conditions") or ()
        ready = next((each for each in conditions if each["type"] == READY), None)
        if ready is None or ready.get("observedGeneration", generation) < generation:
            continue
        if ready["status"] == "True":
            return
        if ready["status"] == "False":
            raise CommandError(f"Flow {name} is not ready: {ready['reason']}: {' '.join(ready['message'].split())}")
    raise CommandError(f"no operator has looked at Flow {name} within {timeout_s:g} s: see penstock doctor")


def _remove_orphan(cluster: Cluster, first: Applied) -> None:
    """Remove code that was created just now, and whose Flow was refused: nobody else would."""
    if first.object["kind"] == "ConfigMap" and first.change is Change.CREATED:
        with contextlib.suppress(CommandError):
            cluster.send("DELETE", cluster.config_map_path(first.object["metadata"]["name"]))


def _pinned(text: str, deployment: Deployment) -> GitSource:
    source = read_source(text)
    if not source.subdirectory and (file := _file_of(deployment)):
        source = source._replace(subdirectory=subdirectory_of(file))
    return pin(source)


def _name(deployment: Deployment) -> str:
    """Return the name of the Flow: that of the deployment if it has one of its own."""
    return flow_name(deployment.flow) if deployment.name == deployment.flow.name else deployment.name


def _decorate(flow: dict[str, Any], deployment: Deployment) -> None:
    """Add what a deployment says of the Flow."""
    params = {each["name"]: each for each in flow["spec"].get("params", ())}
    for name, value in deployment.parameters.items():
        params[name]["default"] = value
    if deployment.description:
        flow["spec"]["description"] = deployment.description
    if deployment.limit is not None:
        flow["spec"]["concurrency"] = {"limit": deployment.limit, "onLimit": "Queue"}
    if deployment.tags:
        flow["metadata"].setdefault("annotations", {})[TAGS] = ",".join(sorted(deployment.tags))
    if deployment.version is not None:
        flow["metadata"].setdefault("annotations", {})["penstock.dev/flow-version"] = deployment.version


def _schedules(deployment: Deployment, flow: dict[str, Any]) -> list[dict[str, Any]]:
    name = flow["metadata"]["name"]
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_DEPLOYED_WITH: name}
    found = deployment.schedules()
    for each in found:
        each["metadata"]["labels"] = labels
        each["spec"]["runTemplate"]["spec"]["flow"]["name"] = name
        if each["metadata"]["name"] == deployment.name:
            each["metadata"]["name"] = name
    return found


def _lacks_image(spec: dict[str, Any]) -> bool:
    return "image" not in spec.get("defaults", {}) and any(
        "command" in task and "image" not in task for task in spec["tasks"]
    )


def _operator_image(cluster: Cluster | None, *, is_code_elsewhere: bool) -> str:
    """Return the image of the operator, which has Python and penstock: all that is needed if the code is elsewhere.

    Raises:
        CommandError: it can't be had, or would not do.
    """
    if not is_code_elsewhere:
        raise CommandError(
            "name the image that the code is in by --image; or bring the code by --inline or --source, without an image"
        )
    try:
        found = [] if cluster is None else _list_operators(cluster)
    except RefusalError:
        found = []
    if not found:
        raise CommandError(
            "name an image with Python and penstock by --image: the operator's, to take that, is not to be seen"
        )
    return str(found[0]["spec"]["template"]["spec"]["containers"][0]["image"])


def _list_operators(cluster: Cluster) -> Sequence[Object]:
    pages = cluster.list_pages("/apis/apps/v1/deployments", {"labelSelector": OPERATOR_LABELS})
    return [item for page in pages for item in page["items"]]


def _leftover_schedules(cluster: Cluster, manifests: Manifests) -> list[str]:
    wanted = {each["metadata"]["name"] for each in manifests.schedules}
    selector = f"{LABEL_DEPLOYED_WITH}={manifests.flow['metadata']['name']}"
    try:
        pages = cluster.list_pages(cluster.object_path("schedules"), {"labelSelector": selector})
        found = [item["metadata"]["name"] for page in pages for item in page["items"]]
    except RefusalError:
        return []
    return [name for name in found if name not in wanted]


def _file_of(deployment: Deployment) -> Path | None:
    code = getattr(deployment.flow.fn, "__code__", None)
    return Path(code.co_filename) if code is not None else None
