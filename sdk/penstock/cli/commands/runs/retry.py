"""`penstock retry`: a new run that keeps the completed tasks of another run and executes the others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_run import RunReference
from penstock.api.names import LABEL_FLOW
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import report_change
from penstock.cli.cluster.revision import read_revision
from penstock.cli.cluster.start_run import build_run, start
from penstock.cli.manifests.params import read_params
from penstock.cli.text.console import Console, Text
from penstock.cli.text.progress import has_more_to_run, is_finished
from penstock.cli.text.retry_plan import retry_lines, retry_lines_of_status
from penstock.drawing.task_rows import Object, status_of
from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.restart import changed_params, check_against_run, check_reference, read_restart
from penstock.engine.validation.validation import parse, parse_flow
from penstock.errors import CommandError, InvalidSpecError, StoredStatusError

PATH = "spec.retryOf"


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun with `retryOf`; with --watch or --wait, wait until it has finished."""
    reference = build_reference(arguments)
    cluster = Cluster.connect(arguments)
    run = cluster.get_run(arguments.run)
    is_selective = bool(arguments.from_ or arguments.params or arguments.restart_completed)
    check_retriable(run, cluster.hint(f"cancel {arguments.run}"), is_selective=is_selective)
    flow = _flow_of(cluster, run, is_latest=arguments.latest)
    params = read_params(arguments.params, _declared(cluster, run, flow)) if arguments.params else {}
    body = build_retry(run, reference, name=arguments.name, params=params)
    # Standard output is for programs: what is listed goes there only if nothing else does.
    console = Console(is_error=not arguments.dry_run)
    tasks = status_of(run).get("tasks") or ()
    if problems := list(check_against_run(_parse(reference), tasks)):
        raise InvalidSpecError(problems)
    for line in _describe(run, flow, reference, params) if tasks else _describe_unstarted(run, arguments):
        console.print(line, soft_wrap=True)
    if arguments.dry_run:
        made = cluster.send("POST", cluster.object_path("flowruns"), query={"dryRun": "All"}, body=body)
        report_change(made, "created (dry run)")
        return 0
    return start(cluster, body, arguments)


def check_retriable(run: Object, cancel_command: str, *, is_selective: bool = False) -> None:
    """Check that a run can be retried.

    Args:
        run: the FlowRun.
        cancel_command: the command that cancels it.
        is_selective: whether the command says what runs again, so that a completed run can be retried too.

    Raises:
        CommandError: it has not finished, or nothing is left to run.
    """
    name, state = run["metadata"]["name"], status_of(run).get("state", "new")
    if not is_finished(run):
        raise CommandError(
            f"FlowRun {name} has not finished ({state}): wait for it, or cancel it with {cancel_command}"
        )
    if not is_selective and not has_more_to_run(run):
        raise CommandError(
            f"FlowRun {name} is {state}, there is nothing to retry; say what runs again with --from, -p or "
            "--restart-completed, or start a new run with penstock run"
        )


def build_reference(arguments: argparse.Namespace) -> Object:
    """Build `spec.retryOf` from the options.

    Raises:
        CommandError: an option requires another one, or excludes it.
        InvalidSpecError: an option is invalid.
    """
    reference: Object = {"name": arguments.run}
    if arguments.latest:
        reference["revision"] = "Latest"
    if arguments.from_:
        reference["from"] = arguments.from_
    if arguments.items:
        if not arguments.from_:
            raise CommandError(f"--items {arguments.items}: requires --from TASK, the task whose items run again")
        if arguments.restart_completed:
            raise CommandError("--items cannot be combined with --restart-completed, by which all items run again")
        try:
            reference["items"] = encode_intervals(sorted(set(decode_intervals(arguments.items.replace(" ", "")))))
        except StoredStatusError as error:
            raise CommandError(f"--items: {error}") from error
    if arguments.restart_completed:
        reference["restartCompleted"] = True
    if problems := list(check_reference(_parse(reference))):
        raise InvalidSpecError(problems)
    return reference


def build_retry(run: Object, reference: Object, *, name: str | None, params: Mapping[str, Any]) -> Object:
    """Build the new run.

    Args:
        run: the finished FlowRun.
        reference: `spec.retryOf`.
        name: name of the new run; None generates one from the name of the Flow.
        params: values that replace those of the run.
    """
    metadata, flow = run["metadata"], _flow_name(run)
    spec: Object = {"retryOf": reference, **({"params": dict(params)} if params else {})}
    retry = build_run(flow or metadata["name"], name=name, spec=spec)
    if flow:
        # Its spec names no Flow; `get --flow` finds it by the label.
        retry["metadata"]["labels"] = {LABEL_FLOW: flow}
    return retry


def _parse(reference: Object) -> RunReference:
    return parse(RunReference, reference, PATH)


def _flow_name(run: Object) -> str | None:
    name: str | None = (run["spec"].get("flow") or {}).get("name")
    return name or (run["metadata"].get("labels") or {}).get(LABEL_FLOW)


def _flow_of(cluster: Cluster, run: Object, *, is_latest: bool) -> InlineFlowSpec | None:
    """Return the spec that the retry will run; None if it cannot be read."""
    name = _flow_name(run)
    return parse_flow(cluster.get_flow(name)) if is_latest and name else read_revision(cluster, run)


def _declared(cluster: Cluster, run: Object, flow: InlineFlowSpec | None) -> dict[str, str]:
    """Return the types of the params, of the current Flow if the revision cannot be read."""
    name = _flow_name(run)
    if flow is None and name:
        flow = parse_flow(cluster.get_flow(name))
    return {param.name: param.type for param in (flow.params if flow else None) or ()}


def _describe_unstarted(run: Object, arguments: argparse.Namespace) -> Iterator[Text]:
    """Describe the retry of a run that never started, to who asks what it would do."""
    if arguments.dry_run:
        name, earlier = run["metadata"]["name"], run["spec"].get("retryOf")
        what = f"what it would have run of {earlier['name']}" if earlier else "everything"
        yield Text(f"FlowRun {name} never started: the retry runs {what}")


def _describe(run: Object, flow: InlineFlowSpec | None, reference: Object, given: Mapping[str, Any]) -> Iterator[Text]:
    """Describe what the retry keeps.

    Raises:
        InvalidSpecError: a param is invalid.
    """
    status = status_of(run)
    if flow is None:
        asked = read_restart([_parse(reference)])
        yield from retry_lines_of_status(
            status["tasks"],
            status.get("revision", ""),
            is_everything=asked.is_everything,
            is_selective=bool(asked.tasks or given),
        )
        return
    plan = compile_plan(flow)
    before: Mapping[str, Any] = status.get("params") or {}
    declared = {param.name for param in plan.params}
    kept = {name: value for name, value in before.items() if name in declared}
    after = resolve_params(plan.params, {**kept, **given})
    restart = read_restart([_parse(reference)], changed_params(before, after, given))
    yield from retry_lines(plan, status["tasks"], restart)
