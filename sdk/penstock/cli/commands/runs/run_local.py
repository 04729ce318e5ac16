"""`penstock run --local`: run a manifest, or a Python flow, on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from penstock.api.flow import InlineFlowSpec
from penstock.cli.exit_codes import EXIT_INTERRUPTED
from penstock.cli.local.approvals import ApprovalPrompt
from penstock.cli.local.files import Files, InvalidFilesError, read_files
from penstock.cli.local.python_flow import is_python, run_python
from penstock.cli.local.screen import PendingApproval, Screen
from penstock.cli.manifests.json_text import json_text
from penstock.cli.manifests.overrides import read_overrides
from penstock.cli.manifests.params import read_params, read_params_file
from penstock.cli.manifests.run_name import name_prefix, random_suffix
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.console import Console
from penstock.cli.text.echo import echo
from penstock.cli.text.progress import exit_code_of
from penstock.drawing.task_rows import Object
from penstock.engine.keys import RunKey
from penstock.engine.machine.run.shutdown import ShutdownMode
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.engine.validation.object_fields import check_envelope
from penstock.engine.validation.parsing import parse_run
from penstock.engine.validation.validation import check_run
from penstock.errors import CommandError, InvalidSpecError
from penstock.local.pods.compiled_specs import check_commands, compile_inline, reachable_specs
from penstock.local.pods.container_runtime import ContainerRuntime, Processes
from penstock.local.pods.docker import Containers, find_program
from penstock.local.pods.executor import NAMESPACE, LocalExecutor
from penstock.local.pods.local_run import CompiledSpec, new_run
from penstock.local.pods.unsupported_fields import unsupported_fields

MIN_PARALLEL: Final = 16
"""Minimum default of --parallel: most tasks wait for I/O, so few CPUs can run many."""
CLUSTER_ONLY_OPTIONS: Final = ("at", "watch", "wait", "namespace", "context", "kubeconfig")


def command(arguments: argparse.Namespace) -> int:
    """Run files on this machine until the run has finished."""
    for name in CLUSTER_ONLY_OPTIONS:
        if getattr(arguments, name):
            raise CommandError(f"--{name} is not valid with --local or --docker")
    if arguments.parallel is not None and arguments.parallel < 1:
        raise CommandError(f"--parallel {arguments.parallel}: must be at least 1")
    if any(is_python(word) for word in arguments.flow):
        return run_python(arguments)
    try:
        files = read_files(arguments.flow)
    except InvalidFilesError as error:
        for finding in error.findings:
            echo(finding, is_error=True)
        raise
    return _run_manifest(files, arguments)


def _run_manifest(files: Files, arguments: argparse.Namespace) -> int:
    body, source = _prepare(files, arguments)
    sources = reachable_specs(source, files.flows)
    approvals = _approvals(arguments, [each.spec for each in sources])
    container_runtime: ContainerRuntime
    if arguments.docker:
        container_runtime = Containers(find_program())
    else:
        check_commands(sources)
        container_runtime = Processes(os.environ)
    console = Console(is_error=arguments.output is not None)
    places = arguments.parallel or max(MIN_PARALLEL, 2 * (os.cpu_count() or 1))
    session = _Session(files, container_runtime, console, places=places, approvals=approvals)
    for line in unsupported_fields([each.spec for each in sources], is_container=arguments.docker):
        session.screen.print_note(f"note: {line}")
    if body["spec"].get("scheduledTime") is not None:
        session.screen.print_note("note: spec.scheduledTime is ignored: the run starts now")
    if isinstance(container_runtime, Processes) and not container_runtime.can_mount:
        session.screen.print_note(
            "note: volumes cannot be mounted here; their paths are below the directory $PENSTOCK_ROOT"
        )
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    # Containers run as another user.
    folder.chmod(0o755)
    try:
        run = asyncio.run(session.run(body, source, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    session.screen.print_outcome(run)
    if arguments.output == "json":
        echo(json_text(run, indent=4))
    elif arguments.output == "yaml":
        echo(yaml_text(run), end="")
    if session.interrupts:
        return EXIT_INTERRUPTED
    return exit_code_of(run)


class _Session:
    """A run with its screen, approvals and signals."""

    def __init__(
        self,
        files: Files,
        container_runtime: ContainerRuntime,
        console: Console,
        *,
        places: int,
        approvals: Mapping[str, Object],
    ) -> None:
        self._files = files
        self._container_runtime = container_runtime
        self._places = places
        self._approvals = approvals
        self._executor: LocalExecutor | None = None
        self._approval_prompt = ApprovalPrompt(self._decide, is_terminal=sys.stdin.isatty())
        self.screen = Screen(console, self._approval_prompt.show)
        self.interrupts = 0

    async def run(self, body: Object, source: CompiledSpec, folder: Path) -> Object:
        """Execute the run; Ctrl-C, SIGTERM and a closed terminal cancel it."""
        self._executor = LocalExecutor(
            self._files.flows,
            self._files.objects,
            container_runtime=self._container_runtime,
            observers=self.screen,
            folder=folder,
            max_containers=self._places,
            approvals=self._approvals,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt, self._executor)
        try:
            return await self._executor.run_to_completion(body, source)
        finally:
            self._approval_prompt.close()

    def _interrupt(self, executor: LocalExecutor) -> None:
        self.interrupts += 1
        if self.interrupts == 1:
            self.screen.print_note(
                "cancelling: stopping tasks, then running finally tasks; press Ctrl-C again to stop those as well",
                "yellow",
            )
            executor.shut_down(ShutdownMode.CANCEL)
        elif self.interrupts == 2:  # noqa: PLR2004 - the second time
            self.screen.print_note("terminating: stopping all tasks; press Ctrl-C again to kill them", "yellow")
            executor.shut_down(ShutdownMode.TERMINATE)
        else:
            executor.kill_all()

    def _decide(self, approval: PendingApproval, is_approved: bool, comment: str | None) -> None:  # noqa: FBT001 - see OnDecision
        assert self._executor is not None
        self._executor.decide_approval(
            RunKey(NAMESPACE, approval.run), approval.task, is_approved=is_approved, comment=comment
        )


def _prepare(files: Files, arguments: argparse.Namespace) -> tuple[Object, CompiledSpec]:
    """Build the FlowRun from the selected object and the options.

    Raises:
        CommandError: an option does not fit the Flow.
        InvalidSpecError: the run is invalid.
    """
    chosen = files.chosen
    metadata: Object = {}
    if chosen["kind"] == "Flow":
        prefix = name_prefix(chosen["metadata"]["name"])
        spec: Object = {"flow": {"name": chosen["metadata"]["name"]}}
    else:
        metadata = dict(chosen["metadata"])
        prefix = metadata.pop("generateName", "")
        spec = {name: value for name, value in chosen["spec"].items() if value is not None}
    source = _source(files, chosen, spec)
    declared = {param.name: param.type for param in source.plan.params}
    typed = {**read_params_file(arguments.params_file, declared), **read_params(arguments.params, declared)}
    if typed:
        spec["params"] = {**(spec.get("params") or {}), **typed}
    spec |= read_overrides(arguments)
    name = arguments.name or metadata.get("name") or f"{prefix}{random_suffix()}"
    metadata["namespace"] = NAMESPACE
    body = new_run(name, spec, metadata)
    problems = [*check_envelope(body), *check_run(parse_run(body), source.spec)]
    if problems:
        raise InvalidSpecError(problems)
    return body, source


def _source(files: Files, chosen: Object, spec: Object) -> CompiledSpec:
    if spec.get("retryOf") is not None:
        raise CommandError(
            "spec.retryOf is not supported with --local: earlier runs are not stored; run the Flow instead"
        )
    if spec.get("suspend"):
        raise CommandError("spec.suspend is true, so nothing would start: remove it")
    run = parse_run({**chosen, "spec": spec})
    if run.flow_spec is not None:
        return compile_inline(run.flow_spec, files.defaults)
    assert run.flow is not None
    name = run.flow.name
    if name not in files.flows:
        known = list(files.flows)
        raise CommandError(f"spec.flow.name: the files contain no Flow {name}{suggest(name, known)}; add its manifest")
    return files.flows[name]


def _approvals(arguments: argparse.Namespace, specs: Sequence[InlineFlowSpec]) -> dict[str, Object]:
    """Read the decisions of --approve and --reject."""
    known = [task.name for spec in specs for task in (*spec.tasks, *(spec.finally_ or ())) if task.approval is not None]
    decided: dict[str, Any] = {}
    for word, decision in (("approve", "Approve"), ("reject", "Reject")):
        for name in getattr(arguments, word):
            if name not in known:
                hint = suggest(name, known) or (
                    f"; approval tasks: {enumerate_names(known)}" if known else "; the flow has no approval tasks"
                )
                raise CommandError(f"--{word} {name}: not an approval task{hint}")
            if name in decided:
                raise CommandError(f"--{word} {name}: given twice")
            decided[name] = {"decision": decision, "comment": f"by --{word}"}
    return decided
