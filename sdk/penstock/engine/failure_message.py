"""What the message of a failure says: first the exit code and the error, then the end of the log."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from typing import Final

CAUSE_CHARACTERS: Final = 300
"""Most characters of the line that is taken for the cause."""
SIGNAL_BASE: Final = 128
"""https://tldp.org/LDP/abs/html/exitcodes.html: 128 and the signal's number, for a process that a signal ended."""

_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\)")
_ERROR: Final = re.compile(
    r"""
      (?:^|:?\s)(?:[\w$]+\.)*[\w$]*(?:Error|Exception|Interrupt)(?::|$)              # KeyError: 'day'
    | (?i:\b(?:error|fatal|panic|exception)\s*[:\]])                                 # Error: no such table
    | \b(?:ERROR|FATAL|CRITICAL|PANIC)\b                                             # 12:00:01 FATAL disk full
    | (?i:level"?\s*[=:]\s*"?(?:error|fatal|critical|panic)\b)                       # {"level": "error", ...}
    | \bpanicked\ at\b                                                               # thread 'main' panicked at ...
    | :\ (?:command\ )?(?:not\ found|No\ such\ file\ or\ directory|Permission\ denied)$   # sh: 1: pip: not found
    """,
    re.VERBOSE,
)


def describe_exit(exit_code: int, log_tail: str) -> str:
    """Return the message of a container that failed.

    Args:
        exit_code: its exit code.
        log_tail: what it left as its message: mostly the end of its log.

    Returns:
        A first line with the exit code and the last error that the log shows, or else its last line. If the log has
        more lines, they follow.
    """
    code = describe_code(exit_code)
    tail = log_tail.strip()
    if not tail:
        return code
    lines = [line.rstrip() for line in tail.splitlines() if line.strip()]
    first = f"{code}: {_shorten(find_cause(lines))}"
    return first if len(lines) == 1 and len(tail) <= CAUSE_CHARACTERS else f"{first}\n{tail}"


def describe_code(exit_code: int) -> str:
    """Return an exit code, with the signal that it stands for: `exit code 137 (SIGKILL)`."""
    try:
        return f"exit code {exit_code} ({signal.Signals(exit_code - SIGNAL_BASE).name})"
    except ValueError:
        return f"exit code {exit_code}"


def find_cause(lines: Sequence[str]) -> str:
    """Return the last line that names an error; if there is none, the last line.

    Args:
        lines: the end of a log; lines of standard output and standard error may come in any order.
    """
    return lines[max(_errors(lines), default=len(lines) - 1)].strip()


def first_line(message: str) -> str:
    """Return the first line of a message: all that fits where there is one line."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "")


def add_to_first_line(message: str, words: str) -> str:
    """Add words to the first line of a message."""
    first, line_break, rest = message.partition("\n")
    return f"{first}{words}{line_break}{rest}"


def headline(reason: str | None, message: str | None) -> str:
    """Return why something failed in one line; an exit code, or an item of a fan-out with its own, comes first."""
    lines = [line.rstrip() for line in (message or "").splitlines() if line.strip()]
    if not lines:
        return reason or ""
    if reason == "ItemsFailed" and lines[0].startswith("item "):
        return lines[0]
    if reason != "ExitCode":
        return f"{reason}: {lines[0].strip()}" if reason else lines[0].strip()
    # Statuses that earlier versions stored have the end of the log alone.
    return lines[0] if lines[0].startswith("exit code") else f"{reason}: {find_cause(lines)}"


def _errors(lines: Sequence[str]) -> Iterator[int]:
    for position, line in enumerate(lines):
        if line[:1].isspace():
            # A frame of a traceback, or its source code.
            continue
        if _ERROR.search(line):
            yield position
        if _TRACEBACK.search(line):
            after = range(position + 1, len(lines))
            yield next((found for found in after if not lines[found][:1].isspace()), position)


def _shorten(line: str) -> str:
    return line if len(line) <= CAUSE_CHARACTERS else f"{line[: CAUSE_CHARACTERS - 3]}..."
