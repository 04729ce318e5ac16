"""Retries as fields of the Flow API: delay, factor, maxDelay, and jitter in percent."""

from __future__ import annotations

from typing import Any, Final

from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.options.options import FlowOptions, TaskOptions
from penstock.authoring.pods.pod_call import EXIT_NOT_AGAIN

MAX_FACTOR: Final = 100
MAX_RETRIES: Final = 1000
HOUR_S: Final = 3600


def retry_field(options: TaskOptions | FlowOptions, location: CodeLocation, who: str) -> dict[str, Any] | None:
    """Return the field `retry`; None if there are no retries.

    Raises:
        RefusedError: the API cannot express it.
    """
    if not options.retries:
        return None
    if options.retries > MAX_RETRIES:
        raise location.compile_error(f"retries={options.retries} of {who} is too high", f"use at most {MAX_RETRIES}")
    retry: dict[str, Any] = {"limit": options.retries, "nonRetryableExitCodes": [EXIT_NOT_AGAIN]}
    retry |= _delays(options, location, who)
    jitter = getattr(options, "retry_jitter", 0.0)
    if jitter and "delay" in retry:
        if jitter > 1 or round(jitter * 100) == 0:
            raise location.compile_error(
                f"retry_jitter_factor={jitter:g} of {who} is not supported",
                "use a value from 0.01 to 1, in whole percent",
            )
        retry["jitter"] = f"{round(jitter * 100)}%"
    return retry


def _delays(options: TaskOptions | FlowOptions, location: CodeLocation, who: str) -> dict[str, Any]:
    """Find delay, factor and maxDelay that give the delays of the retries."""
    given = options.retry_delays_s
    if not given:
        return {}
    delays = [given[min(position, len(given) - 1)] for position in range(options.retries)]
    first, last = delays[0], delays[-1]
    if not any(delays):
        return {}
    if all(delay == first for delay in delays):
        # The default of maxDelay is one hour.
        return {"delay": duration_text(first)} | ({"maxDelay": duration_text(first)} if first > HOUR_S else {})
    factor = round(min(delays[1] / first, MAX_FACTOR)) if first else 0
    for candidate in (factor, factor + 1, MAX_FACTOR):
        made = [min(first * candidate**position, last) for position in range(len(delays))]
        if candidate >= 1 and all(abs(one - other) < 0.001 for one, other in zip(made, delays, strict=True)):  # noqa: PLR2004 - a millisecond
            return {"delay": duration_text(first), "factor": candidate, "maxDelay": duration_text(last)}
    raise location.compile_error(
        f"retry_delay_seconds={[round(delay, 3) for delay in delays]} of {who} cannot be expressed in a Flow",
        "use one number, or delays that grow by a whole factor up to a limit, such as exponential_backoff(2)",
    )


def duration_text(seconds: float) -> str:
    """Return a duration in the format of the Flow API: `90s`, `1500ms`."""
    return f"{round(seconds)}s" if float(seconds).is_integer() else f"{max(1, round(seconds * 1000))}ms"
