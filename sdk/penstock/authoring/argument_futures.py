"""Futures and states among the arguments of a call, which are replaced by their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from penstock.authoring.annotations import allow_failure, unmapped
from penstock.authoring.futures import Future, FutureList
from penstock.authoring.states import State

Pending = Future[Any] | FutureList[Any] | list[Future[Any]] | allow_failure[Any] | unmapped[Any]
"""What may be passed in place of a result."""

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


def find_futures_in(value: Any) -> Iterator[Future[Any]]:
    """Yield the futures in a value, also inside of lists, tuples, sets, dictionaries, dataclasses and wrappers."""
    if type(value) in _PLAIN:
        return
    if isinstance(value, Future):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            if type(each) not in _PLAIN:
                yield from find_futures_in(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from find_futures_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from find_futures_in(getattr(value, each.name))


class Failures:
    """The failed upstream runs that are found while arguments are resolved: they prevent the call."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.states: list[State[Any]] = []

    def __bool__(self) -> bool:
        return bool(self.futures or self.states)


def resolve(value: Any, failures: Failures, *, is_failure_allowed: bool = False) -> Any:  # noqa: PLR0911 - one for each kind
    """Replace finished futures and states by their results.

    Args:
        value: an argument.
        failures: collects those that did not complete.
        is_failure_allowed: replace those that did not complete by their exceptions.

    Returns:
        The new value; the same object if there is nothing to replace.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Future):
        state = value.task_run.state
        if state.is_completed():
            return state.data
        if is_failure_allowed:
            value.task_run.mark_observed()
            return state.exception()
        failures.futures.append(value)
        return None
    if isinstance(value, State):
        if value.is_completed():
            return value.data
        if not is_failure_allowed:
            failures.states.append(value)
        return value.exception()
    if isinstance(value, allow_failure):
        return resolve(value.value, failures, is_failure_allowed=True)
    if isinstance(value, unmapped):
        return resolve(value.value, failures, is_failure_allowed=is_failure_allowed)
    return _resolve_inside(value, failures, is_failure_allowed=is_failure_allowed)


def _resolve_inside(value: Any, failures: Failures, *, is_failure_allowed: bool) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        before: list[Any] = list(value)
        after = [resolve(each, failures, is_failure_allowed=is_failure_allowed) for each in before]
        if all(old is new for old, new in zip(before, after, strict=True)):
            return value
        # A named tuple takes its fields one by one; a FutureList of results is a plain list.
        if isinstance(value, list):
            return after
        return type(value)(*after) if hasattr(value, "_fields") else type(value)(after)
    if isinstance(value, dict):
        resolved = {key: resolve(each, failures, is_failure_allowed=is_failure_allowed) for key, each in value.items()}
        return value if all(resolved[key] is value[key] for key in value) else resolved
    if is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for each in fields(value):
            old = getattr(value, each.name)
            new = resolve(old, failures, is_failure_allowed=is_failure_allowed)
            if new is not old and each.init:
                changes[each.name] = new
        return replace(value, **changes) if changes else value
    return value
