"""Task runners: how many submitted tasks of a flow run at once."""

from __future__ import annotations

from penstock.authoring.options.task_runners import (
    ConcurrentTaskRunner,
    ProcessPoolTaskRunner,
    SequentialTaskRunner,
    TaskRunner,
    ThreadPoolTaskRunner,
)
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = [
    "ConcurrentTaskRunner",
    "ProcessPoolTaskRunner",
    "SequentialTaskRunner",
    "TaskRunner",
    "ThreadPoolTaskRunner",
]

refuse_others(__name__)
