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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.authoring.awaiting import awaitable
from penstock.authoring.runs.states import State, StateType
from penstock.authoring.storage.home import home
from penstock.errors import CommandError, OptionError, ResultError

MAX_BYTES: Final = 1 << 20
ANSWER_S: Final = 1.0
"""How long a request may take to arrive."""
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run, whose sender waits."""

    parameters: Mapping[str, Any]
    tags: frozenset[str]
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

    def take(self) -> list[RunRequest]:
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
    name: str, parameters: Mapping[str, Any], *, tags: Sequence[str], timeout_s: float | None
) -> tuple[str, State[Any]] | None:
    """Ask the process that serves a deployment for a run, and wait until the run has ended.

    Args:
        name: the name of the deployment.
        parameters: parameters of the flow; JSON.
        tags: tags of the run.
        timeout_s: how long to wait; 0 returns when it has started, None waits for its end.

    Returns:
        The name of the run, and its state; None if no process serves the name.

    Raises:
        CommandError: it could not be started, or the parameters are not JSON.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if client.connect_ex(_address(name)) != 0:
            return None
        if _user_of(client) != os.getuid():
            # What it answers is unpickled. Names of abstract sockets belong to nobody.
            raise CommandError(f"the process that serves {name!r} belongs to another user")
        try:
            data = json.dumps({"parameters": dict(parameters), "tags": list(tags)}).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise CommandError(f"parameters of {name!r}: {error}; they must be JSON") from error
        client.sendall(data)
        with client.makefile("r", encoding="utf-8") as answers:
            started = answers.readline()
            if not started:
                raise CommandError(f"the process that serves {name!r} ended, or refused the request: see its log")
            facts = json.loads(started)
            if "error" in facts:
                raise CommandError(facts["error"])
            if timeout_s == 0:
                return facts["run"], State(StateType.RUNNING)
            client.settimeout(timeout_s)
            try:
                ended = answers.readline()
            except TimeoutError:
                return facts["run"], State(StateType.RUNNING)
            return facts["run"], _state(json.loads(ended)) if ended else State(StateType.RUNNING)


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
        request = RunRequest(facts["parameters"], frozenset(facts["tags"]), connection)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return request
