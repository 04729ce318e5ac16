"""Asks for approvals of a local run on the terminal, one at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final

from penstock.cli.local.screen import PendingApproval
from penstock.cli.text.echo import echo

YES: Final = frozenset({"y", "yes"})
NO: Final = frozenset({"n", "no"})

OnDecision = Callable[[PendingApproval, bool, str | None], None]
"""Called with a decision: whether it is approved, and the comment."""


class ApprovalPrompt:
    """Asks for approvals on the terminal; without a terminal, rejects them with a comment that says what to do.

    Args:
        decide: called with each decision.
        is_terminal: whether standard input is a terminal.
    """

    def __init__(self, decide: OnDecision, *, is_terminal: bool) -> None:
        self._decide = decide
        self._is_terminal = is_terminal
        self._current: PendingApproval | None = None
        self._waiting: list[PendingApproval] = []

    def show(self, pending_approvals: list[PendingApproval]) -> None:
        """Set the approvals that are pending now, and ask for the first one."""
        self._waiting = pending_approvals
        loop = asyncio.get_running_loop()
        if not self._is_terminal:
            for approval in pending_approvals:
                comment = (
                    "rejected automatically, because there is no terminal to ask on: "
                    f"run again with --approve {approval.task}"
                )
                loop.call_soon(self._decide, approval, False, comment)  # noqa: FBT003 - as call_soon takes it
            return
        if self._current is not None and self._current not in pending_approvals:
            self._stop_reading()
        if self._current is None and pending_approvals:
            self._current = pending_approvals[0]
            self._write_prompt()
            loop.add_reader(sys.stdin.fileno(), self._read_answer)

    def close(self) -> None:
        """Stop asking."""
        if self._current is not None:
            self._stop_reading()

    def _write_prompt(self) -> None:
        assert self._current is not None
        message = f": {self._current.message}" if self._current.message else ""
        echo(
            f"{self._current.task} is waiting for approval{message} [y/n, optionally followed by a comment] ",
            end="",
            is_error=True,
            flush=True,
        )

    def _read_answer(self) -> None:
        line = sys.stdin.readline()
        approval = self._current
        assert approval is not None
        if not line:
            self._stop_reading()
            self._decide(approval, False, "rejected, because the terminal was closed")  # noqa: FBT003 - see OnDecision
            return
        word, _, comment = line.strip().partition(" ")
        answer = word.lower().rstrip(",:;")
        if answer not in YES | NO:
            self._write_prompt()
            return
        self._stop_reading()
        self._decide(approval, answer in YES, comment.strip() or None)
        self.show([each for each in self._waiting if each != approval])

    def _stop_reading(self) -> None:
        self._current = None
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
