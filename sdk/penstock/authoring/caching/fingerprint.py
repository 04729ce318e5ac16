"""Fingerprints of values: the same for equal values in any process, so that they can name stored results.

Values that cannot be told apart have no fingerprint: a result that is computed again is better than a wrong one.
"""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import sys
import types
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final
from weakref import WeakKeyDictionary

from penstock.authoring.closure import variables_around
from penstock.authoring.function import Decorated
from penstock.errors import ResultError

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_definitions: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()


def fingerprint(value: Any) -> str:
    """Return a digest of a value.

    The order of keys in a dictionary and of elements in a set does not matter. A function counts with its code, its
    defaults, the variables around it, and the constants and functions of its module that it uses; a bound method with
    its object. Values of other types than containers and plain ones are compared by their pickle.

    Raises:
        ResultError: a value cannot be pickled, or contains itself.
    """
    digest = hashlib.sha256()
    try:
        for chunk in _Walk().chunks(value, "value"):
            digest.update(chunk)
    except RecursionError as error:
        raise ResultError("a value contains itself, or is nested too deeply") from error
    return digest.hexdigest()


def fingerprint_of_definition(fn: Any) -> str | None:
    """Return a digest of a function that its module and name do not identify; None if they do.

    A function inside of a function counts as it was when it was first asked for: a list around it, to which it appends,
    does not make it another one. If a variable around it has no fingerprint, the digest is of this object only.
    """
    fn = getattr(fn, "__func__", fn)
    if "<" not in getattr(fn, "__qualname__", "<"):
        return None
    if fn not in _definitions:
        try:
            _definitions[fn] = fingerprint(fn)
        except ResultError:
            _definitions[fn] = uuid.uuid4().hex
    return _definitions[fn]


class _Walk:
    """The chunks of one value, in the order in which they are digested."""

    def __init__(self) -> None:
        self._functions: dict[int, int] = {}
        """Position of each function that was met: functions may refer to each other."""

    def chunks(self, value: Any, path: str) -> Iterator[bytes]:
        """Yield the chunks of a value."""
        if type(value) in _SCALARS:
            yield _scalar(value)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value, path)
        elif isinstance(value, types.MethodType):
            yield from self.chunks(("method", value.__func__, value.__self__), path)
        elif isinstance(value, functools.partial):
            yield from self.chunks(("partial", value.func, value.args, value.keywords, vars(value)), path)
        elif isinstance(value, Decorated):
            yield from self.chunks(("decorated", value.key, value.fn), path)
        elif isinstance(value, type):
            yield from self._class(value, path)
        elif isinstance(value, Mapping | list | tuple | AbstractSet):
            yield from self._container(value, path)
        else:
            yield from self._object(value, path)

    def _object(self, value: Any, path: str) -> Iterator[bytes]:
        if isinstance(value, Enum):
            yield from self._class(type(value), path)
            yield _scalar(f"{value.name}={value.value!r}" if isinstance(value.value, int) else value.name)
        elif is_dataclass(value):
            yield from self._class(type(value), path)
            state = {each.name: getattr(value, each.name, None) for each in fields(value)}
            yield from self.chunks({**_attributes(value), **state}, path)
        elif hasattr(value, "__pydantic_fields_set__"):
            yield from self._class(type(value), path)
            # Not model_dump(), which omits private attributes and excluded fields.
            state = {**vars(value), "": [value.__pydantic_extra__, value.__pydantic_private__]}
            yield from self.chunks(state, path)
        else:
            yield self._pickled(value, path)

    def _container(self, value: Any, path: str) -> Iterator[bytes]:
        kind = type(value)
        if kind not in {dict, list, tuple, set, frozenset}:
            yield from self._class(kind, path)
            yield from self.chunks(_attributes(value), path)
        if isinstance(value, Mapping):
            yield b"{%d:" % len(value)
            items = [
                b"".join(self.chunks(key, path)) + b"=" + b"".join(self.chunks(each, f"{path}[{key!r}]"))
                for key, each in value.items()
            ]
            yield from items if isinstance(value, OrderedDict) else sorted(items)
            yield b"}"
        elif isinstance(value, list | tuple):
            yield b"[%s%d:" % (b"t" if isinstance(value, tuple) else b"l", len(value))
            for position, each in enumerate(value):
                yield from self.chunks(each, f"{path}[{position}]")
            yield b"]"
        else:
            yield b"<%s%d:" % (b"s" if isinstance(value, set) else b"f", len(value))
            yield from sorted(b"".join(self.chunks(each, path)) for each in value)
            yield b">"

    def _function(self, value: types.FunctionType, path: str) -> Iterator[bytes]:
        yield _scalar(f"{value.__module__}.{value.__qualname__}")
        if id(value) in self._functions:
            yield _scalar(self._functions[id(value)])
            return
        self._functions[id(value)] = len(self._functions)
        yield from self._code(value.__code__, path)
        yield from self.chunks((value.__defaults__, value.__kwdefaults__, vars(value)), path)
        for name, content in variables_around(value, unassigned="empty").items():
            yield _scalar(name)
            yield from self.chunks(content, f"{path}, in which {name!r}")
        for name in sorted(_names(value.__code__)):
            used = value.__globals__.get(name)
            is_own = isinstance(used, types.FunctionType) and used.__module__ == value.__module__
            if name in value.__globals__ and (is_own or type(used) in _SCALARS):
                yield _scalar(name)
                yield from self.chunks(used, path)

    def _code(self, code: types.CodeType, path: str) -> Iterator[bytes]:
        yield _scalar(code.co_code)
        yield _scalar(repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags)))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from self._code(constant, path)
            else:
                yield _scalar(f"{type(constant).__name__} {_in_order(constant)!r}")

    def _class(self, kind: type, path: str) -> Iterator[bytes]:
        yield _scalar(f"{kind.__module__}.{kind.__qualname__}")
        if _is_importable(kind):
            return
        for base in kind.__bases__:
            yield from self._class(base, path)
        for name, member in sorted(vars(kind).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, types.FunctionType) or not name.startswith("_"):
                yield _scalar(name)
                yield from self.chunks(inner, f"{path}, in which {name!r}")

    def _pickled(self, value: Any, path: str) -> bytes:
        walk, file = self, io.BytesIO()

        class Pickler(pickle.Pickler):
            """Pickles functions by what they do: by their names, two of them could be the same."""

            def reducer_override(self, each: Any) -> Any:
                if isinstance(each, types.FunctionType):
                    return str, (b"".join(walk.chunks(each, path)).hex(),)
                return NotImplemented

        try:
            Pickler(file, protocol=5).dump(value)
        except ResultError:
            raise
        except Exception as error:
            # The methods by which a value is pickled are its own, and raise whatever they like.
            raise ResultError(f"{path} is a {type(value).__name__}, which cannot be pickled ({error})") from error
        data = file.getvalue()
        return b"p%d:%s" % (len(data), data)


def _scalar(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    return b"%s%d:%s" % (type(value).__name__.encode(), len(text), text)


def _attributes(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def _names(code: types.CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*(_names(each) for each in inner))


def _in_order(constant: Any) -> Any:
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant


def _is_importable(kind: type) -> bool:
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind
