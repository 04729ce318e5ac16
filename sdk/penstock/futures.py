"""Futures of submitted tasks."""

from __future__ import annotations

from penstock.authoring.futures import DoneAndNotDone as DoneAndNotDoneFutures
from penstock.authoring.futures import Future, FutureList, as_completed, wait
from penstock.authoring.futures import Future as PrefectConcurrentFuture
from penstock.authoring.futures import Future as PrefectFuture
from penstock.authoring.futures import FutureList as PrefectFutureList
from penstock.authoring.not_offered import refuse_others

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
