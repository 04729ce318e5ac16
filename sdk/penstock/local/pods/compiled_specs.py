"""The Flows of the manifests, compiled, for runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.api.flow import FlowSpec, InlineFlowSpec, Task
from penstock.api.flow_defaults import InheritedDefaults
from penstock.engine.compiler.inheritance import all_tasks, inherit
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.compiled_limit import compile_concurrency
from penstock.engine.suggestion import suggest
from penstock.errors import InvalidSpecError, Problem
from penstock.local.pods.local_run import CompiledSpec


def compile_flow(name: str, spec: FlowSpec, defaults: InheritedDefaults | None = None) -> CompiledSpec:
    """Compile a Flow.

    Args:
        name: its name.
        spec: its spec.
        defaults: what it inherits.

    Raises:
        InvalidSpecError: it is invalid.
    """
    limit = compile_concurrency(spec)
    inline = inherit(spec, defaults or InheritedDefaults())
    return CompiledSpec(inline, compile_plan(inline), name, limit)


def compile_inline(spec: InlineFlowSpec, defaults: InheritedDefaults | None = None) -> CompiledSpec:
    """Compile the inline spec of a run; arguments and errors are those of `compile_flow`."""
    spec = inherit(spec, defaults or InheritedDefaults())
    return CompiledSpec(spec, compile_plan(spec))


def reachable_specs(source: CompiledSpec, flows: Mapping[str, CompiledSpec]) -> list[CompiledSpec]:
    """Return the spec of a run and those of all Flows that it may call, directly or not.

    Args:
        source: the spec of the run.
        flows: all Flows, by name.

    Raises:
        InvalidSpecError: it calls a Flow that does not exist.
    """
    found, problems = [source], []
    for one in found:
        for path, called in _calls(one):
            if called not in flows:
                message = f"Flow {called} not found in the files{suggest(called, list(flows))}: add its manifest"
                where = f"Flow {one.flow}: " if one.flow is not None and one is not source else ""
                problems.append(Problem(f"{where}{path}", message))
            elif flows[called] not in found:
                found.append(flows[called])
    if problems:
        raise InvalidSpecError(problems)
    return found


def check_commands(sources: list[CompiledSpec]) -> None:
    """Check that each container task has a command or script: the command of its image is not known on this machine.

    Raises:
        InvalidSpecError: a task has neither.
    """
    problems = []
    for source in sources:
        for path, task in _tasks(source):
            is_container = task.flow is None and task.approval is None
            if is_container and task.command is None and task.script is None and not _has_command(task.pod_template):
                message = (
                    f"task {task.name} relies on the command of its image, which is not known on this machine: "
                    "set command or script, or use --docker"
                )
                problems.append(Problem(path, message))
    if problems:
        raise InvalidSpecError(problems)


def _has_command(template: Mapping[str, object] | None) -> bool:
    spec = (template or {}).get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    return any("command" in one for one in containers or () if isinstance(one, Mapping))


def _calls(source: CompiledSpec) -> Iterator[tuple[str, str]]:
    for path, task in _tasks(source):
        if task.flow is not None:
            yield f"{path}.flow.name", task.flow.name


def _tasks(source: CompiledSpec) -> Iterator[tuple[str, Task]]:
    """Yield each task of a spec with its field path."""
    plan = source.plan
    yield from zip(map(plan.path_of, plan.tasks), all_tasks(source.spec), strict=True)
