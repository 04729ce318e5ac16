"""Plans: Flow specs turned into what a run needs to decide, once per revision.

Everything that can be known before a run starts is found out here, and everything that can be wrong before a run starts
is refused here, all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from penstock.api.duration import duration_s
from penstock.api.flow import EnvVar, FlowSpec, Param, Retry, Task, TaskDefaults
from penstock.api.names import OUTPUTS_VARIABLE
from penstock.engine.expression import Expression, Scope, TaskReference, TaskShape
from penstock.engine.fan_out import FanOut, compile_fan_out
from penstock.engine.graph import find_cycles, reverse
from penstock.engine.params import check_params
from penstock.engine.pod_template import check_pod_template
from penstock.engine.scope import ITEM_ROOTS, TASK_ROOTS
from penstock.engine.suggestion import suggest
from penstock.engine.task_plan import (
    MAX_PARALLEL,
    Dependency,
    DependencyKind,
    EnvEntry,
    RetryPolicy,
    TaskPlan,
    merge_retry,
)
from penstock.engine.template import Template, ValueTemplate, compile_condition, compile_template, compile_value
from penstock.errors import ExpressionError, InvalidSpecError, Problem

__all__ = [
    "MAX_PARALLEL",
    "Dependency",
    "DependencyKind",
    "EnvEntry",
    "FanOut",
    "Plan",
    "RetryPolicy",
    "TaskPlan",
    "compile_plan",
    "merge_retry",
]

MAX_PROBLEMS: Final = 50
"""Nobody reads more, and looking for the nearest name of each wrong one takes time."""
MAX_SHOWN_CYCLE: Final = 20

Compiled = TypeVar("Compiled", Template, ValueTemplate, Expression)


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled Flow spec. Made by `compile_plan`."""

    tasks: tuple[TaskPlan, ...]
    positions: Mapping[str, int]
    """Position of each task by its name."""
    params: tuple[Param, ...]
    outputs: Mapping[str, ValueTemplate]
    output_tasks: frozenset[str]
    """Names of the tasks whose values the outputs need."""
    timeout_s: float | None


def compile_plan(spec: FlowSpec) -> Plan:
    """Compile a Flow spec.

    Args:
        spec: the spec.

    Returns:
        The plan. It holds parts of the spec and must, like it, not be changed.

    Raises:
        InvalidSpecError: it can't work. Holds every problem found, or the first MAX_PROBLEMS.
    """
    return _Compiler(spec).compile()


class _TooManyProblemsError(Exception):
    """Ends a compilation that found MAX_PROBLEMS problems."""


