"""Tasks."""

from __future__ import annotations

from penstock.authoring.caching.cache_keys import task_input_hash
from penstock.authoring.options.retry_delays import exponential_backoff
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.task import Task, task

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]

refuse_others(__name__)
