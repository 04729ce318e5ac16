"""Effects to send out, and what waits until its reason is stored: effects, and facts about attempts being stopped."""

from __future__ import annotations

from collections import deque

from penstock.engine.machine.effects.effects import (
    AskCache,
    Conclusion,
    CreateAttempt,
    FailedAttempt,
    ReleaseCacheLock,
    RemoveFinalizer,
    Step,
    StopAttempt,
    VerifyAttempt,
)
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.machine.facts import AttemptGone, AttemptSeen, CreateRefused, RenderFailed

HeldFact = AttemptSeen | AttemptGone | CreateRefused | RenderFailed
"""A fact that ends an attempt whose stop is not stored yet."""


class Outbox:
    """Collects effects between two steps."""

    def __init__(self) -> None:
        self.verifies: list[VerifyAttempt] = []
        self.cache: list[AskCache | ReleaseCacheLock] = []
        self.conclusions: list[Conclusion] = []
        self.failed_attempts: list[FailedAttempt] = []
        self.notices: list[Notice] = []
        self.is_slow = False
        """Whether something waits for an expression that takes too long here."""
        self._stops: list[StopAttempt] = []
        self._finalizer_removals: list[RemoveFinalizer] = []
        self._facts: list[HeldFact] = []
        self._waiting: deque[tuple[int, RemoveFinalizer | StopAttempt | HeldFact]] = deque()

    @property
    def waiting(self) -> int:
        """Number of effects and facts that wait for their reason to be stored."""
        return len(self._waiting)

    def add_effect(
        self, effect: RemoveFinalizer | StopAttempt | HeldFact, *, version: int, stored_version: int
    ) -> None:
        """Send an effect out, or release a fact, once `version` is stored."""
        if version <= stored_version:
            self._send(effect)
            return
        # In order of versions, so that only the front has to be checked. Waiting longer does no harm.
        last = self._waiting[-1][0] if self._waiting else 0
        self._waiting.append((max(version, last), effect))

    def mark_stored(self, stored_version: int) -> bool:
        """Release the effects and facts whose reason is stored; returns whether there are any."""
        is_any = False
        while self._waiting and self._waiting[0][0] <= stored_version:
            self._send(self._waiting.popleft()[1])
            is_any = True
        return is_any

    def _send(self, effect: RemoveFinalizer | StopAttempt | HeldFact) -> None:
        if isinstance(effect, RemoveFinalizer):
            self._finalizer_removals.append(effect)
        elif isinstance(effect, StopAttempt):
            self._stops.append(effect)
        else:
            self._facts.append(effect)

    def take_facts(self) -> list[HeldFact]:
        """Remove and return the facts that were released."""
        facts, self._facts = self._facts, []
        return facts

    def return_facts(self, facts: list[HeldFact]) -> None:
        """Take back facts that the next step is to handle, where nothing else waits."""
        self._facts = facts + self._facts
        self.is_slow = True

    def take_stops(self) -> list[StopAttempt]:
        """Remove and return the stops that can be sent out now."""
        stops, self._stops = self._stops, []
        return stops

    def take_step(
        self,
        creates: list[CreateAttempt],
        stops: list[StopAttempt],
        *,
        wake_at: float | None,
        is_changed: bool,
        is_urgent: bool,
    ) -> Step:
        """Return the effects that can be sent out now."""
        step = Step(
            creates=creates,
            stops=stops,
            finalizer_removals=self._finalizer_removals,
            verifies=self.verifies,
            cache=self.cache,
            conclusions=self.conclusions,
            failed_attempts=self.failed_attempts,
            notices=self.notices,
            wake_at=wake_at,
            is_changed=is_changed,
            is_urgent=is_urgent,
            is_slow=self.is_slow,
        )
        self.is_slow = False
        self._finalizer_removals = []
        self.verifies, self.cache, self.notices = [], [], []
        self.conclusions, self.failed_attempts = [], []
        return step
