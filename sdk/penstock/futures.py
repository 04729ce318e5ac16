"""Futures of submitted tasks."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.futures import DoneAndNotDone as DoneAndNotDoneFutures
from penstock.authoring.runs.futures import Future, FutureList, as_completed, wait
from penstock.authoring.runs.futures import Future as PrefectConcurrentFuture
from penstock.authoring.runs.futures import Future as PrefectFuture
from penstock.authoring.runs.futures import FutureList as PrefectFutureList

__all__ = [
    "DoneAndNotDoneFutures",
    "Future",
    "FutureList",
    "PrefectConcurrentFuture",
    "PrefectFuture",
    "PrefectFutureList",
    "as_completed",
    "wait",
]

refuse_others(__name__)
