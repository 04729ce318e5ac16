"""Loggers: of the current run, and others.

Under Prefect's names, for the code of flows and tasks; `penstock.authoring.loggers` makes them. How lines are shown is
decided in `penstock.local` and `penstock.runner`, and the operator has a log of its own.
"""

from __future__ import annotations

from penstock.authoring.loggers import disable_run_logger, get_logger
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.context import get_run_logger

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]

refuse_others(__name__)
