"""Templates: texts with expressions in `$(...)`, and JSON values whose strings are such texts.

The grammar is the same in every field:

- `$(` opens an expression, which ends at the parenthesis that closes it; parentheses in strings don't count.
- `$$(` is a literal `$(`. As the kubelet reads it, so do we: of several `$` before a parenthesis each two are one
  literal `$`, and an odd one opens an expression.
- A text that is one `$(...)` and nothing else keeps the type of its value.

In `args` and `env` the kubelet expands `$(VARIABLE)` afterwards, see
https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#container-v1-core. There the user's own text is
passed on unchanged, but every `$` of a substituted value is doubled, so that a value never names a variable.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.engine.expressions.expression import Expression, Scope, TaskReference, compile_expression, located
from penstock.engine.expressions.input_values import MAX_DEPTH
from penstock.engine.expressions.lexer import CEL_KEYWORDS, Fault, find_closing
from penstock.engine.expressions.scope import ROOTS
from penstock.errors import ExpressionError

# The look-behind keeps a long row of `$` from being tried from each of its characters.
_OPENING: Final = re.compile(r"(?<!\$)(\$++)\(")
_LONE_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\)")
EXACT_FLOATS: Final = 2.0**53
"""Below it every whole number has a float of its own."""


class Template:
    """A compiled text. Made by `compile_template`."""

    __slots__ = ("_for_kubelet", "_parts", "is_constant", "params", "tasks")

    def __init__(self, parts: tuple[str | Expression, ...], *, for_kubelet: bool) -> None:
        self._parts = parts
        self._for_kubelet = for_kubelet
        expressions = [part for part in parts if isinstance(part, Expression)]
        self.tasks: Final[frozenset[TaskReference]] = frozenset().union(*(one.tasks for one in expressions))
        """Which attributes of which tasks its expressions use."""
        self.params: Final[frozenset[str]] = frozenset().union(*(one.params for one in expressions))
        """Names of the params that its expressions use."""
        self.is_constant: Final = not expressions
        """Whether it has no expression."""

    @property
    def cheap_weight(self) -> int:
        """The least `Expression.cheap_weight` of its expressions."""
        return min((part.cheap_weight for part in self._parts if isinstance(part, Expression)), default=sys.maxsize)

    @property
    def expression(self) -> Expression | None:
        """The expression, if the whole text is one."""
        return self._parts[0] if len(self._parts) == 1 and isinstance(self._parts[0], Expression) else None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value: of any type when the whole text is one expression, else a string as `render` gives it.

        Args:
            values: values of the roots, as for `Expression.evaluate`.

        Raises:
            ExpressionError: an expression could not be evaluated.
        """
        expression = self.expression
        return self.render(values) if expression is None else expression.evaluate(values)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text with its expressions replaced by their values.

        Strings stand as they are, booleans as `true` and `false`, whole numbers without a fraction, arrays and objects
        as compact JSON. Null is an empty text, because `null` would be taken for a word.

        Args:
            values: values of the roots, as for `Expression.evaluate`.

        Raises:
            ExpressionError: an expression could not be evaluated.
        """
        return "".join(
            part if isinstance(part, str) else self._escape(text_of(part.evaluate(values))) for part in self._parts
        )

    def _escape(self, text: str) -> str:
        return text.replace("$", "$$") if self._for_kubelet else text


class ValueTemplate:
    """A compiled JSON value. Made by `compile_value`."""

    __slots__ = ("_node", "is_constant", "params", "tasks")

    def __init__(self, node: Any) -> None:
        # Strings with expressions are Templates, everything else is the user's value itself.
        self._node = node
        templates = list(_templates(node))
        self.tasks: Final[frozenset[TaskReference]] = frozenset().union(*(one.tasks for one in templates))
        """Which attributes of which tasks its expressions use."""
        self.params: Final[frozenset[str]] = frozenset().union(*(one.params for one in templates))
        """Names of the params that its expressions use."""
        self.is_constant: Final = not templates
        """Whether it has no expression."""

    @property
    def cheap_weight(self) -> int:
        """The least `Expression.cheap_weight` of its expressions."""
        return min((template.cheap_weight for template in _templates(self._node)), default=sys.maxsize)

    @property
    def expression(self) -> Expression | None:
        """The expression, if the whole value is one."""
        return self._node.expression if isinstance(self._node, Template) else None

    @property
    def is_text(self) -> bool:
        """Whether it is a string around one or more expressions, so that its value is a string whatever theirs are."""
        return isinstance(self._node, Template) and self._node.expression is None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value with every string replaced by its value; treat it as read-only.

        Args:
            values: values of the roots, as for `Expression.evaluate`.

        Raises:
            ExpressionError: an expression could not be evaluated.
        """
        return self._node if self.is_constant else _evaluate(self._node, values)


