"""The attributes of flows and tasks under Prefect's names: `task.retries`, `flow.version`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from penstock.authoring.options.task_runners import ThreadPoolTaskRunner

_SAME: Final = frozenset(
    {
        "description",
        "version",
        "flow_run_name",
        "task_run_name",
        "retries",
        "retry_condition_fn",
        "persist_result",
        "result_serializer",
        "result_storage",
        "result_storage_key",
        "cache_policy",
        "cache_key_fn",
        "log_prints",
    }
)
"""Options that have the same names."""


def _retry_delay(options: Any) -> Any:
    delays = [int(delay) if delay.is_integer() else delay for delay in options.retry_delays_s]
    return delays if len(delays) > 1 else delays[0] if delays else 0


def _cache_expiration(options: Any) -> timedelta | None:
    seconds = options.cache_expiration_s
    return None if seconds is None else timedelta(seconds=seconds)


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "tags": lambda options: set(options.tags),
    "timeout_seconds": lambda options: options.timeout_s,
    "retry_delay_seconds": _retry_delay,
    "retry_jitter_factor": lambda options: options.retry_jitter or None,
    "cache_expiration": _cache_expiration,
    "task_runner": lambda options: ThreadPoolTaskRunner(options.max_workers),
    "cache_result_in_memory": lambda _: True,
    "should_validate_parameters": lambda options: options.validate_parameters,
    "refresh_cache": lambda options: options.refresh_cache or None,
    "viz_return_value": lambda _: None,
    "asset_deps": lambda _: [],
    **{
        f"{moment}_hooks": lambda options, moment=moment: list(getattr(options, moment))  # type: ignore[misc]  # bound here
        for moment in (
            "on_running",
            "on_completion",
            "on_failure",
            "on_crashed",
            "on_cancellation",
            "on_commit",
            "on_rollback",
        )
    },
}


def attribute_of(options: Any, name: str) -> Any:
    """Return an attribute of a flow or task from its options.

    Args:
        options: the options of the flow or task.
        name: the name of the attribute.

    Raises:
        AttributeError: it has no such attribute.
    """
    if name in _READ:
        return _READ[name](options)
    if name in _SAME:
        return getattr(options, name)
    raise AttributeError(name)
