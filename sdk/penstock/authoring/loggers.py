"""The loggers of runs, loggers outside of them, and silence for code that is tested outside of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

ROOT: Final = "penstock"
FLOW_LOGGER: Final = logging.getLogger("penstock.flow_runs")
TASK_LOGGER: Final = logging.getLogger("penstock.task_runs")
LOGS_ARE_OFF: Final[ContextVar[bool]] = ContextVar("penstock_logs_are_off", default=False)
"""Whether runs log nothing; then code that asks for the logger of a run needs none."""


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger below that of Penstock.

    Args:
        name: its name; None for Penstock's own.
    """
    root = logging.getLogger(ROOT)
    if name is None or name == ROOT:
        return root
    return logging.getLogger(name) if name.startswith(f"{ROOT}.") else root.getChild(name)


@contextmanager
def disable_logger(name: str) -> Iterator[None]:
    """Switch a logger off for the block."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Let `get_run_logger` work outside of runs, and log nothing: for tests that call `task.fn(...)`."""
    token = LOGS_ARE_OFF.set(True)
    try:
        with disable_logger(FLOW_LOGGER.name), disable_logger(TASK_LOGGER.name):
            yield
    finally:
        LOGS_ARE_OFF.reset(token)
