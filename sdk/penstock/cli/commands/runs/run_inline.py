"""`penstock run --inline`: run a file in the cluster once. The FlowRun contains its Flow, so nothing else remains."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
from typing import Any, Final

from penstock.api.names import LABEL_CODE, LABEL_MANAGED_BY, MANAGED_BY
from penstock.authoring.deployments.deployment import read_deployment
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.start_run import build_run, read_options, start
from penstock.cli.deployment.code_map import VOLUME
from penstock.cli.deployment.compile import load_flow_quietly
from penstock.cli.deployment.deployment import Code, build_manifests
from penstock.cli.local.files import InvalidFilesError, read_files
from penstock.cli.local.python_flow import is_python
from penstock.cli.manifests.params import read_params, read_params_file
from penstock.cli.manifests.run_name import name_prefix, random_suffix
from penstock.cli.text.echo import echo
from penstock.drawing.task_rows import Object
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.errors import CommandError, PenstockError

NOT_INLINE: Final = ("concurrency", "retention", "expectSuccessWithin")
"""Fields of a Flow that concern several runs."""


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun that contains its Flow; with --watch or --wait, wait until it has finished."""
    options = read_options(arguments, dt.datetime.now().astimezone())
    cluster = Cluster.connect(arguments)
    name, spec, code_map = (_from_python_file if is_python(arguments.flow[0]) else _from_manifest)(cluster, arguments)
    declared = {param["name"]: param.get("type", "string") for param in _flow_spec(spec).get("params") or ()}
    params = {**read_params_file(arguments.params_file, declared), **read_params(arguments.params, declared)}
    if params:
        spec["params"] = {**(spec.get("params") or {}), **params}
    body = build_run(name, name=name, spec=spec | options)

    def add_code(run: Object) -> None:
        if code_map is not None:
            _create_code(cluster, run, code_map)

    return start(cluster, body, arguments, on_created=add_code)


def _from_python_file(cluster: Cluster, arguments: argparse.Namespace) -> tuple[str, Object, Object | None]:
    """Return the name and spec of a run of a Python flow, and the ConfigMap with its code."""
    if len(arguments.flow) > 1:
        raise CommandError(f"{' '.join(arguments.flow)}: only one Python file can be run")
    flow = load_flow_quietly(arguments.flow[0])
    manifests = build_manifests(read_deployment(flow, None, {}), Code(image=arguments.image, is_inline=True), cluster)
    if len(manifests.flows) > 1:
        raise CommandError(
            f"flow {flow.name!r} calls other flows, which --inline does not support: use penstock deploy"
        )
    assert manifests.code_map is not None
    name = arguments.name or _new_name(manifests.flow["metadata"]["name"])
    code = {
        **manifests.code_map,
        "metadata": {"name": f"{name}-code", "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_CODE: ""}},
    }
    spec = manifests.flow["spec"]
    for volume in spec["defaults"]["podTemplate"]["spec"]["volumes"]:
        if volume["name"] == VOLUME:
            volume["configMap"]["name"] = code["metadata"]["name"]
    return name, {"flowSpec": spec}, code


def _from_manifest(_: Cluster, arguments: argparse.Namespace) -> tuple[str, Object, Object | None]:
    """Return the name and spec of the run in the files, or of a run of their Flow."""
    if arguments.image is not None:
        raise CommandError("--image is valid only for Python flows; set the image in the manifest")
    try:
        files = read_files(arguments.flow)
    except InvalidFilesError as error:
        for finding in error.findings:
            echo(finding, is_error=True)
        raise
    chosen = files.chosen
    if chosen["kind"] == "Flow":
        flow_spec = {key: value for key, value in chosen["spec"].items() if key not in NOT_INLINE}
        return arguments.name or _new_name(chosen["metadata"]["name"]), {"flowSpec": flow_spec}, None
    metadata, spec = chosen["metadata"], dict(chosen["spec"])
    flow = (spec.pop("flow", None) or {}).get("name")
    if flow is not None:
        if flow not in files.flows:
            raise CommandError(
                f"the FlowRun names Flow {flow}, which is not in the files: add its manifest, or use kubectl create -f"
            )
        spec["flowSpec"] = files.flows[flow].spec.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude=set(NOT_INLINE)
        )
    if not spec.get("flowSpec"):
        raise CommandError("the FlowRun has neither flow nor flowSpec: use kubectl create -f")
    prefix = flow or metadata.get("generateName", "run").rstrip("-")
    return arguments.name or metadata.get("name") or _new_name(prefix), spec, None


def _flow_spec(spec: Object) -> dict[str, Any]:
    found: dict[str, Any] = spec["flowSpec"]
    return found


def _new_name(flow: str) -> str:
    return f"{name_prefix(flow)}{random_suffix()}"


def _create_code(cluster: Cluster, run: Object, code_map: Object) -> None:
    """Create the ConfigMap that the Pods of a run wait for; delete the run if that fails."""
    metadata = run["metadata"]
    owner = owner_reference("FlowRun", metadata["name"], metadata["uid"], is_controller=False)
    body = {**code_map, "metadata": {**code_map["metadata"], "ownerReferences": [owner]}}
    try:
        cluster.send("POST", cluster.config_map_path(), body=body)
    except PenstockError as error:
        with contextlib.suppress(PenstockError):
            cluster.send("DELETE", cluster.object_path("flowruns", metadata["name"]))
        raise CommandError(
            f"cannot create ConfigMap {code_map['metadata']['name']}: {error}; the run was deleted"
        ) from error
