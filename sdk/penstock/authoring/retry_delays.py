"""How long a flow or task waits before it is tried again, by the engine's rules."""

from __future__ import annotations

from collections.abc import Callable

from penstock.engine.backoff import attempt_digest, backed_off_s, jittered_s

MAX_DELAY_S = 365 * 24 * 3600.0


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Make a `retry_delay_seconds` that doubles: `backoff_factor`, then twice that, and so on.

    Args:
        backoff_factor: the first delay, in seconds.
    """

    def delays(retries: int) -> list[float]:
        return [
            backed_off_s(backoff_factor, factor=2.0, max_delay_s=MAX_DELAY_S, turn=turn)
            for turn in range(min(retries, 50))
        ]

    return delays


def retry_delay_s(
    delays_s: tuple[float, ...], *, jitter: float, run_id: str, name: str, index: int | None, attempt: int
) -> float:
    """Return the wait before the next attempt, in seconds.

    Args:
        delays_s: before each retry; the last one goes on.
        jitter: part of the delay that it may be off by.
        run_id: id of the flow run.
        name: name of the task or flow.
        index: how many runs of the task the flow run had before.
        attempt: number of the attempt that failed, from 1.

    Returns:
        The same for the same arguments in any process.
    """
    if not delays_s:
        return 0.0
    delay_s = delays_s[min(attempt, len(delays_s)) - 1]
    return jittered_s(delay_s, jitter=jitter, digest=attempt_digest(run_id, name, index, attempt))
