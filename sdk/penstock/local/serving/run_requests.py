"""Requests for runs of a served deployment, from other processes of this user on this machine.

`serve` listens on a socket of the deployment's name, and `run_deployment` connects to it. The socket is abstract, so
nothing of it is left behind by a process that was killed; who connects is known by its user id.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pickle
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TextIO

from penstock.authoring.awaiting import awaitable
from penstock.authoring.runs.states import State, StateType
from penstock.authoring.storage.home import home
from penstock.errors import CommandError, OptionError, ResultError

MAX_BYTES: Final = 1 << 20
ANSWER_S: Final = 1.0
"""How long a request may take to arrive."""
REPLY_S: Final = 30.0
"""How long the process that serves may take to accept a request. It may be starting other runs."""
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run, whose sender waits."""

    parameters: Mapping[str, Any]
    tags: frozenset[str]
    name: str | None
    key: str | None
    scheduled_time: datetime | None
    connection: socket.socket

    def answer(self, **facts: Any) -> None:
        """Send one line to the sender, if it still waits."""
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(facts).encode() + b"\n")

    def close(self) -> None:
        """End the conversation."""
        self.connection.close()


class UnreadableState(State[Any]):
    """A final state whose result or exception cannot be passed from one process to another: its data are the reason."""

    __slots__ = ()

    @awaitable
    def result(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Prefect's signature
        """Raise the reason, also if the run completed.

        Raises:
            ResultError: always, unless the exception of a failed run is only to be returned.
        """
        if self.is_completed() or raise_on_failure:
            raise self.data
        return self.data


class RunRequests:
    """Listens for requests for runs of one deployment.

    Args:
        name: the name of the deployment.

    Raises:
        OptionError: another process serves a deployment of this name.
    """

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address(name))
        except OSError as error:
            self._socket.close()
            raise OptionError(f"another process serves a deployment with the name {name!r}: rename one") from error
        self._socket.listen()
        self._socket.settimeout(0)

    def fileno(self) -> int:
        """Return the handle that is ready when there is a request."""
        return self._socket.fileno()

    def take_requests(self) -> list[RunRequest]:
        """Return the requests that have arrived."""
        found: list[RunRequest] = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return found
            if (request := _read(connection)) is None:
                connection.close()
            else:
                found.append(request)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def request_run(
    name: str,
    parameters: Mapping[str, Any],
    *,
    tags: Sequence[str],
    timeout_s: float | None,
    run_name: str | None = None,
    key: str | None = None,
    scheduled_time: datetime | None = None,
) -> tuple[str, State[Any]] | None:
    """Ask the process that serves a deployment for a run, and wait until the run has ended.

    Args:
        name: the name of the deployment.
        parameters: parameters of the flow; JSON.
        tags: tags of the run.
        timeout_s: how long to wait; 0 returns when the request was accepted, None waits for its end.
        run_name: the name of the run; None for the next one of the deployment.
        key: requests with the same key get one run.
        scheduled_time: when it may start; in local time if it has no zone.

    Returns:
        The name of the run, and its state, Scheduled if it has not started; None if no process serves the name.

    Raises:
        CommandError: it could not be started, or the parameters are not JSON.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if client.connect_ex(_address(name)) != 0:
            return None
        if _user_of(client) != os.getuid():
            # What it answers is unpickled. Names of abstract sockets have no owner.
            raise CommandError(f"the process that serves {name!r} belongs to another user")
        try:
            facts: dict[str, Any] = {"parameters": dict(parameters), "tags": list(tags), "name": run_name, "key": key}
            facts["at"] = None if scheduled_time is None else scheduled_time.astimezone().isoformat()
            data = json.dumps(facts).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise CommandError(f"parameters of {name!r}: {error}; they must be JSON") from error
        client.settimeout(REPLY_S)
        client.sendall(data)
        with client.makefile("r", encoding="utf-8") as answers:
            return _followed(name, client, answers, timeout_s)


def _followed(name: str, client: socket.socket, answers: TextIO, timeout_s: float | None) -> tuple[str, State[Any]]:
    """Read answers until the run has ended, or the time has passed."""
    try:
        accepted = answers.readline()
    except TimeoutError:
        raise CommandError(f"the process that serves {name!r} did not answer within {REPLY_S:g} s") from None
    if not accepted:
        raise CommandError(f"the process that serves {name!r} ended, or refused the request: see its log")
    facts = _checked(accepted)
    run, state = facts["run"], State[Any](StateType.SCHEDULED if facts.get("waits") else StateType.RUNNING)
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while end is None or time.monotonic() < end:
        client.settimeout(None if end is None else max(0.001, end - time.monotonic()))
        try:
            line = answers.readline()
        except TimeoutError:
            break
        if not line:
            break
        facts = _checked(line)
        if "code" in facts:
            return run, _state(facts)
        state = State(StateType.RUNNING)
    return run, state


def _checked(line: str) -> dict[str, Any]:
    """Return the facts of an answer.

    Raises:
        CommandError: the run could not be started.
    """
    facts: dict[str, Any] = json.loads(line)
    if "error" in facts:
        raise CommandError(facts["error"])
    return facts


def _state(facts: Mapping[str, Any]) -> State[Any]:
    """Return the final state of a run that has ended; that of its exit code if the process was killed."""
    if facts["state"] is None:
        return State(StateType.CRASHED, None, f"exit code {facts['code']}")
    try:
        state: State[Any] = pickle.loads(base64.b64decode(facts["state"]))  # noqa: S301 - of a process of this user
    except Exception as error:  # noqa: BLE001 - this program may lack the modules of the flow
        kind = StateType.COMPLETED if facts["code"] == 0 else StateType.FAILED
        message = f"what the run returned or raised cannot be read here: {type(error).__name__}: {error}"
        return UnreadableState(kind, None, message, ResultError(message))
    return state


def _user_of(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user


def _address(name: str) -> str:
    """Return the abstract address of a deployment of this user and PENSTOCK_HOME."""
    where = f"{os.getuid()} {home().absolute()} {name}"
    return f"\0penstock-{hashlib.sha256(where.encode()).hexdigest()[:32]}"


def _read(connection: socket.socket) -> RunRequest | None:
    """Return the request of a connection; None if it is not one, or of another user."""
    if _user_of(connection) != os.getuid():
        return None
    connection.settimeout(ANSWER_S)
    try:
        with connection.makefile("rb") as file:
            line = file.readline(MAX_BYTES)
        facts = json.loads(line)
        at = None if facts["at"] is None else datetime.fromisoformat(facts["at"])
        request = RunRequest(facts["parameters"], frozenset(facts["tags"]), facts["name"], facts["key"], at, connection)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return request
