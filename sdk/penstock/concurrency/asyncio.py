"""Limits within this process, for coroutines."""

from __future__ import annotations

from penstock.authoring.limits import concurrency_async as concurrency
from penstock.authoring.limits import rate_limit_async as rate_limit
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.errors import LimitError as ConcurrencySlotAcquisitionError

__all__ = ["ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]

refuse_others(__name__)
