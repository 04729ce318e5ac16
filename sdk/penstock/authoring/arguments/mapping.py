"""The arguments of map(), expanded to the arguments of each item."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from penstock.authoring.arguments.annotations import allow_failure, unmapped
from penstock.authoring.runs.futures import Future
from penstock.errors import MappingLengthMismatchError, MappingMissingIterableError, ParameterError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def expand(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Arguments]:
    """Yield the arguments of each item.

    Iterables are passed item by item. Strings, bytes, dictionaries, `unmapped` values and values that are not iterable
    are passed to each item. A future is waited for, because its result decides how many items there are.

    Args:
        signature: the signature of the task's function.
        args: the positional arguments.
        kwargs: the keyword arguments.

    Raises:
        ParameterError: the arguments do not match the function.
        MappingLengthMismatchError: the iterables have different lengths.
        MappingMissingIterableError: there is no iterable.
    """
    args = tuple(_read(value) for value in args)
    kwargs = {name: _read(value) for name, value in kwargs.items()}
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ParameterError(f"map(): {error}") from error
    names = _names(signature, bound)
    lengths = {name: len(value.items) for name, value in names.items() if isinstance(value, _Column)}
    if not lengths:
        raise MappingMissingIterableError(
            f"map() needs at least one iterable; got {', '.join(names) or 'no arguments'}: pass a list, or use submit()"
        )
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise MappingLengthMismatchError(f"map() needs iterables of one length, but {found}: wrap one in unmapped(...)")
    return _rows(args, kwargs, next(iter(lengths.values())))


class _Column(NamedTuple):
    """An argument that is passed item by item."""

    items: list[Any]


def _read(value: Any) -> Any:
    """Return an argument as a column if it is passed item by item, else as it is."""
    if isinstance(value, unmapped):
        return value.value
    if isinstance(value, allow_failure):
        inside = _read(value.value)
        return _Column([allow_failure(each) for each in inside.items]) if isinstance(inside, _Column) else value
    if isinstance(value, Future):
        return _read(value.result())
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        return value
    return _Column(list(value))


def _names(signature: inspect.Signature, bound: inspect.BoundArguments) -> dict[str, Any]:
    """Name each argument, including those of *args and **kwargs."""
    names: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            names |= {f"{name}[{position}]": each for position, each in enumerate(value)}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            names |= value
        else:
            names[name] = value
    return names


def _rows(args: tuple[Any, ...], kwargs: Mapping[str, Any], length: int) -> Iterator[Arguments]:
    for row in range(length):
        yield tuple(_cell(value, row) for value in args), {name: _cell(value, row) for name, value in kwargs.items()}


def _cell(value: Any, row: int) -> Any:
    return value.items[row] if isinstance(value, _Column) else value
