"""Task runners: how many submitted tasks of a flow run at once."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.errors import OptionError


@dataclass(frozen=True, slots=True)
class ThreadPoolTaskRunner:
    """Runs submitted tasks in threads, and coroutine functions on one event loop.

    Args:
        max_workers: how many run at once; None for 32 threads and 1,000 coroutines.

    Raises:
        OptionError: it is less than 1.
    """

    max_workers: int | None = None

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise OptionError(f"ThreadPoolTaskRunner(max_workers={self.max_workers}): must be 1 or more")
