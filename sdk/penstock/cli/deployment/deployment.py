"""Builds and applies the objects of a Python flow: Flows, Schedules and code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.names import LABEL_DEPLOYED_WITH, LABEL_MANAGED_BY, MANAGED_BY
from penstock.authoring.compilation import flow_name
from penstock.authoring.deployments.deployment import Deployment
from penstock.authoring.pods.code_source import GIT, GitSource, read_source
from penstock.authoring.pods.entrypoint import CODE_VARIABLE
from penstock.authoring.pods.pod_call import CODE_DIGEST, SOURCE
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.apply import Applied, Change, apply
from penstock.cli.cluster.chart import OPERATOR_LABELS
from penstock.cli.deployment.code_archive import Archive, pack
from penstock.cli.deployment.code_map import (
    FOLDER,
    Module,
    build_code_map,
    check_size,
    digest_of_code,
    mount_code,
    read_code,
    remove_unused,
    with_owners,
)
from penstock.cli.deployment.code_repository import pin, subdirectory_of
from penstock.cli.deployment.compile import check, compile_loaded
from penstock.cli.deployment.origin import check_origin
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError, RefusalError

TAGS: Final = "penstock.dev/tags"
READY: Final = "Ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """How Pods get the code; by default it is in their image.

    Args:
        image: image of tasks that set no image.
        is_inline: whether the code is stored in a ConfigMap.
        source: URL from which Pods fetch the code.
        storage: where large results are stored.
    """

    image: str | None = None
    is_inline: bool = False
    source: str | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects of a deployment.

    Args:
        flows: the Flows; that of the deployed flow is the last.
        schedules: the Schedules.
        code_map: ConfigMap with the code.
        archive: the code in a store outside of the cluster.
    """

    flows: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    code_map: dict[str, Any] | None = None
    archive: Archive | None = None

    @property
    def flow(self) -> dict[str, Any]:
        """The Flow of the deployed flow."""
        return self.flows[-1]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield all objects in the order of their application."""
        if self.code_map is not None:
            yield self.code_map
        yield from (*self.flows, *self.schedules)


class Deployed(NamedTuple):
    """Result of a deployment."""

    flow: Object
    applied: list[Applied]
    removed: list[str]
    """Deleted ConfigMaps with earlier code."""
    leftover_schedules: list[str]
    """Schedules of an earlier deployment that this one does not contain."""


def build_manifests(deployment: Deployment, code: Code, cluster: Cluster | None) -> Manifests:
    """Build the objects of a deployment.

    Args:
        deployment: the flow and its schedules.
        code: how Pods get the code.
        cluster: where to find the image of the operator if no image is given; None for nowhere.

    Raises:
        CommandError: the code cannot be read.
        CompileError: the flow cannot be compiled.
    """
    env: dict[str, str] = {}
    modules: list[Module] = []
    archive: Archive | None = None
    if code.is_inline:
        modules = read_code(deployment.flow)
        check_size(modules)
        env[CODE_VARIABLE], env[CODE_DIGEST] = FOLDER, digest_of_code(modules)
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
    _add_deployment_fields(made, deployment)
    check(flows)
    schedules = _schedules(deployment, made)
    if not modules:
        return Manifests(flows, schedules, archive=archive)
    code_map = build_code_map(made["metadata"]["name"], modules)
    for each in flows:
        mount_code(each, code_map, modules)
    return Manifests(flows, schedules, code_map)


def deploy(cluster: Cluster, manifests: Manifests, *, force: bool = False, is_dry_run: bool = False) -> Deployed:
    """Apply all objects.

    Args:
        cluster: the cluster.
        manifests: the objects.
        force: whether to take ownership of fields of other field managers.
        is_dry_run: whether to change nothing.

    Raises:
        CommandError: the API server rejected an object, or another field manager owns it.
    """
    # Server-side apply removes omitted fields, so existing owners are included.
    owners = _existing_flows(cluster, manifests, force=force)
    if manifests.archive is not None and not is_dry_run:
        manifests.archive.upload()
    code_map = manifests.code_map
    if code_map is not None and owners:
        code_map = with_owners(code_map, owners)
    applied: list[Applied] = []
    try:
        for body in (*([code_map] if code_map is not None else ()), *manifests.flows, *manifests.schedules):
            applied.append(apply(cluster, body, force=force, is_dry_run=is_dry_run))  # noqa: PERF401 - one may fail
    except CommandError:
        if applied and not is_dry_run:
            _delete_unused_code(cluster, applied[0])
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


def _existing_flows(cluster: Cluster, manifests: Manifests, *, force: bool) -> list[Object]:
    """Return the Flows that will be replaced.

    Raises:
        CommandError: one of them is that of another Python flow.
    """
    found: list[Object] = []
    for flow in manifests.flows:
        existing = cluster.find_object("flows", flow["metadata"]["name"])
        if existing is not None:
            found.append(existing)
            if not force:
                check_origin(flow, existing)
    return found


def wait_until_ready(cluster: Cluster, flow: Object, timeout_s: float) -> None:
    """Wait until a Flow is Ready.

    Args:
        cluster: the cluster.
        flow: the Flow as it was applied.
        timeout_s: maximum time to wait, in seconds.

    Raises:
        CommandError: it is not Ready, or the timeout has expired.
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
            raise CommandError(f"Flow {name} is not Ready: {ready['reason']}: {' '.join(ready['message'].split())}")
    raise CommandError(f"no operator has checked Flow {name} within {timeout_s:g} s: run penstock doctor")


def _delete_unused_code(cluster: Cluster, first: Applied) -> None:
    """Delete the new code of a Flow that was rejected; it has no owner that would delete it."""
    if first.object["kind"] == "ConfigMap" and first.change is Change.CREATED:
        with contextlib.suppress(CommandError):
            cluster.send("DELETE", cluster.config_map_path(first.object["metadata"]["name"]))


def _pinned(text: str, deployment: Deployment) -> GitSource:
    source = read_source(text)
    if not source.subdirectory and (file := _file_of(deployment)):
        source = source._replace(subdirectory=subdirectory_of(file))
    return pin(source)


def _name(deployment: Deployment) -> str:
    """Return the name of the Flow: that of the deployment if it differs from the flow's."""
    return flow_name(deployment.flow) if deployment.name == deployment.flow.name else deployment.name


def _add_deployment_fields(flow: dict[str, Any], deployment: Deployment) -> None:
    params = {each["name"]: each for each in flow["spec"].get("params", ())}
    for name, value in deployment.parameters.items():
        if name not in params:
            raise CommandError(
                f"parameter {name!r} of flow {deployment.flow.name!r} is fixed when the flow is compiled: omit it, or"
                " use .map() instead of a loop over it"
            )
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
    """Return the image of the operator, which contains Python and penstock; it fits if the code is not in the image.

    Raises:
        CommandError: no image was found, or the code must be in the image.
    """
    if not is_code_elsewhere:
        raise CommandError(
            "no image: use --image with an image that contains the code, or --inline or --source to provide the code"
        )
    try:
        found = [] if cluster is None else _list_operators(cluster)
    except RefusalError:
        found = []
    if not found:
        raise CommandError(
            "no image: use --image with an image that contains Python and penstock (the default, the image of the"
            " operator, was not found)"
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
