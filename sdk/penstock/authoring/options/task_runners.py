"""Task runners: how many submitted tasks of a flow run at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from penstock.errors import OptionError


@dataclass(frozen=True)
class TaskRunner:
    """The base of task runners: submitted tasks run in threads, and coroutine functions on one event loop.

    Args:
        max_workers: how many run at once; None for 32 threads and 1,000 coroutines.

    Raises:
        OptionError: it is less than 1.
    """

    max_workers: int | None = None

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise OptionError(f"{type(self).__name__}(max_workers={self.max_workers}): must be 1 or more")


class ThreadPoolTaskRunner(TaskRunner):
    """Runs submitted tasks in threads, and coroutine functions on one event loop. See TaskRunner."""


ConcurrentTaskRunner = ThreadPoolTaskRunner
"""The name that Prefect 2 gave it."""


class SequentialTaskRunner(TaskRunner):
    """Runs submitted tasks one after the other. The name is Prefect 2's."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)


class ProcessPoolTaskRunner(TaskRunner):
    """Runs submitted tasks as ThreadPoolTaskRunner does: only in a cluster does each have its own process.

    Args:
        max_workers: as for ThreadPoolTaskRunner.
        **_: options of Prefect's processes, which have no meaning here.
    """

    def __init__(self, max_workers: int | None = None, **_: Any) -> None:
        super().__init__(max_workers)
        warnings.warn(
            "ProcessPoolTaskRunner runs tasks in threads of this process; deployed to a cluster, each task has its own"
            " process. For work that Python code does itself, start processes in the task",
            stacklevel=2,
        )
