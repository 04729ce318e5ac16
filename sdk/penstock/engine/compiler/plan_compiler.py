"""The compiler of Flow specs: everything that can be known, or can be wrong, before a run starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic.alias_generators import to_camel

from penstock.api.duration import duration_s
from penstock.api.flow import (
    MAX_FINALLY,
    Cache,
    EnvVar,
    InlineFlowSpec,
    Task,
    TaskDefaults,
)
from penstock.engine.compiler.cache_signature import cache_signature
from penstock.engine.compiler.dependencies import DependencyReader, awaited_states, explain_cycles
from penstock.engine.compiler.expression_costs import find_costs
from penstock.engine.compiler.fan_out import compile_fan_out
from penstock.engine.compiler.graph import reverse
from penstock.engine.compiler.inheritance import merge_pod_retention
from penstock.engine.compiler.params import check_params
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.pod_template import (
    PodTemplate,
    check_pod_template,
    compile_pod_template,
    compile_value_source,
)
from penstock.engine.compiler.task_fields import check_env, check_shape, check_workspace
from penstock.engine.compiler.task_list import TaskGroup, TaskList
from penstock.engine.compiler.task_plan import (
    CACHE_TTL,
    MAX_PARALLEL,
    ApprovalPlan,
    ApproversPlan,
    CachePlan,
    ChildPlan,
    EnvEntry,
    RetryPolicy,
    TaskKind,
    TaskPlan,
    Tolerance,
    merge_retry,
)
from penstock.engine.expressions.expression import Expression, Scope, TaskReference
from penstock.engine.expressions.scope import FAILURE_ROOTS
from penstock.engine.expressions.template import (
    Template,
    ValueTemplate,
    compile_condition,
    compile_template,
    compile_value,
)
from penstock.errors import ExpressionError, InvalidSpecError, Problem

MAX_PROBLEMS: Final = 50
"""More would not be read, and finding the nearest known name for each unknown one takes time."""
Compiled = TypeVar("Compiled", Template, ValueTemplate, Expression)


def compile_plan(spec: InlineFlowSpec) -> Plan:
    """Compile a Flow spec.

    Args:
        spec: the spec.

    Returns:
        The plan. It holds parts of the spec and must, like it, not be changed.

    Raises:
        InvalidSpecError: it is invalid. Holds every problem found, or the first MAX_PROBLEMS.
    """
    return _Compiler(spec).compile()


class _TooManyProblemsError(Exception):
    """Ends a compilation that found MAX_PROBLEMS problems."""


class _Compiler:
    """Compiles one Flow spec."""

    def __init__(self, spec: InlineFlowSpec) -> None:
        self._spec = spec
        self._defaults = spec.defaults or TaskDefaults()
        self._problems: list[Problem] = []
        self._list = TaskList(spec)
        self._dependencies = DependencyReader(
            self._list.tasks, self._list.positions, first_finally=self._list.first_finally, report=self._report
        )
        # Flows repeat themselves: an argument that a thousand tasks share is compiled once.
        self._texts: dict[tuple[TaskGroup, bool, bool, str], Template | ExpressionError] = {}
        self._faulty_texts: set[str] = set()
        self._retries: dict[tuple[bool, bool, str | None], RetryPolicy] = {}
        self._pieces: dict[tuple[TaskGroup, bool, str], PodTemplate] = {}

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
        self._check_inherited()
        if spec.workspace is not None:
            for problem in check_workspace(spec.workspace):
                self._report(problem)
        tasks = [self._compile_task(position, task) for position, task in enumerate(self._list.tasks)]
        outputs: dict[str, ValueTemplate] = {}
        scope = self._list.outputs_scope
        for name, value in (spec.outputs or {}).items():
            template = self._try(lambda value=value: compile_value(value, scope), f"spec.outputs.{name}")  # type: ignore[misc]  # a default binds the loop's value
            if template is not None:
                outputs[name] = template
        inherited_timeout, where = self._list.inherited_value("run_timeout")
        timeout_s = self._timeout_s(spec.timeout, "spec.timeout")
        if spec.timeout is None:
            timeout_s = self._timeout_s(inherited_timeout, f"{where}.runTimeout")
        finally_timeout_s = self._timeout_s(spec.finally_timeout, "spec.finallyTimeout")
        if spec.finally_timeout is not None and len(self._list.tasks) == self._list.first_finally:
            self._report(Problem("spec.finallyTimeout", "has no effect without finally tasks: remove it"))
        upstream = [[one.task for one in task.upstream] for task in tasks]
        for position, message in explain_cycles(upstream, [task.name for task in tasks]):
            self._report(Problem(self._list.path(position), message))
        downstream = reverse(upstream)
        awaited = awaited_states(tasks)
        return Plan(
            tasks=tuple(
                replace(
                    task,
                    downstream=tuple(downstream[task.position]),
                    awaited_states=awaited.get(task.position, frozenset()),
                )
                for task in tasks
            ),
            positions=self._list.positions,
            params=tuple(spec.params or ()),
            outputs=outputs,
            output_tasks=frozenset(one.task for template in outputs.values() for one in template.tasks),
            timeout_s=timeout_s,
            first_finally=self._list.first_finally,
            finally_timeout_s=finally_timeout_s,
            stops_on_failure=spec.failure_policy != "Continue",
            workspace=spec.workspace,
            pod_retention=merge_pod_retention(spec),
            costs=find_costs(tasks),
            track_pods=spec.track_pods,
            inherited_paths=self._list.inherited_paths,
        )

    def _check_defaults(self) -> None:
        defaults, path = self._defaults, "spec.defaults"
        for problem in check_env(defaults.env or (), f"{path}.env"):
            self._report(problem)
        for field in ("timeout", "deadline"):
            self._timeout_s(getattr(defaults, field), f"{path}.{to_camel(field)}")
        for problem in check_pod_template(defaults.pod_template or {}, f"{path}.podTemplate"):
            self._report(problem)
        # The references of defaults are checked for each kind of task: `$(item)` is valid if every task has forEach.

    def _check_inherited(self) -> None:
        for source in self._list.sources:
            self._timeout_s(source.spec.timeout, f"{source.path}.timeout")
            for problem in check_pod_template(source.spec.pod_template or {}, f"{source.path}.podTemplate"):
                self._report(problem)
        count = len(self._list.tasks) - self._list.first_finally
        if count > MAX_FINALLY:
            message = f"has {count} tasks with those of FlowDefaults: at most {MAX_FINALLY} are allowed"
            self._report(Problem("spec.finally", message))

    def _compile_task(self, position: int, task: Task) -> TaskPlan:
        path = self._list.path(position)
        defaults, scope = self._list.defaults_of(position), self._list.scope(position)
        kind = TaskKind.FLOW if task.flow else TaskKind.APPROVAL if task.approval else TaskKind.CONTAINER
        is_container = kind is TaskKind.CONTAINER
        self._check_shape(position, task, kind, path)
        for problem in check_pod_template(task.pod_template or {}, f"{path}.podTemplate"):
            self._report(problem)
        when = fan_out = child = None
        if task.when is not None:
            source = task.when
            when = self._try(lambda: compile_condition(source, scope), f"{path}.when")
            self._refuse_self(when.tasks if when else (), task.name, f"{path}.when")
        if task.for_each is not None:
            fan_out = compile_fan_out(task.for_each, scope, f"{path}.forEach", self._report)
            self._refuse_self(fan_out.tasks if fan_out else (), task.name, f"{path}.forEach")
        texts: list[Template | ValueTemplate | PodTemplate] = []
        image, args, env, pod_templates = self._compile_container(position, task, path, texts)
        if task.flow is not None:
            params = self._value(dict(task.flow.params or {}), position, task, f"{path}.flow.params")
            texts.append(params)
            child = ChildPlan(task.flow.name, params)
        approval = self._compile_approval(position, task, path, texts)
        cache = self._compile_cache(position, task, path, texts)
        references: set[TaskReference] = set().union(*(one.tasks for one in texts))
        references.update(when.tasks if when else (), fan_out.tasks if fan_out else ())
        resources = (task.resources or defaults.resources) if is_container else None
        inherited = defaults if is_container else TaskDefaults()
        queue_timeout = task.queue_timeout or inherited.queue_timeout
        default_queue_timeout, _ = self._list.inherited_value("queue_timeout")
        default_queue_timeout_s = self._queue_timeout_s(default_queue_timeout)
        has_default = default_queue_timeout is None or default_queue_timeout_s is not None
        timeout = task.timeout or inherited.timeout
        if timeout is None and is_container:
            timeout, _ = self._list.inherited_value("timeout")
        return TaskPlan(
            position=position,
            name=task.name,
            kind=kind,
            is_finally=position >= self._list.first_finally,
            image=image,
            command=None if task.command is None else tuple(task.command),
            has_script=task.script is not None,
            args=args,
            env=env,
            resources=None if resources is None else resources.model_dump(by_alias=True, exclude_none=True),
            service_account_name=task.service_account_name or inherited.service_account_name,
            pod_templates=pod_templates,
            is_job=(task.workload or inherited.workload) == "Job",
            has_log_tail=(task.log_tail if task.log_tail is not None else inherited.log_tail) is not False,
            outputs_file=None if task.outputs is None else task.outputs.file,
            has_text_outputs=task.outputs is not None and task.outputs.format != "JSON",
            child=child,
            approval=approval,
            cache=cache,
            upstream=self._dependencies.upstream(position, references, path),
            downstream=(),
            awaited_states=frozenset(),
            when=when,
            fan_out=fan_out,
            max_parallel=task.max_parallel or MAX_PARALLEL,
            allow_failed=self._tolerance(task, path),
            retry=self._retry(position, task, path, is_container=is_container),
            timeout_s=self._timeout_s(timeout, f"{path}.timeout"),
            queue_timeout_s=self._queue_timeout_s(queue_timeout),
            has_default_queue_timeout=is_container and queue_timeout is None and has_default,
            default_queue_timeout_s=default_queue_timeout_s,
            deadline_s=self._timeout_s(task.deadline or inherited.deadline, f"{path}.deadline"),
            render_tasks=frozenset(one.task for one in references),
            params=frozenset().union(*(one.params for one in (*texts, when, fan_out) if one is not None)),
        )

    def _compile_container(
        self, position: int, task: Task, path: str, texts: list[Template | ValueTemplate | PodTemplate]
    ) -> tuple[Template, tuple[Template, ...], tuple[EnvEntry, ...], tuple[PodTemplate, ...]]:
        """Compile the fields of a container, and add them to the texts that may refer to tasks."""
        if task.flow is not None or task.approval is not None:
            return compile_template("", self._list.scope(position)), (), (), ()
        defaults = self._list.defaults_of(position)
        image, where = (task.image, f"{path}.image") if task.image else (defaults.image or "", "spec.defaults.image")
        image_text = self._text(image, position, task, where, kubelet=False)
        args = tuple(self._text(text, position, task, f"{path}.args[{at}]") for at, text in enumerate(task.args or ()))
        env = tuple(self._merge_env(position, task, path))
        pod_templates = tuple(
            self._piece(compile_pod_template, template, position, task, where)
            for template, where in (
                *((source.spec.pod_template, f"{source.path}.podTemplate") for source in reversed(self._list.sources)),
                (defaults.pod_template, "spec.defaults.podTemplate"),
                (task.pod_template, f"{path}.podTemplate"),
            )
            if template
        )
        texts += [image_text, *args, *pod_templates]
        texts += [text for one in env if (text := one.value or one.value_from) is not None]
        return image_text, args, env, pod_templates

    def _compile_approval(
        self, position: int, task: Task, path: str, texts: list[Template | ValueTemplate | PodTemplate]
    ) -> ApprovalPlan | None:
        if task.approval is None:
            return None
        message = self._text(task.approval.message or "", position, task, f"{path}.approval.message", kubelet=False)
        texts.append(message)
        timeout_s = self._timeout_s(task.approval.timeout, f"{path}.approval.timeout")
        return ApprovalPlan(message, timeout_s, ApproversPlan.of(task.approval))

    def _compile_cache(
        self, position: int, task: Task, path: str, texts: list[Template | ValueTemplate | PodTemplate]
    ) -> CachePlan | None:
        if task.cache is None:
            return None
        cache: Cache = task.cache
        key = self._text(cache.key, position, task, f"{path}.cache.key", kubelet=False)
        texts.append(key)
        ttl_s = self._timeout_s(cache.ttl or CACHE_TTL, f"{path}.cache.ttl")
        return CachePlan(key, ttl_s or 0.0, self._signature(position, task))

    def _signature(self, position: int, task: Task) -> str:
        inherited = (source.spec for source in reversed(self._list.sources))
        return cache_signature(task, self._list.defaults_of(position), inherited)

    def _tolerance(self, task: Task, path: str) -> Tolerance:
        allowed = task.allow_failed
        if allowed is None:
            return Tolerance()
        if task.for_each is None and allowed not in (0, 1):
            self._report(Problem(f"{path}.allowFailed", f"must be 0 or 1 for a task without forEach; got {allowed}"))
        return Tolerance(count=allowed) if isinstance(allowed, int) else Tolerance(percentage=int(allowed[:-1]))

    def _check_shape(self, position: int, task: Task, kind: TaskKind, path: str) -> None:
        first = self._list.positions[task.name]
        if first != position:
            self._report(Problem(f"{path}.name", f'"{task.name}" is already the name of {self._list.path(first)}'))
        is_inherited = self._list.is_inherited(position)
        for problem in check_shape(
            task, kind, path, has_default_image=bool(self._list.defaults_of(position).image), is_inherited=is_inherited
        ):
            self._report(problem)

    def _merge_env(self, position: int, task: Task, path: str) -> Iterable[EnvEntry]:
        """Merge the task's variables into the defaults'. Each keeps the position of the default that it overrides.

        The kubelet resolves only variables that come before. So a default `$(ROOT)/cache` still works when the task
        overrides ROOT.
        """
        merged: dict[str, tuple[EnvVar, str]] = {}
        defaults = self._list.defaults_of(position)
        for source, where in ((defaults.env, "spec.defaults.env"), (task.env, f"{path}.env")):
            for index, variable in enumerate(source or ()):
                merged[variable.name] = variable, f"{where}[{index}]"
        for variable, where in merged.values():
            if variable.value_from is not None:
                source_of = self._piece(compile_value_source, variable.value_from, position, task, f"{where}.valueFrom")
                yield EnvEntry(variable.name, None, source_of)
            else:
                yield EnvEntry(variable.name, self._text(variable.value or "", position, task, f"{where}.value"), None)

    def _value(self, value: dict[str, Any], position: int, task: Task, path: str) -> ValueTemplate:
        """Compile a JSON value that may refer to the item."""
        scope = self._list.scope(position, is_item=task.for_each is not None)
        try:
            compiled = compile_value(value, scope)
        except ExpressionError as error:
            if path not in self._faulty_texts:
                self._faulty_texts.add(path)
                self._report(Problem(path, str(error)))
            return ValueTemplate(value)
        self._refuse_self(compiled.tasks, task.name, path)
        return compiled

    def _piece(
        self,
        compiled: Callable[[Mapping[str, Any], Scope, str, Callable[[Problem], None]], PodTemplate],
        value: dict[str, Any],
        position: int,
        task: Task,
        path: str,
    ) -> PodTemplate:
        """Compile a piece of a Pod that may refer to the item. Pieces of the defaults are compiled once."""
        key = (self._list.group(position), task.for_each is not None, path)
        piece = self._pieces.get(key)
        if piece is None:
            scope = self._list.scope(position, is_item=task.for_each is not None)
            piece = self._pieces[key] = compiled(value, scope, path, self._report_text)
        self._refuse_self(piece.tasks, task.name, path)
        return piece

    def _report_text(self, problem: Problem) -> None:
        # Every kind of task has the defaults' texts, but their problems are reported once.
        if problem.path not in self._faulty_texts:
            self._faulty_texts.add(problem.path)
            self._report(problem)

    def _text(self, text: str, position: int, task: Task, path: str, *, kubelet: bool = True) -> Template:
        """Compile a text that may refer to the item. `kubelet`: whether it stands in args or env."""
        scope = self._list.scope(position, is_item=task.for_each is not None)
        key = (self._list.group(position), task.for_each is not None, kubelet, text)
        compiled = self._texts.get(key)
        if compiled is None:
            try:
                compiled = compile_template(text, scope, kubelet=kubelet)
            except ExpressionError as error:
                compiled = error
            self._texts[key] = compiled
        if isinstance(compiled, ExpressionError):
            # Every task has the defaults' texts, but their problems are reported once.
            if path not in self._faulty_texts:
                self._faulty_texts.add(path)
                self._report(Problem(path, str(compiled)))
            return Template((text,), for_kubelet=kubelet)
        self._refuse_self(compiled.tasks, task.name, path)
        return compiled

    def _refuse_self(self, references: Iterable[TaskReference], name: str, path: str) -> None:
        if any(one.task == name for one in references):
            self._report(Problem(path, f"a task cannot refer to itself (tasks.{name})"))

    def _retry(self, position: int, task: Task, path: str, *, is_container: bool) -> RetryPolicy:
        own = None if task.retry is None else task.retry.model_dump_json()
        key = (is_container, self._list.is_inherited(position), own)
        policy = self._retries.get(key)
        if policy is None:
            given = [(task.retry, path)]
            if is_container:
                given.append((self._list.defaults_of(position).retry, "spec.defaults"))
                given += ((source.spec.retry, source.path) for source in self._list.sources)
            when = None
            for source, origin in given:
                if source is not None and (text := source.when) is not None:
                    scope, where = Scope(FAILURE_ROOTS, self._list.params), f"{origin}.retry.when"
                    when = self._try(lambda text=text, scope=scope: compile_condition(text, scope), where)  # type: ignore[misc]  # defaults bind the loop's values
                    break
            policy = self._retries[key] = merge_retry([source for source, _ in given], when)
        return policy

    @staticmethod
    def _queue_timeout_s(timeout: str | None) -> float | None:
        """Return the longest wait of an attempt; `0s` stands for no limit, in place of the default."""
        return None if timeout is None else duration_s(timeout) or None

    def _timeout_s(self, timeout: str | None, path: str) -> float | None:
        if timeout is None:
            return None
        seconds = duration_s(timeout)
        if not seconds:
            self._report(Problem(path, "must be greater than zero; omit it for no limit"))
        return seconds
