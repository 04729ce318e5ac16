"""Futures and states among the arguments of a call, which are replaced by their results."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, NamedTuple

from penstock.authoring.arguments.annotations import allow_failure, quote, unmapped
from penstock.authoring.backend import Call
from penstock.authoring.runs.futures import Future, FutureList
from penstock.authoring.runs.states import State

Pending = Future[Any] | FutureList[Any] | list[Future[Any]] | allow_failure[Any] | unmapped[Any]
"""What may be passed in place of a result."""

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


class _Leaf:
    """A future or state that was in an argument when the call was made."""

    __slots__ = ("value",)

    def __init__(self, value: Future[Any] | State[Any]) -> None:
        self.value = value


class _Unresolved(NamedTuple):
    """An argument in which leaves and wrappers are replaced before the call."""

    value: Any


def read_call(call: Call) -> tuple[Call, list[Future[Any]]]:
    """Return a call that later changes of its arguments do not affect, and the futures that it waits for.

    Containers with futures or states in them are copied. All other values are passed as they are.
    """
    found: list[Future[Any]] = []
    args = tuple([_read(value, found) for value in call.args])
    kwargs = call.kwargs and {name: _read(value, found) for name, value in call.kwargs.items()}
    upstream = None if call.wait_for is None else [_read(value, found) for value in upstream_of(call.wait_for)]
    return call._replace(args=args, kwargs=kwargs, wait_for=upstream), found


def upstream_of(wait_for: Any) -> list[Any]:
    """Return the elements of `wait_for`: one future, or any iterable of them; of a dictionary, its keys and values."""
    if isinstance(wait_for, Mapping):
        return [*wait_for, *wait_for.values()]
    is_one = isinstance(wait_for, Future | State | str | bytes) or not isinstance(wait_for, Iterable)
    return [wait_for] if is_one else list(wait_for)


class Failures:
    """The failed upstream runs that are found while arguments are resolved: they prevent the call."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.states: list[State[Any]] = []

    def __bool__(self) -> bool:
        return bool(self.futures or self.states)


def resolve_call(call: Call, failures: Failures) -> Call:
    """Replace the futures and states of a call by their results, when they have finished.

    Args:
        call: the call, from `read_call`.
        failures: collects runs that did not complete, including those of `wait_for`.
    """
    args = tuple([_resolve(value, failures) for value in call.args])
    kwargs = call.kwargs and {name: _resolve(value, failures) for name, value in call.kwargs.items()}
    for value in call.wait_for or ():
        _resolve(value, failures)
    return call._replace(args=args, kwargs=kwargs, wait_for=None)


def _read(value: Any, found: list[Future[Any]]) -> Any:
    if type(value) in _PLAIN:
        return value

    def leaf_of(each: Any) -> Any:
        if isinstance(each, allow_failure | unmapped):
            return type(each)(_rebuild(each.value, leaf_of, _with_fields, ()))
        if isinstance(each, quote):
            return quote(each.value)
        if not isinstance(each, Future | State):
            return each
        if isinstance(each, Future):
            found.append(each)
        return _Leaf(each)

    rebuilt = _rebuild(value, leaf_of, _with_fields, ())
    return value if rebuilt is value else _Unresolved(rebuilt)


def _resolve(value: Any, failures: Failures) -> Any:
    return _replaced(value.value, failures, is_failure_allowed=False) if isinstance(value, _Unresolved) else value


def _replaced(value: Any, failures: Failures, *, is_failure_allowed: bool) -> Any:
    def result_of(each: Any) -> Any:
        if isinstance(each, allow_failure | unmapped):
            is_allowed = is_failure_allowed or isinstance(each, allow_failure)
            return _replaced(each.value, failures, is_failure_allowed=is_allowed)
        if isinstance(each, quote):
            return each.value
        if not isinstance(each, _Leaf):
            return each
        upstream = each.value
        state: State[Any] = upstream.task_run.state if isinstance(upstream, Future) else upstream
        if state.is_completed():
            return state.data
        if isinstance(upstream, State):
            if not is_failure_allowed:
                failures.states.append(upstream)
        elif is_failure_allowed:
            upstream.task_run.mark_observed()
        else:
            failures.futures.append(upstream)
        return state.exception()

    return _rebuild(value, result_of, replace, ())


def _rebuild(  # noqa: PLR0911 - one for each kind
    value: Any, leaf: Callable[[Any], Any], with_fields: Callable[..., Any], around: tuple[int, ...]
) -> Any:
    """Return a value with its leaves replaced; the same object if there is nothing to replace.

    Args:
        value: the value.
        leaf: returns what replaces a value that is not a container.
        with_fields: returns a copy of a dataclass with other values of some fields.
        around: ids of the containers around it: one that contains itself is entered once.
    """
    if type(value) in _PLAIN or id(value) in around:
        return value
    around = (*around, id(value))
    if isinstance(value, list | tuple | set | frozenset):
        before: list[Any] = list(value)
        after = [_rebuild(each, leaf, with_fields, around) for each in before]
        if all(old is new for old, new in zip(before, after, strict=True)):
            return value
        # A named tuple takes its fields one by one; a FutureList of results is a plain list.
        if isinstance(value, list):
            return after
        return type(value)(*after) if hasattr(value, "_fields") else type(value)(after)
    if isinstance(value, Mapping):
        items = [
            (_rebuild(key, leaf, with_fields, around), _rebuild(each, leaf, with_fields, around))
            for key, each in value.items()
        ]
        is_same = all(key is old and each is value[old] for (key, each), old in zip(items, value, strict=True))
        return value if is_same else _with_items(value, items)
    if hasattr(type(value), "__pydantic_fields_set__"):
        return _with_values(value, lambda each: _rebuild(each, leaf, with_fields, around))
    if is_dataclass(value) and not isinstance(value, type | allow_failure | unmapped):
        changes = {}
        for each in fields(value):
            old = getattr(value, each.name, None)
            new = _rebuild(old, leaf, with_fields, around)
            if new is not old and each.init:
                changes[each.name] = new
        return with_fields(value, **changes) if changes else value
    return leaf(value)


def _with_items(value: Mapping[Any, Any], items: Iterable[tuple[Any, Any]]) -> Any:
    """Return a mapping with other items: of the same type, if it is a dictionary, such as OrderedDict."""
    if type(value) is dict or not isinstance(value, dict):
        return dict(items)
    copied = copy.copy(value)
    copied.clear()
    for key, each in items:
        copied[key] = each
    return copied


def _with_values(model: Any, rebuild: Callable[[Any], Any]) -> Any:
    """Return a pydantic model with its values rebuilt, which are not validated again; the same if none has changed."""
    copied = None
    for part in ("__dict__", "__pydantic_extra__", "__pydantic_private__"):
        for name, old in (getattr(model, part, None) or {}).items():
            new = rebuild(old)
            if new is not old:
                copied = copied or model.model_copy()
                getattr(copied, part)[name] = new
    return model if copied is None else copied


def _with_fields(value: Any, **changes: Any) -> Any:
    """Return a copy of a dataclass without calling its constructor, which may not expect leaves."""
    copied = copy.copy(value)
    for name, new in changes.items():
        object.__setattr__(copied, name, new)
    return copied
