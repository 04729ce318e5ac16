"""How long to wait before a retry. Only arithmetic is imported, so that tasks in Pods and scripts start fast."""

from __future__ import annotations

from typing import Final

MAX_TURN: Final = 64
"""An exponent past it exceeds every maximum already; unbounded it would overflow a float."""


def backed_off_s(delay_s: float, *, factor: float, max_delay_s: float, turn: int) -> float:
    """Return the wait before a retry, in seconds, without its jitter.

    Args:
        delay_s: the wait before the first retry.
        factor: how many times longer each further one is.
        max_delay_s: what it never exceeds.
        turn: number of the retry, from 0.
    """
    return min(delay_s * factor ** min(turn, MAX_TURN), max_delay_s)


def jittered_s(delay_s: float, *, jitter: float, digest: bytes) -> float:
    """Spread a wait, so that attempts that failed together are not retried together.

    Args:
        delay_s: the wait, in seconds.
        jitter: how far it may be off, as a fraction of it: 0.2 is 20 % more or less.
        digest: chooses the value in that range; the same digest chooses the same value.

    Returns:
        The wait in seconds, never below 0.
    """
    if not jitter:
        return delay_s
    fraction = int.from_bytes(digest[-8:], "big") / 2**64
    return max(0.0, delay_s * (1 + jitter * (2 * fraction - 1)))


def attempt_digest(run_uid: str, task: str, item: int | None, attempt: int) -> bytes:
    """Return a digest of one attempt: the same in every process, different for every attempt."""
    identity = f"{run_uid}\0{task}\0{'' if item is None else item}\0{attempt}"
    import hashlib  # noqa: PLC0415 - a task that does not wait starts faster without

    return hashlib.sha256(identity.encode()).digest()
