"""What runs on this machine are made of: the Flows of the manifests, compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.api.flow import FlowSpec, InlineFlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.concurrency.limit import compile_concurrency
from penstock.engine.suggestion import suggest
from penstock.errors import InvalidSpecError, Problem
from penstock.local.pods.local_run import Source


def compile_flow(name: str, spec: FlowSpec) -> Source:
    """Compile a Flow.

    Raises:
        InvalidSpecError: it can't work.
    """
    return Source(spec, compile_plan(spec), name, compile_concurrency(spec))


def compile_inline(spec: InlineFlowSpec) -> Source:
    """Compile the spec that a run brings with it; raises as `compile_flow`."""
    return Source(spec, compile_plan(spec))


def reachable(source: Source, flows: Mapping[str, Source]) -> list[Source]:
    """Return what a run can come to: what it is made of, and the Flows that it calls.

    Args:
        source: what the run is made of.
        flows: every Flow there is, by name.

    Raises:
        InvalidSpecError: it calls a Flow that is not there.
    """
    found, problems = [source], []
    for one in found:
        for path, called in _calls(one):
            if called not in flows:
                message = f"there is no Flow {called} in the files{suggest(called, list(flows))}: add its manifest"
                where = f"Flow {one.flow}: " if one.flow is not None and one is not source else ""
                problems.append(Problem(f"{where}{path}", message))
            elif flows[called] not in found:
                found.append(flows[called])
    if problems:
        raise InvalidSpecError(problems)
    return found


def check_commands(sources: list[Source]) -> None:
    """Make sure that each container task says what to start: what an image would start, this machine does not know.

    Raises:
        InvalidSpecError: one does not.
    """
    problems = []
    for source in sources:
        spec = source.spec
        for field, tasks in (("tasks", spec.tasks), ("finally", spec.finally_ or ())):
            for index, task in enumerate(tasks):
                is_container = task.flow is None and task.approval is None
                if (
                    is_container
                    and task.command is None
                    and task.script is None
                    and not _has_command(task.pod_template)
                ):
                    message = (
                        f"task {task.name} starts what its image says, which a process can't know: "
                        "give command or script, or run it with --docker"
                    )
                    problems.append(Problem(f"spec.{field}[{index}]", message))
    if problems:
        raise InvalidSpecError(problems)


def _has_command(template: Mapping[str, object] | None) -> bool:
    spec = (template or {}).get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    return any("command" in one for one in containers or () if isinstance(one, Mapping))


def _calls(source: Source) -> Iterator[tuple[str, str]]:
    spec = source.spec
    for field, tasks in (("tasks", spec.tasks), ("finally", spec.finally_ or ())):
        for index, task in enumerate(tasks):
            if task.flow is not None:
                yield f"spec.{field}[{index}].flow.name", task.flow.name
