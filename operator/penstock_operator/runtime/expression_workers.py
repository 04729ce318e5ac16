"""Evaluates expensive expressions in processes beside the operator's, which are ended at a limit.

The cost of an expression is bounded before it is evaluated, by a model of CEL's library. Should the model be wrong
somewhere, or the library crash, this is the backstop: one tenant's expression fails, and no other tenant notices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, Final

import msgspec

from penstock.engine.expressions.budget import limit_each
from penstock.engine.expressions.failure import Failure, SlowFailure
from penstock_operator.runtime.expression_worker import CPU_S, Answer, Request

logger = logging.getLogger(__name__)

PROCESSES: Final = 2
"""Started when they are needed; each takes about 40 MiB."""
WALL_S: Final = 30.0
"""Longest time of an evaluation, also where the processor is shared with many."""
MOST_AT_ONCE: Final = 300_000
"""A thread that may wait evaluates no more itself: it would keep Python's lock, which the event loop needs."""
PASSED_VARIABLES: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
"""Of the environment; nothing of what the operator's own process has to keep to itself."""


_place = threading.local()


def allow_waiting() -> None:
    """Let this thread wait for evaluations, however many it has to do."""
    _place.may_wait = True
    limit_each(MOST_AT_ONCE)


class ExpressionWorkers:
    """The processes. Safe to use from many threads, but only those wait that `allow_waiting` was called in.

    Args:
        wall_s: longest time of an evaluation, seconds.
    """

    def __init__(self, *, wall_s: float = WALL_S) -> None:
        self._wall_s = wall_s
        self._slots = threading.BoundedSemaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._is_closed = False

    def check_place(self) -> None:
        """Refuse a thread that others need: an event loop's, or one that validates or handles events.

        Raises:
            SlowFailure: it must not wait.
        """
        if getattr(_place, "may_wait", False):
            return
        raise SlowFailure(
            "it is too expensive for this field (the size of its values, times the iterations of its macros, and what "
            "the expressions beside it cost): use smaller values, fewer iterations or fewer expressions"
        )

    def evaluate(self, source: str, roots: frozenset[str], data: Mapping[str, Any]) -> Any:
        """Evaluate plain CEL in a process.

        Raises:
            Failure: it could not be evaluated, or reached a limit.
        """
        request = msgspec.msgpack.encode(Request(source, sorted(roots), dict(data)))
        with self._slots:
            worker = self._take()
            try:
                frame = worker.ask(request, self._wall_s)
            except TimeoutError:
                self._end(worker)
                raise Failure(f"it was stopped because it took more than {self._wall_s:g} s; simplify it") from None
            if frame is None:
                raise Failure(self._why_ended(worker))
            with self._lock:
                self._idle.append(worker)
        answer = msgspec.msgpack.decode(frame, type=Answer)
        if answer.message is not None:
            raise Failure(answer.message, may_be_path=answer.may_be_path, key=answer.key)
        return answer.value

    def close(self) -> None:
        """End all processes; evaluations in progress fail."""
        with self._lock:
            self._is_closed = True
            workers = list(self._all)
        for worker in workers:
            worker.kill()
            worker.exit_code()

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_running:
                    return worker
                self._all.discard(worker)
                worker.exit_code()
            if self._is_closed:
                raise Failure("the operator is shutting down")
            worker = _Worker()
            self._all.add(worker)
            return worker

    def _end(self, worker: _Worker) -> int:
        """End a process; returns its exit code."""
        worker.kill()
        with self._lock:
            self._all.discard(worker)
        return worker.exit_code()

    def _why_ended(self, worker: _Worker) -> str:
        # It closed its output, so it is about to end: a signal of ours would hide why.
        worker.wait(1.0)
        code = self._end(worker)
        if code == -signal.SIGXCPU:
            return f"it was stopped because it used more than {CPU_S} s of CPU time; simplify it"
        logger.warning("A process that evaluated an expression ended unexpectedly with exit code %d", code)
        return f"the process that evaluated it ended unexpectedly (exit code {code}); simplify it"


class _Worker:
    """One process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "penstock_operator.runtime.expression_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ},
            start_new_session=True,
        )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes, wall_s: float) -> bytes | None:
        """Send a request and wait for the answer; None if the process has ended.

        Raises:
            TimeoutError: it did not answer in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(len(request).to_bytes(4, "big") + request)
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        deadline = time.monotonic() + wall_s
        head = _read(self._process.stdout, 4, deadline)
        return None if head is None else _read(self._process.stdout, int.from_bytes(head, "big"), deadline)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, most_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(most_s)

    def exit_code(self) -> int:
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return code


def _read(stream: IO[bytes], length: int, deadline: float) -> bytes | None:
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while length:
            if not selector.select(max(deadline - time.monotonic(), 0.0)):
                raise TimeoutError
            part = os.read(stream.fileno(), min(length, 1 << 20))
            if not part:
                return None
            parts.append(part)
            length -= len(part)
    return b"".join(parts)
