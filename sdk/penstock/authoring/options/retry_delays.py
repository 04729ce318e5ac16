"""Delays before retries of flows and tasks, computed as by the engine."""

from __future__ import annotations

from collections.abc import Callable

from penstock.engine.backoff import attempt_digest, backed_off_s, jittered_s

MAX_DELAY_S = 365 * 24 * 3600.0


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Return delays for `retry_delay_seconds` that double each time, from `backoff_factor`.

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
    """Return the delay before the next attempt, in seconds.

    Args:
        delays_s: the delay before each retry; the last one is used for all further retries.
        jitter: random variation, as a part of the delay.
        run_id: id of the flow run.
        name: name of the task or flow.
        index: number of earlier runs of the task in the flow run.
        attempt: number of the attempt that failed, from 1.

    Returns:
        The delay; the same arguments give the same delay in each process.
    """
    if not delays_s:
        return 0.0
    delay_s = delays_s[min(attempt, len(delays_s)) - 1]
    return jittered_s(delay_s, jitter=jitter, digest=attempt_digest(run_id, name, index, attempt))
