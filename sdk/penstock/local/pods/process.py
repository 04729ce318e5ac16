"""A process group of this machine: its output line by line, its exit code, and signals to it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

TAIL_BYTES: Final = 2048
TAIL_LINES: Final = 80
"""The part of a log that the kubelet uses as a message, whichever is less:
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/."""
CHUNK_BYTES: Final = 65536
LINE_BYTES: Final = 16384
"""Longer lines are split, as by container runtimes."""
LAST_WORDS_S: Final = 2.0
"""How long a log is read after its process has ended: a process that left the group may keep it open."""


class Output:
    """The output of a process: reported line by line, with its end kept.

    Args:
        on_line: called with each line.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line = ""
        self._tail = b""

    def feed_chunk(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Handle output of the process."""
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        *lines, self._line = (self._line + self._decoder.decode(chunk, is_last)).split("\n")
        while len(self._line) > LINE_BYTES or (is_last and self._line):
            lines.append(self._line[:LINE_BYTES])
            self._line = self._line[LINE_BYTES:]
        for line in lines:
            self._on_line(line.rstrip("\r"))

    @property
    def tail(self) -> str:
        """The end of the output, for a message."""
        lines = self._tail.decode(errors="replace").splitlines(keepends=True)
        return "".join(lines[-TAIL_LINES:])


class Process:
    """A program that runs in a process group and session of its own.

    asyncio's own processes are reported as ended when their output is closed, and any process that they left behind
    keeps that open.

    Args:
        process: the process.
        output: handles its output.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: Output) -> None:
        self._process = process
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._code = self._loop.create_future()
        self._is_read = asyncio.Event()
        assert process.stdout is not None
        self._stream = process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._loop.add_reader(self._stream.fileno(), self._read)
        # A thread for each process works in the same way on every system.
        threading.Thread(target=self._wait, daemon=True).start()

    @classmethod
    def start(
        cls, words: Sequence[str], *, environment: Mapping[str, str], working_dir: str | None, output: Output
    ) -> Process:
        """Start a program.

        Raises:
            OSError: it could not be started.
        """
        process = subprocess.Popen(  # noqa: S603 - the command of a task
            words,
            env=environment,
            cwd=working_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, output)

    async def wait(self) -> int:
        """Wait until it has ended, and kill the processes that it left behind.

        Returns:
            Its exit code; 128 and the signal's number if a signal ended it.
        """
        code: int = await self._code
        # A container ends with its first process, whatever else runs in it.
        self.signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._is_read.wait()
        self._close()
        return code if code >= 0 else 128 - code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _wait(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._set_code, code)

    def _set_code(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    def _read(self) -> None:
        try:
            chunk = os.read(self._stream.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._output.feed_chunk(chunk)
        else:
            self._close()

    def _close(self) -> None:
        if not self._stream.closed:
            self._loop.remove_reader(self._stream.fileno())
            self._stream.close()
            self._output.feed_chunk(b"", is_last=True)
            self._is_read.set()
