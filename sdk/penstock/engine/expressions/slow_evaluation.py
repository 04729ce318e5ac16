"""Where expensive expressions are evaluated. The process hands it in: the engine itself starts no process.

The operator serves everybody from one event loop, so it evaluates what is not cheap in processes beside it, which it
can end. Where nothing was handed in, as in local runs, the expression is evaluated where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class SlowEvaluator(Protocol):
    """Evaluates expressions that may take seconds."""

    def check_place(self) -> None:
        """Check that the calling thread may wait.

        Raises:
            SlowFailure: it must not: others would wait with it.
        """

    def evaluate(self, source: str, roots: frozenset[str], data: Mapping[str, Any]) -> Any:
        """Evaluate plain CEL; blocks the calling thread.

        Raises:
            Failure: it could not be evaluated, or took too long.
        """


_evaluator: SlowEvaluator | None = None


def set_slow_evaluator(evaluator: SlowEvaluator | None) -> SlowEvaluator | None:
    """Have every expensive expression of this process evaluated by an evaluator; None: where it is needed.

    Returns:
        The evaluator that it replaces.
    """
    global _evaluator
    before, _evaluator = _evaluator, evaluator
    return before


def slow_evaluator() -> SlowEvaluator | None:
    """Return the evaluator of this process."""
    return _evaluator
