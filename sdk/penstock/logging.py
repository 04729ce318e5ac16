"""The logger of the current run."""

from __future__ import annotations

from penstock.authoring.context import get_run_logger

__all__ = ["get_run_logger"]
