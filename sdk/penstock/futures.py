"""Futures of submitted tasks."""

from __future__ import annotations

from penstock.authoring.futures import Future, FutureList, as_completed, wait

__all__ = ["Future", "FutureList", "as_completed", "wait"]
