"""Expressions: CEL over params, tasks and items.

    tasks.list-files.outputs.rows > 0 && params.day != ""

An expression is checked against a scope when it is compiled, so that a wrong name is reported where it was written.
After that it can be evaluated any number of times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from penstock.engine.expressions.cel import FAILURES, Program, compile_program
from penstock.engine.expressions.failure import Failure, SlowFailure
from penstock.engine.expressions.lexer import MAX_SOURCE, Fault
from penstock.engine.expressions.path import Gap, describe
from penstock.engine.expressions.references import (
    WHERE_ROOTS_ARE,
    References,
    find_references,
    original_offset,
    rewrite,
)
from penstock.engine.expressions.scope import Scope, TaskReference, TaskShape
from penstock.errors import ExpressionError, SlowExpressionError

__all__ = ["Expression", "Scope", "TaskReference", "TaskShape", "compile_expression"]


class Expression:
    """A compiled expression. Made by `compile_expression`."""

    __slots__ = ("_found", "_program", "params", "run_fields", "source", "takes_all_params", "tasks")

    def __init__(self, source: str, found: References, program: Program | None) -> None:
        self._found = found
        self._program = program
        self.source: Final = source
        """As the user wrote it."""
        self.tasks: Final = frozenset(found.tasks)
        """Which attributes of which tasks it uses."""
        self.params: Final = frozenset(found.params)
        """Names of the params that it uses."""
        self.run_fields: Final = frozenset(
            path.steps[0]
            for path in found.paths
            if path.root == "run" and path.steps and isinstance(path.steps[0], str)
        )
        """Fields of `run` that it uses."""
        self.takes_all_params: Final = found.takes_all_params
        """Whether it uses the params as a whole too."""

    @property
    def result(self) -> str:
        """CEL's type of the value as far as it is known before evaluation: BOOL, STRING, ..., DYN."""
        return self._program.result if self._program else "DYN"

    @property
    def cheap_weight(self) -> int:
        """The weight of values up to which it can be evaluated anywhere; -1: it must be tried."""
        return sys.maxsize if self._program is None else self._program.cheap_weight

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value.

        Args:
            values: plain JSON values of the roots, at least of those roots and tasks that the expression refers to.
                Of a task: its outputs, state, reason and exitCode.

        Returns:
            A plain JSON value; timestamps and durations as strings. Treat it as read-only: it may be part of `values`.

        Raises:
            ExpressionError: it could not be evaluated; the message says why.
            SlowExpressionError: it takes too long to be evaluated on this thread.
        """
        if self._found.path is not None:
            value = self._found.path.follow(values)
            if isinstance(value, Gap):
                raise ExpressionError(value.message)
            return value
        assert self._program is not None
        try:
            return self._program.run(self._choose(values))
        except Failure as failure:
            error = SlowExpressionError if isinstance(failure, SlowFailure) else ExpressionError
            raise error(self._explain(failure, values)) from failure

    def evaluate_condition(self, values: Mapping[str, Any]) -> bool:
        """Return the value of an expression that must be true or false.

        Raises:
            ExpressionError: it is neither.
        """
        value = self.evaluate(values)
        if not isinstance(value, bool):
            raise ExpressionError(f"{self.source} must be true or false; got {describe(value)}")
        return value

    def _choose(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return only the values that the expression refers to: CEL converts all values that it gets."""
        chosen = {root: values[root] for root in self._found.roots if root in values}
        if "run" in chosen and FAILURES not in self.source:
            # All other fields are strings, and checked as such.
            chosen["run"] = {name: value for name, value in chosen["run"].items() if name != FAILURES}
        if "tasks" in chosen:
            tasks: dict[str, dict[str, Any]] = {}
            for name, wanted in self.tasks:
                given, attribute = chosen["tasks"].get(name, {}), wanted.removeprefix("?")
                tasks.setdefault(name, {}).update({attribute: given[attribute]} if attribute in given else {})
            chosen["tasks"] = tasks
        if "params" in chosen and not self.takes_all_params:
            chosen["params"] = {name: chosen["params"][name] for name in self.params if name in chosen["params"]}
        return chosen

    def _explain(self, failure: Failure, values: Mapping[str, Any]) -> str:
        """Name the path that does not exist, if that is the reason."""
        if failure.may_be_path:
            for path in self._found.paths:
                gap = path.follow(values)
                if isinstance(gap, Gap) and failure.key in (None, gap.key):
                    return gap.message
        return f"{self.source}: {failure.message}"


def compile_expression(source: str, scope: Scope, *, text: str | None = None, start: int = 0) -> Expression:
    """Compile an expression.

    Args:
        source: the expression, without `$(` and `)`.
        scope: what it may refer to.
        text: the text that the expression stands in, for columns in messages; the expression itself if not given.
        start: offset of the expression in that text.

    Raises:
        ExpressionError: it does not compile, or refers to something that does not exist.
    """
    try:
        return _compile(source, scope)
    except Fault as fault:
        raise located(source if text is None else text, start + fault.offset, fault.message) from fault


def located(text: str, offset: int, message: str) -> ExpressionError:
    """Return an error that names its place in a text."""
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    where = f"line {line}, column {column}" if "\n" in text else f"column {column}"
    return ExpressionError(f"{where}: {message}")


def _compile(source: str, scope: Scope) -> Expression:
    if len(source) > MAX_SOURCE:
        raise Fault(0, f"the expression has {len(source)} characters: at most {MAX_SOURCE} are allowed")
    if not source.strip():
        raise Fault(0, "the expression is empty")
    found = find_references(source, scope)
    if found.path is not None:
        return Expression(source, found, None)
    try:
        program = compile_program(rewrite(source, found.edits), scope.roots)
    except Fault as fault:
        offset = original_offset(fault.offset, found.edits)
        message = fault.message
        for root, where in WHERE_ROOTS_ARE.items():
            if message.startswith(f'there is no "{root}" here'):
                message = f'there is no "{root}" here: {where}'
        raise Fault(offset, message) from fault
    return Expression(source, found, program)
