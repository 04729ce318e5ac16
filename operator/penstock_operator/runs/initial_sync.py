"""The census: before anybody is given a slot, every run that may have one is looked at."""

from __future__ import annotations

from collections.abc import Callable

from penstock.engine.keys import RunKey


class InitialSync:
    """Knows which runs are still to be looked at after a start, and who waits for that.

    Args:
        wake: has a run looked at again.
    """

    def __init__(self, wake: Callable[[RunKey], None]) -> None:
        self._wake = wake
        self._is_open = False
        self._missing: set[RunKey] = set()
        self._waiting: set[RunKey] = set()

    @property
    def is_complete(self) -> bool:
        """Whether everybody was looked at."""
        return self._is_open and not self._missing

    def expect(self, run: RunKey) -> None:
        """Learn that a run was there when this process began; later ones don't count."""
        if not self._is_open:
            self._missing.add(run)

    def open(self) -> None:
        """Learn that all that were there are known by their keys."""
        self._is_open = True
        self._wake_all()

    def strike(self, run: RunKey) -> None:
        """Learn that a run was looked at, whatever came of it."""
        if run in self._missing:
            self._missing.discard(run)
            self._wake_all()

    def wait(self, run: RunKey) -> None:
        """Have a run looked at again when the census is complete."""
        self._waiting.add(run)

    def _wake_all(self) -> None:
        if self.is_complete:
            waiting, self._waiting = self._waiting, set()
            for run in waiting:
                self._wake(run)
