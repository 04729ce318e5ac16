"""Loggers: of the current run, and others."""

from __future__ import annotations

from penstock.authoring.context import get_run_logger
from penstock.authoring.loggers import disable_run_logger, get_logger
from penstock.authoring.not_offered import refuse_others

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]

refuse_others(__name__)
