"""Prints plain text: what could drive a terminal is replaced. For text with styles there is `console`."""

from __future__ import annotations

import sys

from penstock.printable import make_log_printable, make_printable


def echo(*texts: object, end: str = "\n", is_error: bool = False, flush: bool = False) -> None:
    """Print text, like `print`.

    Args:
        texts: what to print, separated by spaces.
        end: what follows.
        is_error: whether to print to standard error.
        flush: whether readers see it at once.
    """
    print(make_printable(" ".join(map(str, texts))), end=end, flush=flush, file=sys.stderr if is_error else sys.stdout)


def echo_log(prefix: str, line: str, *, flush: bool = False) -> None:
    """Print a line of a log: printable on a terminal, and as it is for a program that reads it.

    Args:
        prefix: what the line begins with.
        line: the line.
        flush: whether readers see it at once.
    """
    print(f"{prefix}{make_log_printable(line) if sys.stdout.isatty() else line}", flush=flush)
