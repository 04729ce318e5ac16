"""How many submitted tasks of a flow run at a time."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.errors import OptionError


@dataclass(frozen=True, slots=True)
class ThreadPoolTaskRunner:
    """Runs submitted tasks in threads, those that are coroutines on one event loop.

    Args:
        max_workers: how many at a time; None is 32 threads and 1,000 coroutines.

    Raises:
        OptionError: it is less than 1.
    """

    max_workers: int | None = None

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise OptionError(f"ThreadPoolTaskRunner(max_workers={self.max_workers}): expected 1 or more")
