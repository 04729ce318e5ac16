"""podTemplates: which fields they may have, and the expressions in them.

Everything else in a podTemplate is validated by the API server. Its strings may hold expressions, with two exceptions.
In containers `command` is code and stays as it is. And the kubelet expands `args`, the values of `env` and
`subPathExpr` again, so they follow the rule for a task's own args.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from penstock.api.names import GROUP
from penstock.engine.expressions.expression import Scope, TaskReference
from penstock.engine.expressions.input_values import MAX_DEPTH
from penstock.engine.expressions.path import describe
from penstock.engine.expressions.template import Template, compile_template, text_of
from penstock.engine.suggestion import suggest
from penstock.errors import ExpressionError, Problem, in_field

TOP_FIELDS: Final = ("metadata", "spec")
METADATA_FIELDS: Final = ("labels", "annotations")
CONTAINER_FIELDS: Final = ("containers", "initContainers", "ephemeralContainers")
CONTAINER_LISTS: Final = ("args", "env", "volumeMounts")
"""Lists of a container whose entries the kubelet expands. An expression may stand in an entry, not for the list."""
READ_ENTRIES: Final = ("env", "volumeMounts")
"""Lists of a container whose entries are read when a Pod is built."""
DIRECTIVE: Final = "$patch"
TEXT_MAPS: Final = frozenset({"labels", "annotations", "nodeSelector", "matchLabels"})
"""Maps whose values must be strings in Kubernetes, whatever the type of an expression's value."""
TYPED_SOURCE_FIELDS: Final = frozenset({"optional"})
"""Fields of `valueFrom` that are not strings."""

Report = Callable[[Problem], None]


