"""Fingerprints of values: the same for equal values in any process, so that they can name stored results."""

from __future__ import annotations

import hashlib
import pickle
import types
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from penstock.errors import ResultError


def fingerprint(value: Any) -> str:
    """Return a digest of a value.

    The order of keys in a dictionary and of elements in a set does not matter. Values of other types than containers
    and plain ones are compared by their pickle.

    Raises:
        ResultError: a value cannot be pickled, or contains itself.
    """
    digest = hashlib.sha256()
    try:
        for chunk in _chunks(value, "value"):
            digest.update(chunk)
    except RecursionError as error:
        raise ResultError("a value contains itself, or is nested too deeply") from error
    return digest.hexdigest()


def _chunks(value: Any, path: str) -> Iterator[bytes]:
    kind = type(value)
    if value is None or kind in {bool, int, float, str, bytes}:
        yield _scalar(value)
    elif isinstance(value, Enum):
        yield _scalar(f"{kind.__qualname__}.{value.name}")
    elif isinstance(value, Mapping):
        yield b"{%d:" % len(value)
        yield from sorted(
            b"".join(_chunks(key, path)) + b"=" + b"".join(_chunks(each, f"{path}[{key!r}]"))
            for key, each in value.items()
        )
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"[%s%d:" % (b"t" if isinstance(value, tuple) else b"l", len(value))
        for position, each in enumerate(value):
            yield from _chunks(each, f"{path}[{position}]")
        yield b"]"
    elif isinstance(value, AbstractSet):
        yield b"<%d:" % len(value)
        yield from sorted(b"".join(_chunks(each, path)) for each in value)
        yield b">"
    elif isinstance(value, types.FunctionType | types.MethodType | type):
        yield _scalar(f"{value.__module__}.{value.__qualname__}")
    elif is_dataclass(value) and not isinstance(value, type):
        yield _scalar(kind.__qualname__)
        yield from _chunks({each.name: getattr(value, each.name) for each in fields(value)}, path)
    elif hasattr(kind, "model_dump"):
        yield _scalar(kind.__qualname__)
        yield from _chunks(value.model_dump(), path)
    else:
        yield _pickled(value, path)


def _scalar(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    return b"%s%d:%s" % (type(value).__name__.encode(), len(text), text)


def _pickled(value: Any, path: str) -> bytes:
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise ResultError(f"{path} is a {type(value).__name__}, which cannot be pickled ({error})") from error
    return b"p%d:%s" % (len(data), data)
