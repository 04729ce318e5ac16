"""`run_deployment(...)`: starts a run of a Flow in a cluster from Python."""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from penstock.api.flow import FlowSpec
from penstock.authoring.deployments.cluster import TYPES, ClusterRun
from penstock.authoring.runs.runs import FLOW_RUN
from penstock.authoring.runs.states import State, StateType
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import CONFLICT
from penstock.cli.cluster.control import build_shutdown_operation
from penstock.cli.cluster.start_run import build_run
from penstock.cli.deployment.deployment import TAGS
from penstock.cli.manifests.run_name import MAX_PREFIX
from penstock.cli.text.progress import is_finished
from penstock.drawing.task_rows import Object
from penstock.engine.compiler.params import resolve_params
from penstock.engine.timestamp import rfc3339
from penstock.errors import CommandError, InvalidSpecError, ParameterError, PenstockError, RefusalError
from penstock.memory_limit import limit_expression_memory

HASH_CHARACTERS: Final = 10
CANCEL: Final = "Cancel"


def run_deployment(
    name: str,
    parameters: Mapping[str, Any],
    *,
    scheduled_time: datetime | None,
    run_name: str | None,
    timeout_s: float | None,
    tags: Sequence[str],
    idempotency_key: str | None,
    is_cancelled_with_caller: bool,
    namespace: str | None = None,
    context: str | None = None,
    kubeconfig: str | None = None,
) -> ClusterRun:
    """Start a run and wait until it has finished; arguments and errors are those of `penstock.run_deployment`."""
    limit_expression_memory()
    flow_name = name.rpartition("/")[2]
    try:
        cluster = Cluster.connect(argparse.Namespace(namespace=namespace, context=context, kubeconfig=kubeconfig))
    except CommandError as error:
        if namespace or context or kubeconfig:
            raise
        # The traceback of the client's own errors says nothing more.
        raise CommandError(f"no process on this machine serves {flow_name!r}, and {error}") from None
    flow = cluster.get_flow(flow_name)
    spec: Object = {"flow": {"name": flow_name}}
    if params := _checked(flow, parameters):
        spec["params"] = params
    if scheduled_time is not None:
        spec["scheduledTime"] = rfc3339(scheduled_time.astimezone(UTC).timestamp())
    if idempotency_key is not None and run_name is None:
        run_name = _name_of_key(flow_name, idempotency_key)
    body = build_run(flow_name, name=run_name, spec=spec)
    if tags:
        body["metadata"]["annotations"] = {TAGS: ",".join(tags)}
    run = _create(cluster, body, flow_name, is_shared=idempotency_key is not None)
    if timeout_s == 0:
        return read_cluster_run(run)
    try:
        return read_cluster_run(_wait(cluster, run, timeout_s))
    except BaseException:
        if is_cancelled_with_caller and FLOW_RUN.get() is not None:
            # The error that interrupted the wait is more important than an error of the cancellation.
            with contextlib.suppress(PenstockError):
                seen = cluster.get_run(run["metadata"]["name"])
                cluster.patch_run(seen, [build_shutdown_operation(seen, CANCEL)])
        raise


def read_cluster_run(run: Object) -> ClusterRun:
    """Convert a FlowRun to the object that Python code gets."""
    metadata, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    outputs = status.get("outputs") or {}
    word = status.get("state") or "Pending"
    kind = TYPES.get(word, StateType.RUNNING)
    finished: Object = next((each for each in status.get("conditions") or () if each["type"] == "Succeeded"), {})
    result = outputs.get("result") if "result" in outputs else (outputs or None)
    data = result if kind is StateType.COMPLETED else None
    return ClusterRun(
        id=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        flow_name=(spec.get("flow") or {}).get("name", ""),
        parameters=spec.get("params") or {},
        state=State(kind, word, finished.get("message") or None, data),
        outputs=outputs,
    )


def _checked(flow: Object, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as JSON values.

    Raises:
        ParameterError: they do not match the params of the Flow.
    """
    subject = f"Flow {flow['metadata']['name']!r}"
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(parameters), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{subject}: parameters must be JSON: {error}") from error
    try:
        resolve_params(FlowSpec.model_validate(flow["spec"]).params, plain, path="parameters")
    except InvalidSpecError as error:
        raise ParameterError(f"{subject}: {error}") from error
    return plain


def _create(cluster: Cluster, body: Object, flow: str, *, is_shared: bool) -> Object:
    try:
        return cluster.create_run(body)
    except RefusalError as error:
        if not is_shared or error.status != CONFLICT:
            raise
    found = cluster.get_run(body["metadata"]["name"])
    if (found["spec"].get("flow") or {}).get("name") != flow:
        raise CommandError(f"FlowRun {body['metadata']['name']} belongs to another Flow: use another idempotency_key")
    return found


def _wait(cluster: Cluster, run: Object, timeout_s: float | None) -> Object:
    until = None if timeout_s is None else time.monotonic() + timeout_s
    for seen in cluster.follow("flowruns", "FlowRun", run["metadata"]["name"], until=until):
        run = seen
        if is_finished(run):
            break
    return run


def _name_of_key(flow: str, key: str) -> str:
    end = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:HASH_CHARACTERS]
    return f"{flow[: MAX_PREFIX - HASH_CHARACTERS].rstrip('.-')}-{end}"
