"""The concurrency limit of a Flow, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from penstock.api.flow import FlowSpec
from penstock.engine.expressions.budget import limited
from penstock.engine.expressions.expression import Scope
from penstock.engine.expressions.scope import KEY_ROOTS
from penstock.engine.expressions.template import Template, compile_template
from penstock.errors import ExpressionError, InvalidSpecError, Problem

KEY_COST: Final = 500_000
"""Of a key. When a Flow's key changes, those of all its runs are evaluated one after the other."""


class OnLimit(StrEnum):
    """What happens to a run beyond the limit."""

    QUEUE = "Queue"
    SKIP = "Skip"
    REPLACE = "Replace"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """A Flow's limit.

    Attributes:
        limit: concurrent runs of one key.
        on_limit: what happens to a run beyond the limit.
        key: the compiled key; None if all runs count together.
        source: the key as it is written. Two limits with the same source group runs in the same way.
    """

    limit: int
    on_limit: OnLimit
    key: Template | None = field(default=None, compare=False)
    source: str | None = None

    def key_of(self, values: Mapping[str, Any]) -> str:
        """Return the key of a run.

        Args:
            values: the values of the key's expressions: `params` and `run`.

        Raises:
            ExpressionError: it has no value; the message names the field.
        """
        if self.key is None:
            return ""
        try:
            with limited(KEY_COST):
                return self.key.render(values)
        except ExpressionError as error:
            raise ExpressionError(f"the Flow's concurrency.key: {error}") from error


def compile_concurrency(spec: FlowSpec) -> ConcurrencyLimit | None:
    """Compile a Flow's limit; None if it has none.

    Raises:
        InvalidSpecError: the key does not compile.
    """
    concurrency = spec.concurrency
    if concurrency is None:
        return None
    on_limit = OnLimit(concurrency.on_limit or OnLimit.QUEUE)
    if concurrency.key is None:
        return ConcurrencyLimit(concurrency.limit, on_limit)
    scope = Scope(KEY_ROOTS, params=frozenset(param.name for param in spec.params or ()))
    try:
        key = compile_template(concurrency.key, scope)
    except ExpressionError as error:
        raise InvalidSpecError([Problem("spec.concurrency.key", str(error))]) from error
    return ConcurrencyLimit(concurrency.limit, on_limit, key, concurrency.key)
