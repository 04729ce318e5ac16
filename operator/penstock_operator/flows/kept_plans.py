"""Compiled plans in memory, bounded by the memory that they take."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import ObjectKey

KEPT_BYTES: Final = 64 << 20
"""Memory of all plans together, about; one that was dropped is compiled again when it is needed."""
BYTES_PER_TASK: Final = 4_000
BYTES_PER_SPEC_BYTE: Final = 8
"""How large a plan is, about: an estimate from a Flow of 5,000 tasks, whose plan and spec took 27 to 35 MiB."""


class KeptPlans:
    """The plans that were used last.

    A plan that a run uses stays in memory as long as that run, whether it is kept here or not.

    Args:
        most_bytes: of all plans together; the last used one is kept however large it is.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._plans: OrderedDict[ObjectKey, tuple[Plan, int]] = OrderedDict()
        self._bytes = 0

    def get(self, revision: ObjectKey) -> Plan | None:
        """Return the plan of a revision."""
        kept = self._plans.get(revision)
        if kept is None:
            return None
        self._plans.move_to_end(revision)
        return kept[0]

    def add(self, revision: ObjectKey, plan: Plan, *, spec_bytes: int) -> None:
        """Keep a plan, and drop those that were not used for longest if they are too large together.

        Args:
            revision: whose plan.
            plan: the plan.
            spec_bytes: of the spec as JSON.
        """
        self._drop(revision)
        size_bytes = BYTES_PER_TASK * len(plan.tasks) + BYTES_PER_SPEC_BYTE * spec_bytes
        self._plans[revision] = (plan, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._most_bytes and len(self._plans) > 1:
            self._drop(next(iter(self._plans)))

    def __len__(self) -> int:
        return len(self._plans)

    def _drop(self, revision: ObjectKey) -> None:
        _, size_bytes = self._plans.pop(revision, (None, 0))
        self._bytes -= size_bytes
