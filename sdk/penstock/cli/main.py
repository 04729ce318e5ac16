"""The entry of the command line, and what an error looks like."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from penstock.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from penstock.cli.parser import build_parser
from penstock.errors import PenstockError


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was typed.

    Args:
        argv: the words after `penstock`; those of the process if not given.

    Returns:
        The exit code: 0 for success, 1 for failure, 130 after Ctrl-C. Words that make no sense end in
        `SystemExit(2)`, as argparse does it.
    """
    arguments = build_parser().parse_args(argv)
    from penstock.memory_limit import limit_expression_memory  # noqa: PLC0415 - the help does not wait for it

    limit_expression_memory()
    try:
        command: Callable[[argparse.Namespace], int] = importlib.import_module(arguments.module).command
        code = command(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is no news
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader has gone (`penstock logs ... | head`); the interpreter would complain of it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def run_and_exit() -> NoReturn:
    """Do what was typed, and end the process: what the program `penstock` calls."""
    code = main()
    import threading  # noqa: PLC0415 - what needs no threads does not wait for it

    if any(thread.daemon for thread in threading.enumerate()):
        # They wait in reads that only the other side can end, and may wake up while the interpreter is taken down:
        # now and then that aborts the process, and the exit code would be that of a crash.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # its reader has gone
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run_and_exit()
