"""A program at a terminal of its own, and the person in front of it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

DEADLINE_S: Final = 60.0
CTRL_C: Final = "\x03"
_TAKE_IT: Final = (
    "import fcntl, os, signal, sys, termios; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the one that Ctrl-C is typed at; only the leader of a session can."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOURS: Final = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")


class Terminal:
    """A program at a terminal.

    Args:
        words: the program's path, and its arguments.
        env: its environment.
        columns: how wide the terminal is.
        rows: how high.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str], *, columns: int = 100, rows: int = 40) -> None:
        self.shown = ""
        self._screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_IT, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={"TERM": "xterm-256color", **env},
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """What was shown, without colours and movements."""
        return _ESCAPES.sub("", self.shown).replace("\r", "")

    @property
    def has_colours(self) -> bool:
        """Whether anything was shown in a colour."""
        return _COLOURS.search(self.shown) is not None

    def read_until(self, text: str, *, times: int = 1) -> None:
        """Read until this was shown, so many times; what stood there before counts."""
        deadline = time.monotonic() + DEADLINE_S
        while self.text.count(text) < times:
            if not self._read(deadline):
                raise AssertionError(f"it ended, and {text!r} was not shown, but:\n{self.text}")

    def type(self, text: str) -> None:
        """Type what a person types."""
        os.write(self._screen, text.encode())

    def end(self) -> int:
        """Read the rest; the exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self.process.wait(timeout=DEADLINE_S)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more came in {DEADLINE_S:g} s; shown:\n{self.text}")
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # the other side is closed: https://man7.org/linux/man-pages/man7/pty.7.html
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)
