"""The entry point of the command line, and how errors are printed."""

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
from penstock.cli.text.echo import echo
from penstock.errors import PenstockError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments after `penstock`; default: those of the process.

    Returns:
        The exit code: 0 for success, 1 for failure, 130 after Ctrl-C. A usage error raises `SystemExit(2)`, as
        argparse does.
    """
    arguments = build_parser().parse_args(argv)
    from penstock.memory_limit import limit_expression_memory  # noqa: PLC0415 - the help does not wait for it

    limit_expression_memory()
    try:
        command: Callable[[argparse.Namespace], int] = importlib.import_module(arguments.module).command
        code = command(arguments)
        sys.stdout.flush()  # here, where a closed pipe is handled
    except PenstockError as error:
        echo(f"penstock: {error}", is_error=True)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader closed the pipe (`penstock logs ... | head`); the interpreter would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def run_and_exit() -> NoReturn:
    """Run a command and exit: the entry point of the program `penstock`."""
    code = main()
    import threading  # noqa: PLC0415 - commands without threads start faster

    if any(thread.daemon for thread in threading.enumerate()):
        # They block in reads that only the server can end. One that wakes up during interpreter shutdown may abort the
        # process, and the exit code would be that of a crash.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader closed the pipe
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run_and_exit()