class PodTemplate:
    """A compiled podTemplate, or a piece of a Pod. Made by `compile_pod_template` and `compile_value_source`."""

    __slots__ = ("_node", "_path", "is_constant", "params", "tasks")

    def __init__(self, node: Any, path: str) -> None:
        # Strings with expressions are `_Leaf`s, everything else is the user's value itself.
        self._node = node
        self._path = path
        leaves = list(_leaves(node))
        self.tasks: Final[frozenset[TaskReference]] = frozenset().union(*(one.template.tasks for one in leaves))
        """Which attributes of which tasks its expressions use."""
        self.params: Final[frozenset[str]] = frozenset().union(*(one.template.params for one in leaves))
        """Names of the params that its expressions use."""
        self.is_constant: Final = not leaves
        """Whether it has no expression."""

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the piece with every expression replaced by its value; treat it as read-only.

        Args:
            values: values of the roots, as for `Expression.evaluate`.

        Raises:
            ExpressionError: an expression has no value, or one that is not allowed in its place.
        """
        return self._node if self.is_constant else _evaluate(self._node, values, self._path)


class _Leaf:
    """A string with expressions, and the type that Kubernetes expects in its place."""

    __slots__ = ("field", "is_text", "template")

    def __init__(self, template: Template, *, is_text: bool, field: str) -> None:
        self.template = template
        self.is_text = is_text
        self.field = field

    def evaluate(self, values: Mapping[str, Any], path: str) -> Any:
        try:
            if self.is_text:
                return self.template.render(values)
            value = self.template.evaluate(values)
        except ExpressionError as error:
            raise in_field(path, error) from error
        if self.field in TEXT_MAPS and isinstance(value, Mapping):
            value = {key: text_of(one) for key, one in value.items()}
        if path.endswith(tuple(f".metadata.{field}" for field in METADATA_FIELDS)):
            for problem in _check_entries(value, self.field, path):
                raise ExpressionError(str(problem))
        if any(f".{field}[" in path for field in CONTAINER_FIELDS) and _has_command(value):
            raise ExpressionError(
                f"{path}: an expression must not supply `command`: write the command as literal text in the podTemplate"
            )
        return value


def compile_pod_template(template: Mapping[str, Any], scope: Scope, path: str, report: Report) -> PodTemplate:
    """Compile a podTemplate.

    Args:
        template: the field's value, valid for `check_pod_template`.
        scope: what its expressions may refer to.
        path: its field path.
        report: takes each expression that does not compile.
    """
    return PodTemplate(_Compiler(scope, report).compile(template, path, field="", depth=0), path)


def compile_value_source(source: Mapping[str, Any], scope: Scope, path: str, report: Report) -> PodTemplate:
    """Compile the `valueFrom` of a variable: names and keys are texts.

    Args:
        source: the field's value.
        scope: what its expressions may refer to.
        path: its field path.
        report: takes each expression that does not compile.
    """
    return PodTemplate(_Compiler(scope, report, is_source=True).compile(source, path, field="", depth=0), path)


class _Compiler:
    """Walks through a piece of a Pod and compiles its strings according to their place."""

    def __init__(self, scope: Scope, report: Report, *, is_source: bool = False) -> None:
        self._scope = scope
        self._report = report
        self._is_source = is_source

    def compile(self, value: Any, path: str, *, field: str, depth: int, is_text: bool = False) -> Any:
        """Replace strings with expressions by leaves; returns the same object if there are none."""
        if isinstance(value, str):
            return self._leaf(value, path, field, is_text=is_text or (self._is_source and self._is_word(field)))
        if not isinstance(value, list | Mapping):
            return value
        if depth == MAX_DEPTH:
            self._report(Problem(path, f"is nested deeper than {MAX_DEPTH} levels"))
            return value
        if isinstance(value, list):
            is_container = field in CONTAINER_FIELDS
            items = [
                self._container(one, f"{path}[{at}]", depth + 1)
                if is_container and isinstance(one, Mapping)
                else self.compile(one, f"{path}[{at}]", field="", depth=depth + 1)
                for at, one in enumerate(value)
            ]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        fields = {
            key: self.compile(one, f"{path}.{key}", field=key, depth=depth + 1, is_text=field in TEXT_MAPS)
            for key, one in value.items()
        }
        return value if all(fields[key] is value[key] for key in value) else fields

    def _is_word(self, field: str) -> bool:
        return field not in TYPED_SOURCE_FIELDS

    def _container(self, container: Mapping[str, Any], path: str, depth: int) -> Any:
        fields = {key: self._container_field(key, one, f"{path}.{key}", depth + 1) for key, one in container.items()}
        return container if all(fields[key] is container[key] for key in container) else fields

    def _container_field(self, key: str, value: Any, path: str, depth: int) -> Any:
        if key == "command":
            return value
        if key == "args" and isinstance(value, list):
            return self._entries(value, path, lambda one, where: self._kubelet_text(one, where, "args"))
        if key == "env" and isinstance(value, list):
            return self._entries(value, path, lambda one, where: self._variable(one, where, depth + 1))
        if key == "volumeMounts" and isinstance(value, list):
            return self._entries(value, path, lambda one, where: self._mount(one, where, depth + 1))
        if isinstance(value, Mapping):
            # Probes and hooks have commands as well.
            return self._without_commands(value, path, depth)
        return self.compile(value, path, field=key, depth=depth)

    def _without_commands(self, value: Mapping[str, Any], path: str, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self.compile(value, path, field="", depth=depth)
        fields: dict[str, Any] = {}
        for key, one in value.items():
            if key == "command":
                fields[key] = one
            elif isinstance(one, Mapping):
                fields[key] = self._without_commands(one, f"{path}.{key}", depth + 1)
            else:
                fields[key] = self.compile(one, f"{path}.{key}", field=key, depth=depth + 1)
        return value if all(fields[key] is value[key] for key in value) else fields

    def _entries(self, entries: list[Any], path: str, compiled: Callable[[Any, str], Any]) -> Any:
        items = [compiled(one, f"{path}[{at}]") for at, one in enumerate(entries)]
        return entries if all(new is old for new, old in zip(items, entries, strict=True)) else items

    def _variable(self, variable: Any, path: str, depth: int) -> Any:
        if not isinstance(variable, Mapping):
            return variable
        source = _Compiler(self._scope, self._report, is_source=True)
        fields = {
            key: self._kubelet_text(one, f"{path}.{key}", key)
            if key == "value"
            else source.compile(one, f"{path}.{key}", field=key, depth=depth)
            for key, one in variable.items()
        }
        return variable if all(fields[key] is variable[key] for key in variable) else fields

    def _mount(self, mount: Any, path: str, depth: int) -> Any:
        if not isinstance(mount, Mapping):
            return mount
        fields = {
            key: self._kubelet_text(one, f"{path}.{key}", key)
            if key == "subPathExpr"
            else self.compile(one, f"{path}.{key}", field=key, depth=depth)
            for key, one in mount.items()
        }
        return mount if all(fields[key] is mount[key] for key in mount) else fields

    def _kubelet_text(self, value: Any, path: str, field: str) -> Any:
        return self._leaf(value, path, field, is_text=True, kubelet=True) if isinstance(value, str) else value

    def _leaf(self, text: str, path: str, field: str, *, is_text: bool, kubelet: bool = False) -> Any:
        if "$(" not in text:
            return text
        try:
            template = compile_template(text, self._scope, kubelet=kubelet)
        except ExpressionError as error:
            self._report(Problem(path, str(error)))
            return text
        return template.render({}) if template.is_constant else _Leaf(template, is_text=is_text, field=field)


def _has_command(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "command" in value or any(_has_command(one) for one in value.values())
    return isinstance(value, list) and any(_has_command(one) for one in value)


def _leaves(node: Any) -> Iterator[_Leaf]:
    if isinstance(node, _Leaf):
        yield node
    elif isinstance(node, list | Mapping):
        for one in node.values() if isinstance(node, Mapping) else node:
            yield from _leaves(one)


def _evaluate(node: Any, values: Mapping[str, Any], path: str) -> Any:
    if isinstance(node, _Leaf):
        return node.evaluate(values, path)
    if isinstance(node, list):
        return [_evaluate(one, values, f"{path}[{at}]") for at, one in enumerate(node)]
    if isinstance(node, Mapping):
        return {key: _evaluate(one, values, f"{path}.{key}") for key, one in node.items()}
    return node


def check_pod_template(template: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Find what is wrong with a podTemplate.

    Args:
        template: the field's value.
        path: its field path.
    """
    yield from _check_fields(template, TOP_FIELDS, path)
    for field in TOP_FIELDS:
        if template.get(field) is not None and not isinstance(template[field], Mapping):
            yield Problem(f"{path}.{field}", f"must be an object; got {describe(template[field])}")
    metadata, spec = template.get("metadata"), template.get("spec")
    if isinstance(metadata, Mapping):
        yield from _check_metadata(metadata, f"{path}.metadata")
    if isinstance(spec, Mapping):
        yield from _check_spec(spec, f"{path}.spec")


