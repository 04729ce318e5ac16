"""Loggers: of the current run, and others."""

from __future__ import annotations

from penstock.authoring.loggers import disable_run_logger, get_logger
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.context import get_run_logger

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]

refuse_others(__name__)
