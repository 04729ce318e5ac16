"""Task runners: how many submitted tasks of a flow run at once."""

from __future__ import annotations

from penstock.authoring.task_runners import ThreadPoolTaskRunner

__all__ = ["ThreadPoolTaskRunner"]
