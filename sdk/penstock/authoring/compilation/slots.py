"""Slots: the values that a call needs and that are known only when it runs."""

from __future__ import annotations

from typing import Any


class Slots:
    """The expressions whose values a call needs, without duplicates."""

    def __init__(self) -> None:
        self.expressions: list[str] = []

    def add_expression(self, expression: str) -> int:
        """Return the slot of an expression's value."""
        if expression not in self.expressions:
            self.expressions.append(expression)
        return self.expressions.index(expression)


Template = Any
"""Plain JSON."""
