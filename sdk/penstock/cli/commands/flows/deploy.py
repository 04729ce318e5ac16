"""`penstock deploy`: deploy a Python flow."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from penstock.api.duration import duration_s
from penstock.authoring.compilation.params import read_params as declared_params
from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.deployments.deployment import Deployment, DeploymentKeywords, read_deployment
from penstock.authoring.function import FlowFunction
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.apply import Change, resource_name
from penstock.cli.deployment.compile import load_flow_quietly
from penstock.cli.deployment.deployment import Code, Deployed, Manifests, build_manifests, deploy, wait_until_ready
from penstock.cli.manifests.json_text import json_text
from penstock.cli.manifests.params import read_params
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.echo import echo
from penstock.errors import CommandError, DurationError, OptionError

MARKS: Final = {"client": " (dry run)", "server": " (server dry run)", None: ""}


def command(arguments: argparse.Namespace) -> int:
    """Compile a flow, and apply its Flow, code and Schedules."""
    timeout_s = _seconds("--timeout", arguments.timeout)
    deployment = read_arguments(arguments)
    cluster = None if arguments.dry_run == "client" else Cluster.connect(arguments)
    code = Code(image=arguments.image, is_inline=arguments.inline, source=arguments.source, storage=arguments.storage)
    manifests = build_manifests(deployment, code, cluster)
    mark = MARKS[arguments.dry_run]
    if cluster is None:
        _print(list(manifests), [Change.CREATED] * len(list(manifests)), arguments.output, mark)
        return 0
    done = deploy(cluster, manifests, force=arguments.force_conflicts, is_dry_run=arguments.dry_run is not None)
    _print([each.object for each in done.applied], [each.change for each in done.applied], arguments.output, mark)
    if arguments.dry_run is None:
        _report_cleanup(cluster, done, manifests, arguments)
        if arguments.wait:
            wait_until_ready(cluster, done.flow, timeout_s)
            echo(f"{resource_name(done.flow)} is ready", is_error=arguments.output != "text")
    return 0


def read_arguments(arguments: argparse.Namespace) -> Deployment:
    """Read the arguments that describe the deployment.

    Args:
        arguments: the parsed arguments.

    Raises:
        CommandError: the flow cannot be loaded, or an option is invalid.
    """
    flow = load_flow_quietly(arguments.flow)
    keywords: DeploymentKeywords = {
        "cron": arguments.cron,
        "interval": [timedelta(seconds=_seconds("--interval", each)) for each in arguments.interval],
        "rrule": arguments.rrule,
        "timezone": arguments.timezone,
        "on_missed": arguments.on_missed,
        "on_overlap": arguments.on_overlap,
        "limit": arguments.limit,
    }
    try:
        if arguments.params:
            declared = {name: each.manifest["type"] for name, each in declared_params(flow, _place(flow)).items()}
            keywords["parameters"] = read_params(arguments.params, declared)
        return read_deployment(flow, arguments.name, keywords)
    except OptionError as error:
        raise CommandError(str(error)) from error


def _place(flow: FlowFunction) -> CodeLocation:
    code = inspect.unwrap(flow.fn).__code__
    return CodeLocation(code.co_filename, code.co_firstlineno)


def _report_cleanup(cluster: Cluster, done: Deployed, manifests: Manifests, arguments: argparse.Namespace) -> None:
    is_text = arguments.output == "text"
    for name in done.removed:
        echo(f"configmap/{name} deleted", is_error=not is_text)
    for name in done.leftover_schedules:
        echo(
            f"penstock: Schedule {name} of an earlier deployment still exists; to delete it and its runs:"
            f" kubectl delete schedule {name}",
            is_error=True,
        )
    if is_text and sys.stdout.isatty() and not arguments.wait:
        echo(f"Next: {cluster.hint('run ' + manifests.flow['metadata']['name'] + ' --watch')}")


def _print(bodies: Sequence[Mapping[str, Any]], changes: Sequence[Change], output: str, mark: str) -> None:
    plain = [_without_managed_fields(body) for body in bodies]
    if output == "yaml":
        echo("---\n".join(yaml_text(body) for body in plain), end="")
    elif output == "json":
        echo(json_text({"apiVersion": "v1", "kind": "List", "items": plain}))
    elif output == "name":
        echo("\n".join(resource_name(body) for body in bodies))
    else:
        for body, change in zip(bodies, changes, strict=True):
            echo(f"{resource_name(body)} {change}{mark}")


def _without_managed_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def _seconds(option: str, text: str) -> float:
    try:
        return duration_s(text)
    except DurationError as error:
        raise CommandError(f"{option} {text}: {error}") from error
