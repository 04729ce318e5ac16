"""Runs of a deployment that are asked for: who waits for them, and which of them may start.

A request with the key of an earlier one joins it: both get the result of the one run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

LOGGER: Final = logging.getLogger("penstock.serve")
MAX_KEYS: Final = 1000
"""How many keys are remembered; the oldest are forgotten first."""


class Process(Protocol):
    """The process of a run."""

    @property
    def sentinel(self) -> int:
        """Handle that is ready when it has ended."""

    @property
    def exit_code(self) -> int | None:
        """None while it is running."""

    def take_state(self) -> bytes | None:
        """Return the pickle of its final state, once; None if there is none."""

    def stop(self) -> None:
        """Stop it by SIGTERM."""

    def kill(self) -> None:
        """Kill it."""


class RunRequest(Protocol):
    """A request for a run."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters of the flow, which override those of the deployment."""

    @property
    def tags(self) -> frozenset[str]:
        """Tags of the run, beside those of the deployment."""

    @property
    def name(self) -> str | None:
        """The name of the run; None for one of the deployment's."""

    @property
    def key(self) -> str | None:
        """Requests with the same key get one run."""

    @property
    def scheduled_time(self) -> datetime | None:
        """When the run may start, with its zone."""

    def answer(self, **facts: Any) -> None:
        """Send whether the run waits or has started (`run`), has ended (`code`), or cannot start (`error`)."""

    def close(self) -> None:
        """End the conversation."""


class Inbox(Protocol):
    """Requests for runs of a deployment."""

    def fileno(self) -> int:
        """Return the handle that is ready when there is a request."""

    def take_requests(self) -> Sequence[RunRequest]:
        """Return the requests that have arrived."""


LaunchRequested = Callable[[str, RunRequest], Process]
"""Starts a run, from its name and the request for it."""


class AskedRun:
    """A run that was asked for.

    Args:
        name: its name.
        request: the first request for it.
    """

    def __init__(self, name: str, request: RunRequest) -> None:
        self.name = name
        self.request = request
        self._senders: list[RunRequest] = [request]
        self._reported: list[dict[str, Any]] = []
        self._is_ended = False

    def is_due(self, now: datetime) -> bool:
        """Whether it may start."""
        return self.request.scheduled_time is None or self.request.scheduled_time <= now

    def join(self, request: RunRequest) -> None:
        """Send another sender all that is known, and all that follows."""
        for facts in self._reported:
            request.answer(**facts)
        if self._is_ended:
            request.close()
        else:
            self._senders.append(request)

    def report_waiting(self) -> None:
        """Report that it waits, once."""
        if not self._reported:
            self._report(run=self.name, waits=True)

    def report_started(self) -> None:
        """Report that it has started."""
        self._report(**({"started": True} if self._reported else {"run": self.name}))

    def report_end(self, **facts: Any) -> None:
        """Report how it has ended, and end the conversations."""
        self._report(**facts)
        for each in self._senders:
            each.close()
        self._senders.clear()
        self._is_ended = True

    def _report(self, **facts: Any) -> None:
        self._reported.append(facts)
        for each in self._senders:
            each.answer(**facts)


class Requested:
    """A deployment whose runs are asked for.

    Args:
        name: its name.
        inbox: the requests.
        launch: starts a run.
        limit: maximum number of its concurrent runs; None for no limit.
    """

    def __init__(self, name: str, inbox: Inbox, launch: LaunchRequested, *, limit: int | None) -> None:
        self.name = name
        self.inbox = inbox
        self.limit = limit
        self.runs: list[Any] = []
        """The active runs, of the server."""
        self.waiting: list[AskedRun] = []
        """What waits for a slot or for its time."""
        self._launch = launch
        self._count = 0
        self._by_key: dict[str, AskedRun] = {}

    def take_requests(self) -> None:
        """Take what has arrived."""
        for request in self.inbox.take_requests():
            known = None if request.key is None else self._by_key.get(request.key)
            if known is not None:
                known.join(request)
                continue
            self._count += 1
            asked = AskedRun(request.name or f"{self.name}-{self._count}", request)
            self.waiting.append(asked)
            if request.key is not None:
                self._by_key[request.key] = asked
                if len(self._by_key) > MAX_KEYS:
                    del self._by_key[next(iter(self._by_key))]

    def next_wake(self, now: datetime) -> datetime | None:
        """Return when the next run may start that waits for its time; None if there is none."""
        times = [time for each in self.waiting if (time := each.request.scheduled_time) is not None and time > now]
        return min(times, default=None)

    def start_process(self, asked: AskedRun) -> Process | None:
        """Start the process of a run; None if it cannot start."""
        self.waiting.remove(asked)
        try:
            process = self._launch(asked.name, asked.request)
        except Exception as error:  # noqa: BLE001 - one request must not end the others
            LOGGER.warning("%s: could not be started: %s", asked.name, error)
            if asked.request.key is not None:
                self._by_key.pop(asked.request.key, None)  # who asks again may have corrected the parameters
            asked.report_end(error=f"{asked.name} could not be started: {error}")
            return None
        asked.report_started()
        LOGGER.info("%s: started, as requested", asked.name)
        return process
