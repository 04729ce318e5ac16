"""Approvals, asked one after the other at the terminal where a run goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final

from penstock.cli.local.screen import Question

YES: Final = frozenset({"y", "yes"})
NO: Final = frozenset({"n", "no"})

Decide = Callable[[Question, bool, str | None], None]
"""Takes a decision: whether it is approved, and the comment."""


class Asker:
    """Asks the person at the terminal; where there is none, it rejects, and says what to do.

    Args:
        decide: takes decisions.
        is_terminal: whether somebody is there.
    """

    def __init__(self, decide: Decide, *, is_terminal: bool) -> None:
        self._decide = decide
        self._is_terminal = is_terminal
        self._asked: Question | None = None
        self._waiting: list[Question] = []

    def ask(self, questions: list[Question]) -> None:
        """Take what waits for a person just now."""
        self._waiting = questions
        loop = asyncio.get_running_loop()
        if not self._is_terminal:
            for question in questions:
                comment = f"nobody can be asked, for standard input is no terminal: give --approve {question.task}"
                loop.call_soon(self._decide, question, False, comment)  # noqa: FBT003 - as call_soon takes it
            return
        if self._asked is not None and self._asked not in questions:
            self._stop()
        if self._asked is None and questions:
            self._asked = questions[0]
            self._prompt()
            loop.add_reader(sys.stdin.fileno(), self._read)

    def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            self._stop()

    def _prompt(self) -> None:
        assert self._asked is not None
        message = f": {self._asked.message}" if self._asked.message else ""
        sys.stderr.write(f"{self._asked.task} waits for a decision{message} [y/n, then a comment if you like] ")
        sys.stderr.flush()

    def _read(self) -> None:
        line = sys.stdin.readline()
        question = self._asked
        assert question is not None
        if not line:
            self._stop()
            self._decide(question, False, "nobody decided: the terminal was closed")  # noqa: FBT003 - see Decide
            return
        word, _, comment = line.strip().partition(" ")
        answer = word.lower().rstrip(",:;")
        if answer not in YES | NO:
            self._prompt()
            return
        self._stop()
        self._decide(question, answer in YES, comment.strip() or None)
        self.ask([each for each in self._waiting if each != question])

    def _stop(self) -> None:
        self._asked = None
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