class _Compiler:
    """Compiles one Flow spec."""

    def __init__(self, spec: FlowSpec) -> None:
        self._spec = spec
        self._defaults = spec.defaults or TaskDefaults()
        self._problems: list[Problem] = []
        self._positions: dict[str, int] = {}
        for position, task in enumerate(spec.tasks):
            self._positions.setdefault(task.name, position)
        shapes = {task.name: TaskShape.FAN_OUT if task.for_each else TaskShape.PLAIN for task in spec.tasks}
        params = frozenset(param.name for param in spec.params or ())
        self._task_scope = Scope(TASK_ROOTS, params, shapes)
        self._item_scope = Scope(TASK_ROOTS | ITEM_ROOTS, params, shapes)
        # Flows repeat themselves: the same argument in a thousand tasks is compiled once.
        self._texts: dict[tuple[bool, str], Template | ExpressionError] = {}
        self._faulty_texts: set[str] = set()
        self._retries: dict[Retry | None, RetryPolicy] = {}

    def compile(self) -> Plan:
        try:
            plan = self._compile()
        except _TooManyProblemsError:
            raise InvalidSpecError(self._problems) from None
        if self._problems:
            raise InvalidSpecError(self._problems)
        return plan

    def _report(self, problem: Problem) -> None:
        self._problems.append(problem)
        if len(self._problems) == MAX_PROBLEMS:
            raise _TooManyProblemsError

    def _try(self, compiled: Callable[[], Compiled], path: str) -> Compiled | None:
        try:
            return compiled()
        except ExpressionError as error:
            self._report(Problem(path, str(error)))
            return None

    def _compile(self) -> Plan:
        spec = self._spec
        for problem in check_params(spec.params or ()):
            self._report(problem)
        self._check_defaults()
        tasks = [self._compile_task(position, task) for position, task in enumerate(spec.tasks)]
        outputs: dict[str, ValueTemplate] = {}
        for name, value in (spec.outputs or {}).items():
            template = self._try(lambda value=value: compile_value(value, self._task_scope), f"spec.outputs.{name}")  # type: ignore[misc]  # a default binds the loop's value
            if template is not None:
                outputs[name] = template
        timeout_s = self._timeout_s(spec.timeout, "spec.timeout")
        upstream = [[one.task for one in task.upstream] for task in tasks]
        self._check_cycles(upstream)
        downstream = reverse(upstream)
        return Plan(
            tasks=tuple(replace(task, downstream=tuple(downstream[task.position])) for task in tasks),
            positions=self._positions,
            params=tuple(spec.params or ()),
            outputs=outputs,
            output_tasks=frozenset(one.task for template in outputs.values() for one in template.tasks),
            timeout_s=timeout_s,
        )

    def _check_defaults(self) -> None:
        defaults, path = self._defaults, "spec.defaults"
        self._check_image(defaults.image, f"{path}.image")
        self._check_env(defaults.env or (), f"{path}.env")
        self._timeout_s(defaults.timeout, f"{path}.timeout")
        for problem in check_pod_template(defaults.pod_template or {}, f"{path}.podTemplate"):
            self._report(problem)
        # What a default refers to is checked once for each kind of task: `$(item)` is fine if every task has forEach.

    def _compile_task(self, position: int, task: Task) -> TaskPlan:
        path = f"spec.tasks[{position}]"
        defaults = self._defaults
        self._check_shape(position, task, path)
        for problem in check_pod_template(task.pod_template or {}, f"{path}.podTemplate"):
            self._report(problem)
        when = fan_out = None
        if task.when is not None:
            source = task.when
            when = self._try(lambda: compile_condition(source, self._task_scope), f"{path}.when")
            self._refuse_self(when.tasks if when else (), task.name, f"{path}.when")
        if task.for_each is not None:
            fan_out = compile_fan_out(task.for_each, self._task_scope, f"{path}.forEach", self._report)
            self._refuse_self(fan_out.tasks if fan_out else (), task.name, f"{path}.forEach")
        args = tuple(self._text(text, task, f"{path}.args[{index}]") for index, text in enumerate(task.args or ()))
        env = tuple(self._merge_env(task, path))
        references: set[TaskReference] = set().union(
            *(one.tasks for one in args), *(one.value.tasks for one in env if one.value is not None)
        )
        references.update(when.tasks if when else (), fan_out.tasks if fan_out else ())
        resources = task.resources or defaults.resources
        return TaskPlan(
            position=position,
            name=task.name,
            image=task.image or defaults.image or "",
            command=None if task.command is None else tuple(task.command),
            has_script=task.script is not None,
            args=args,
            env=env,
            resources=None if resources is None else resources.model_dump(by_alias=True, exclude_none=True),
            service_account_name=task.service_account_name or defaults.service_account_name,
            pod_templates=tuple(one for one in (defaults.pod_template, task.pod_template) if one),
            upstream=self._upstream(position, task, references, path),
            downstream=(),
            when=when,
            fan_out=fan_out,
            max_parallel=task.max_parallel or MAX_PARALLEL,
            retry=self._retry(task),
            timeout_s=self._timeout_s(task.timeout or defaults.timeout, f"{path}.timeout"),
            render_tasks=frozenset(one.task for one in references),
        )

    def _check_shape(self, position: int, task: Task, path: str) -> None:
        """Check what concerns the task's fields as such."""
        first = self._positions[task.name]
        if first != position:
            self._report(Problem(f"{path}.name", f'"{task.name}" is the name of spec.tasks[{first}] already'))
        if not task.image and not self._defaults.image:
            self._report(Problem(f"{path}.image", "is missing: give an image here or in spec.defaults.image"))
        self._check_image(task.image, f"{path}.image")
        if task.command is not None and task.script is not None:
            self._report(Problem(f"{path}.script", "a script is run in place of a command: give one of the two"))
        if task.max_parallel is not None and task.for_each is None:
            self._report(Problem(f"{path}.maxParallel", "counts the items of forEach, which this task does not have"))
        self._check_env(task.env or (), f"{path}.env")

    def _check_image(self, image: str | None, path: str) -> None:
        if image is not None and "$(" in image:
            self._report(Problem(path, "expressions are not replaced in images: write the image out"))

    def _check_env(self, env: Sequence[EnvVar], path: str) -> None:
        seen: dict[str, int] = {}
        for index, variable in enumerate(env):
            where = f"{path}[{index}]"
            first = seen.setdefault(variable.name, index)
            if first != index:
                self._report(Problem(f"{where}.name", f'"{variable.name}" is the name of {path}[{first}] already'))
            if "=" in variable.name:
                self._report(Problem(f"{where}.name", "names of variables contain no ="))
            if variable.name == OUTPUTS_VARIABLE:
                self._report(Problem(f"{where}.name", f"{OUTPUTS_VARIABLE} is set by Penstock: choose another name"))
            if variable.value is not None and variable.value_from is not None:
                self._report(Problem(where, "value and valueFrom exclude each other: give one of them"))
            if variable.value_from is not None and len(variable.value_from) != 1:
                self._report(
                    Problem(
                        f"{where}.valueFrom", "give exactly one source, as in a Pod: secretKeyRef, configMapKeyRef, ..."
                    )
                )

    def _merge_env(self, task: Task, path: str) -> Iterable[EnvEntry]:
        """Put the task's variables into the defaults', each at the place of its namesake.

        So a default that refers to another, `$(ROOT)/cache`, follows when the task overrides ROOT: the kubelet resolves
        only variables that come before.
        """
        merged: dict[str, tuple[EnvVar, str]] = {}
        for source, where in ((self._defaults.env, "spec.defaults.env"), (task.env, f"{path}.env")):
            for index, variable in enumerate(source or ()):
                merged[variable.name] = variable, f"{where}[{index}].value"
        for variable, where in merged.values():
            value = None if variable.value_from is not None else self._text(variable.value or "", task, where)
            yield EnvEntry(variable.name, value, variable.value_from)

    def _text(self, text: str, task: Task, path: str) -> Template:
        """Compile a text of args or env."""
        is_item = task.for_each is not None
        compiled = self._texts.get((is_item, text))
        if compiled is None:
            try:
                compiled = compile_template(text, self._item_scope if is_item else self._task_scope, kubelet=True)
            except ExpressionError as error:
                compiled = error
            self._texts[is_item, text] = compiled
        if isinstance(compiled, ExpressionError):
            # Every task has the defaults' texts, but their problems are told once.
            if path not in self._faulty_texts:
                self._faulty_texts.add(path)
                self._report(Problem(path, str(compiled)))
            return Template((text,), for_kubelet=True)
        self._refuse_self(compiled.tasks, task.name, path)
        return compiled

    def _refuse_self(self, references: Iterable[TaskReference], name: str, path: str) -> None:
        if any(one.task == name for one in references):
            self._report(
                Problem(path, f"refers to tasks.{name}, the task itself, which has no value before it has run")
            )

    def _upstream(
        self, position: int, task: Task, references: Iterable[TaskReference], path: str
    ) -> tuple[Dependency, ...]:
        kinds: dict[int, DependencyKind] = {}
        for task_name, attribute in references:
            other = self._positions[task_name]
            if attribute == "outputs":
                kinds[other] = DependencyKind.NEEDS
            else:
                kinds.setdefault(other, DependencyKind.AFTER)
        for index, name in enumerate(task.depends_on or ()):
            where = f"{path}.dependsOn[{index}]"
            if name == task.name:
                self._report(Problem(where, "a task can't depend on itself"))
            elif name not in self._positions:
                self._report(Problem(where, f'there is no task "{name}"{suggest(name, self._positions)}'))
            else:
                kinds[self._positions[name]] = DependencyKind.NEEDS
        kinds.pop(position, None)
        return tuple(Dependency(other, kinds[other]) for other in sorted(kinds))

    def _check_cycles(self, upstream: Sequence[Sequence[int]]) -> None:
        for cycle in find_cycles(upstream):
            names = [self._spec.tasks[position].name for position in cycle]
            shown = names[:MAX_SHOWN_CYCLE] + ["..."] * (len(names) > MAX_SHOWN_CYCLE) + names[:1]
            message = f"these tasks wait for each other, each for the next: {' -> '.join(shown)}"
            self._report(Problem(f"spec.tasks[{cycle[0]}]", message))

    def _retry(self, task: Task) -> RetryPolicy:
        policy = self._retries.get(task.retry)
        if policy is None:
            policy = self._retries[task.retry] = merge_retry(self._defaults.retry, task.retry)
        return policy

    def _timeout_s(self, timeout: str | None, path: str) -> float | None:
        if timeout is None:
            return None
        seconds = duration_s(timeout)
        if not seconds:
            self._report(Problem(path, f"{timeout} is no time at all: leave it out for no limit"))
        return seconds
