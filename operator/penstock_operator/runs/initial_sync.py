"""The initial sync: before any run is given a slot, every run that may have one is reconciled."""

from __future__ import annotations

from penstock.engine.keys import RunKey
from penstock_operator.runs.registry import RunRegistry


class InitialSync:
    """Knows which runs are still to be reconciled after a start, and which runs wait for that.

    Args:
        registry: has runs reconciled.
    """

    def __init__(self, registry: RunRegistry) -> None:
        self._registry = registry
        self._is_open = False
        self._missing: set[RunKey] = set()
        self._waiting: set[RunKey] = set()

    @property
    def is_complete(self) -> bool:
        """Whether every run was reconciled."""
        return self._is_open and not self._missing

    def expect_run(self, run: RunKey) -> None:
        """Add a run that existed when this process started; later ones do not count."""
        if not self._is_open:
            self._missing.add(run)

    def is_expected(self, run: RunKey) -> bool:
        """Whether a run is known to be unfinished, and still to be reconciled."""
        return run in self._missing

    def open(self) -> None:
        """Expect no more runs: the first lists are complete."""
        self._is_open = True
        self._release_waiting()

    def mark_reconciled(self, run: RunKey) -> None:
        """Note that a run was reconciled, with or without success."""
        if run in self._missing:
            self._missing.discard(run)
            self._release_waiting()

    def reconcile_when_complete(self, run: RunKey) -> None:
        """Have a run reconciled again when the initial sync is complete."""
        self._waiting.add(run)

    def _release_waiting(self) -> None:
        if self.is_complete:
            waiting, self._waiting = self._waiting, set()
            for run in waiting:
                self._registry.queue.add(run)