def compile_template(text: str, scope: Scope, *, kubelet: bool = False) -> Template:
    """Compile a text.

    Args:
        text: the text.
        scope: what its expressions may refer to.
        kubelet: whether the kubelet expands the result again, as it does with args and env. Then a lone `$(NAME)` whose
            NAME is not a root of expressions is left to it.

    Raises:
        ExpressionError: an expression is not closed, does not compile, or refers to something that does not exist.
    """
    if "$(" not in text:
        return Template((text,), for_kubelet=kubelet)
    parts: list[str | Expression] = []
    literal: list[str] = []
    position = 0
    while opening := _OPENING.search(text, position):
        dollars, start = len(opening[1]), opening.end()
        literal.append(text[position : opening.start()])
        position = start
        is_escaped = dollars % 2 == 0
        if kubelet and (is_escaped or _is_for_kubelet(text, start)):
            literal.append(opening[0])
            continue
        literal.append("$" * (dollars - (not is_escaped) if kubelet else dollars // 2))
        if is_escaped:
            literal.append("(")
            continue
        end = _closing(text, start)
        if prefix := "".join(literal):
            parts.append(prefix)
        literal.clear()
        parts.append(compile_expression(text[start:end], scope, text=text, start=start))
        position = end + 1
    if rest := "".join([*literal, text[position:]]):
        parts.append(rest)
    return Template(tuple(parts), for_kubelet=kubelet)


def compile_value(value: Any, scope: Scope) -> ValueTemplate:
    """Compile a JSON value; its strings, at any depth, are texts. Keys of objects are not.

    Args:
        value: the value.
        scope: what its expressions may refer to.

    Raises:
        ExpressionError: as `compile_template`, after the place inside the value.
    """
    return ValueTemplate(_compile(value, scope, "", 0))


def compile_condition(source: str, scope: Scope) -> Expression:
    """Compile an expression that must be true or false, bare or wrapped in `$(...)`.

    Raises:
        ExpressionError: it does not compile, or is of another type whatever the values.
    """
    expression = None
    stripped = source.strip()
    if stripped.startswith("$("):
        expression = compile_template(stripped, scope).expression
    if expression is None:
        expression = compile_expression(source, scope)
    if expression.result not in ("BOOL", "DYN"):
        raise ExpressionError(f"must be true or false; got a value of type {expression.result.lower()}")
    return expression


def text_of(value: Any) -> str:
    """Return a value as text: see `Template.render`."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(_tidy(value), ensure_ascii=False, separators=(",", ":"))


def _tidy(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOATS:
        return int(value)
    if isinstance(value, list | tuple):
        return [_tidy(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _tidy(one) for key, one in value.items()}
    return value


def _is_for_kubelet(text: str, start: int) -> bool:
    name = _LONE_NAME.match(text, start)
    return name is not None and name[1] not in ROOTS and name[1] not in CEL_KEYWORDS


def _closing(text: str, start: int) -> int:
    try:
        end = find_closing(text, start)
    except Fault as fault:
        raise located(text, fault.offset, fault.message) from fault
    if end < 0:
        raise located(text, start - 2, "this $( is not closed; for a literal $( write $$(")
    return end


def _compile(value: Any, scope: Scope, path: str, depth: int) -> Any:
    """Replace the strings that have expressions by templates; return the same object if there are none."""
    if isinstance(value, str):
        if "$(" not in value:
            return value
        try:
            template = compile_template(value, scope)
        except ExpressionError as error:
            raise ExpressionError(f"{path}: {error}" if path else str(error)) from error
        return template.render({}) if template.is_constant else template
    if not isinstance(value, list | dict):
        return value
    if depth == MAX_DEPTH:
        raise ExpressionError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        items = [_compile(one, scope, f"{path}[{position}]", depth + 1) for position, one in enumerate(value)]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    fields = {key: _compile(one, scope, f"{path}.{key}", depth + 1) for key, one in value.items()}
    return value if all(fields[key] is value[key] for key in value) else fields


def _templates(node: Any) -> Iterator[Template]:
    if isinstance(node, Template):
        yield node
    elif isinstance(node, list | dict):
        for one in node.values() if isinstance(node, dict) else node:
            yield from _templates(one)


def _evaluate(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, Template):
        return node.evaluate(values)
    if isinstance(node, list):
        return [_evaluate(one, values) for one in node]
    if isinstance(node, dict):
        return {key: _evaluate(one, values) for key, one in node.items()}
    return node