def _check_fields(value: Mapping[str, Any], known: tuple[str, ...], path: str) -> Iterator[Problem]:
    for field in value:
        if field not in known:
            yield Problem(f"{path}.{field}", f"unknown field{suggest(field, known)}; known fields: {', '.join(known)}")


def _check_metadata(metadata: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _check_fields(metadata, METADATA_FIELDS, path)
    for field in METADATA_FIELDS:
        entries = metadata.get(field)
        # An expression may stand for all of them; its value is checked when it is known.
        if entries is not None and not (isinstance(entries, str) and "$(" in entries):
            yield from _check_entries(entries, field, f"{path}.{field}")


def _check_entries(entries: Any, field: str, path: str) -> Iterator[Problem]:
    if not isinstance(entries, Mapping):
        yield Problem(path, f"must be an object; got {describe(entries)}")
        return
    for key, value in entries.items():
        if key.partition("/")[0] == GROUP:
            yield Problem(f"{path}[{key}]", f"{field} of {GROUP}/ are reserved for Penstock: choose another name")
        if not isinstance(value, str):
            yield Problem(f"{path}[{key}]", f"must be a string; got {describe(value)}: put it in quotes")


def _check_spec(spec: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if spec.get("restartPolicy") not in (None, "Never"):
        yield Problem(f"{path}.restartPolicy", "must be Never: Penstock retries with a new Pod; use the task's retry")
    for field in CONTAINER_FIELDS:
        yield from _check_list(spec, field, path)
        for index, container in enumerate(_list(spec, field)):
            yield from _check_container(container, f"{path}.{field}[{index}]")
    yield from _check_list(spec, "volumes", path)
    yield from _check_objects(spec, "volumes", path)


def _check_container(container: Any, path: str) -> Iterator[Problem]:
    if isinstance(container, Mapping) and set(container) == {DIRECTIVE}:
        return
    if not isinstance(container, Mapping) or not isinstance(container.get("name"), str) or not container["name"]:
        yield Problem(f"{path}.name", "is required; containers are merged by name, and main is the task's container")
        return
    for field in CONTAINER_LISTS:
        yield from _check_list(container, field, path)
    for field in READ_ENTRIES:
        yield from _check_objects(container, field, path)
    for index, variable in enumerate(_list(container, "env")):
        if not isinstance(variable, Mapping) or set(variable) == {DIRECTIVE}:
            continue
        if not isinstance(variable.get("name"), str) or not variable["name"]:
            yield Problem(f"{path}.env[{index}].name", "is required; variables are merged by name")


def _list(value: Mapping[str, Any], field: str) -> list[Any]:
    entries = value.get(field)
    return entries if isinstance(entries, list) else []


def _check_list(value: Mapping[str, Any], field: str, path: str) -> Iterator[Problem]:
    if value.get(field) is not None and not isinstance(value[field], list):
        yield Problem(f"{path}.{field}", _no_list(value[field]))


def _check_objects(value: Mapping[str, Any], field: str, path: str) -> Iterator[Problem]:
    for index, entry in enumerate(_list(value, field)):
        if not isinstance(entry, Mapping):
            yield Problem(f"{path}.{field}[{index}]", f"must be an object; got {describe(entry)}")


def _no_list(value: Any) -> str:
    hint = ": an expression may stand in an entry, not for the list" if isinstance(value, str) and "$(" in value else ""
    return f"must be a list; got {describe(value)}{hint}"
