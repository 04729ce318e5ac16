"""The replicas of the operator, each behind a proxy that breaks connections, and started again when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.kube.connection import Connection
from tests.api.faults import Fault, Seen
from tests.api.proxy import Proxy
from tests.api.replica import Replica

LEASE = "chaos"
LEASE_OPTIONS = ("--lease-duration", "8s", "--lease-renew-deadline", "6s", "--lease-retry-period", "1s")
"""Shorter than usual, so that more leaders come and go; not so short that a busy machine alone deposes them."""
MOST_TO_BREAK = 8
"""Requests that are still to be broken, beyond which there are no more: a replica that stands by sends few."""
UNEXPECTED = "Shutting down after an unexpected error"


class Operator:
    """One replica of a Deployment: a process, and after it the next one, which has another name.

    Args:
        label: of the replica.
        connection: with the rights that the chart gives.
        folder: for its logs.
    """

    def __init__(self, label: str, connection: Connection, folder: Path) -> None:
        self.folder = folder / label
        self.folder.mkdir()
        self._label = label
        self._starts = 0
        self._proxy = Proxy(connection, self.folder)
        self._proxy.__enter__()
        self._faults: list[Fault] = []
        self._given: list[int] = []
        self._is_paused = False
        self._is_closed = False
        self._replica = self._start()

    def _start(self) -> Replica:
        self._starts += 1
        self._is_paused = False
        replica = Replica(
            self._proxy.kubeconfig,
            self.folder,
            namespace="",
            lease=LEASE,
            identity=f"{self._label}-{self._starts}",
            options=LEASE_OPTIONS,
        )
        return replica.__enter__()

    def keep_running(self) -> None:
        """Start the next process if the last one has ended, as a Deployment does."""
        if self._replica.has_ended:
            self._replica.wait()
            self._replica = self._start()

    @property
    def is_up(self) -> bool:
        """Whether the process has begun its work: one that is always ended before that would show nothing."""
        return not self._replica.has_ended and self._replica.log_path.stat().st_size > 0

    def kill(self) -> bool:
        """End the process without a chance to say or do anything more; whether it was up."""
        if not self.is_up:
            return False
        self._replica.kill()
        return True

    def terminate(self) -> bool:
        """Tell the process to end, as a rollout does, if it is up; it may be paused, and then ends later."""
        if not self.is_up:
            return False
        self._replica.signal_end()
        return True

    def pause(self) -> bool:
        """Stop the process's time; whether it was up, and not stopped already."""
        if self._is_paused or not self.is_up:
            return False
        self._replica.pause()
        self._is_paused = True
        return True

    def resume(self) -> None:
        """Let its time pass again."""
        if self._is_paused and not self._replica.has_ended:
            self._replica.resume()
        self._is_paused = False

    def break_requests(self, matches: Callable[[Seen], bool], times: int, **what: object) -> bool:
        """Break so many of the next requests that match; whether not too many are still to be broken."""
        if sum(fault.times or 0 for fault in self._faults) >= MOST_TO_BREAK:
            return False
        self._faults.append(self._proxy.fail(matches, times=times, **what))
        self._given.append(times)
        return True

    def cut_streams(self) -> None:
        """Cut every open watch."""
        self._proxy.cut_streams()

    def heal(self) -> None:
        """Break no further requests, end those that hang, and let a stopped process run."""
        for number, fault in enumerate(self._faults):
            self._given[number] -= fault.times or 0
            fault.times = 0
        self._proxy.end_hangs()
        self.resume()

    @property
    def broken_requests(self) -> int:
        """How many requests were broken; known after `heal`."""
        return sum(self._given)

    def close(self) -> None:
        """End the process and the proxy; to do so twice does nothing more."""
        if self._is_closed:
            return
        self._is_closed = True
        self.resume()
        if not self._replica.has_ended:
            self._replica.terminate()
        self._proxy.__exit__(None, None, None)

    def unexpected_errors(self) -> list[str]:
        """Return the errors by which processes ended, as far as these were not to be expected."""
        found = []
        for path in sorted(self.folder.glob("*.log")):
            _, mark, rest = path.read_text().partition(UNEXPECTED)
            if mark:
                found.append(f"{path.name}: {mark}{rest[-1500:]}")
        return found
