"""The create of an attempt's object, whatever that is: sent, held by a quota, or refused for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from penstock.engine.machine.effects import CreateAttempt
from penstock.engine.machine.facts import CreateHeld, CreateRefused, Fact
from penstock.errors import PenstockError
from penstock.kube.errors import ApiError, is_already_exists, is_namespace_terminating, is_not_found, is_quota
from penstock_operator.runs.attempts.quota import QuotaGates
from penstock_operator.runs.live_run import LiveRun

Act = Callable[[LiveRun, CreateAttempt], Awaitable[None]]


class CreateListener(Protocol):
    """Who hears what became of a create."""

    @property
    def is_live(self) -> Callable[[LiveRun], bool]:
        """Whether a run is still the one of its name that is carried out."""

    @property
    def tell(self) -> Callable[[LiveRun, Fact], None]:
        """Takes a fact about a run."""

    @property
    def doubt(self) -> Callable[[LiveRun], None]:
        """Told that a run, or its namespace, may be gone."""


class _QuotaFullError(PenstockError):
    """A ResourceQuota refused the object."""


class AttemptCreator:
    """Creates the objects of attempts. While a namespace's quota is full, all but one of its creates wait.

    Args:
        send: creates the object and says what it is like; what it raises of the API server's refusals is dealt with
            here.
        adopt: takes over an object that has its name, if it is of this attempt.
        listener: who hears of it.
        full: what to say of a create that waits without having asked.
    """

    def __init__(self, send: Act, adopt: Act, listener: CreateListener, *, full: str) -> None:
        self._send = send
        self._adopt = adopt
        self._listener = listener
        self._full = full
        self._gates = QuotaGates()

    def notice_room(self, namespace: str) -> None:
        """Learn that something of ours in a namespace has ended: its quota may have room."""
        self._gates.notice_room(namespace)

    async def create(self, run: LiveRun, create: CreateAttempt) -> None:
        """Create the object of an attempt, adopt the one that is there, or learn why it can't be had."""
        if self._gates.is_closed(run.key.namespace):
            self._hold(run, create, self._full)
            return
        try:
            await self._try(run, create)
        except _QuotaFullError as full:
            self._hold(run, create, str(full))

    def _hold(self, run: LiveRun, create: CreateAttempt, message: str) -> None:
        self._listener.tell(run, CreateHeld(create.key, create.attempt, message))

        async def attempt() -> bool:
            try:
                await self._try(run, create)
            except _QuotaFullError:
                return False
            return True

        self._gates.wait(run.key.namespace, attempt)

    async def _try(self, run: LiveRun, create: CreateAttempt) -> None:
        machine = run.machine
        if not self._listener.is_live(run) or machine is None or run.is_terminating or not machine.is_wanted(create):
            return
        try:
            await self._send(run, create)
        except ApiError as error:
            await self._on_refused(run, create, error)

    async def _on_refused(self, run: LiveRun, create: CreateAttempt, error: ApiError) -> None:
        if is_already_exists(error):
            await self._adopt(run, create)
        elif is_quota(error):
            raise _QuotaFullError(error.message) from error
        elif is_namespace_terminating(error):
            run.is_terminating = True
        elif is_not_found(error):
            run.is_terminating = True
            self._listener.doubt(run)
        else:
            self._listener.tell(run, CreateRefused(create.key, create.attempt, error.message or str(error)))
