"""Fingerprints of values: the same for equal values in any process, so that they can name stored results.

Values that cannot be distinguished have no fingerprint: a result that is computed again is better than a wrong one.
"""

from __future__ import annotations

import contextlib
import dis
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
from typing import Any, Final, ParamSpec, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from penstock.authoring.caching.own_code import is_identified, is_own_module
from penstock.authoring.closure import variables_around
from penstock.authoring.function import Decorated
from penstock.errors import ResultError

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_DERIVED: Final = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"),
        *("__annotations_cache__", "__signature__", "_abc_impl"),
    }
)
"""Members of classes that follow from the others, or say where a class is."""
_Cached: Final = functools._lru_cache_wrapper  # noqa: SLF001 - the type has no public name
_NOT_PICKLED: Final = (types.FunctionType, _Cached, types.MappingProxyType, property, staticmethod, classmethod)
_WRAPPERS: Final = (
    functools.partial,
    Decorated,
    property,
    functools.cached_property,
    _Cached,
    staticmethod,
    classmethod,
)
_definitions: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()


def fingerprint(value: Any, *, counts_data: bool = True) -> str:
    """Return a digest of a value.

    The order of keys in a dictionary and of elements in a set does not matter. A function counts with its code, its
    defaults, the variables around it, and what it uses of its module and of other modules of the user's own; a bound
    method with its object and its class. A class counts with its members, that of an object only if its name does not
    identify it. Functions and classes of libraries count by name. Values of other types than containers and plain ones
    are compared by their pickle.

    Args:
        value: the value.
        counts_data: whether functions count with all that they use of modules; False for functions and plain constants.

    Raises:
        ResultError: a value cannot be pickled, or contains itself.
    """
    digest = hashlib.sha256()
    try:
        for chunk in _Walk(counts_data=counts_data).chunks(value, "value"):
            digest.update(chunk)
    except RecursionError as error:
        raise ResultError("a value contains itself, or is nested too deeply") from error
    return digest.hexdigest()


def fingerprint_of_definition(fn: Any) -> str | None:
    """Return a digest of a function that its module and name do not identify; None if they do.

    A function inside of a function counts as it was when it was first asked for: a list around it, to which it appends,
    does not make it another one. Nor does data of modules, as for a function that its name identifies. If a variable
    around it has no fingerprint, the digest is of this object only.
    """
    fn = getattr(fn, "__func__", fn)
    if "<" not in getattr(fn, "__qualname__", "<"):
        return None
    if fn not in _definitions:
        try:
            _definitions[fn] = fingerprint(fn, counts_data=False)
        except ResultError:
            _definitions[fn] = uuid.uuid4().hex
    return _definitions[fn]


class _Walk:
    """The chunks of one value, in the order in which they are digested."""

    def __init__(self, *, counts_data: bool) -> None:
        self._counts_data = counts_data
        self._met: dict[int, tuple[int, Any]] = {}
        """Position of each function and class that was met, by id: they may refer to each other. With the object, as
        the id of one that is gone may be that of another."""

    def chunks(self, value: Any, path: str) -> Iterator[bytes]:
        """Yield the chunks of a value."""
        if type(value) in _SCALARS:
            yield _scalar(value)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value, path)
        elif isinstance(value, types.MethodType):
            of = value.__self__
            yield from self.chunks(("method", value.__func__, of), path)
            yield from self._class(type(of), path, whole=True)
        elif isinstance(value, _WRAPPERS):
            yield from self.chunks((type(value).__name__, *_wrapped(value)), path)
        elif isinstance(value, type):
            yield from self._class(value, path, whole=True)
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
            yield from self.chunks({**_attributes(value), **_slots(value), **state}, path)
        elif hasattr(value, "__pydantic_fields_set__"):
            yield from self._class(type(value), path)
            # Not model_dump(), which omits private attributes and excluded fields.
            slots = {name: each for name, each in _slots(value).items() if not name.startswith("BaseModel.")}
            state = {**vars(value), **slots, "": [value.__pydantic_extra__, value.__pydantic_private__]}
            yield from self.chunks(state, path)
        else:
            yield self._pickled(value, path)
            if callable(value):
                yield from self._class(type(value), path, whole=True)

    def _container(self, value: Any, path: str) -> Iterator[bytes]:
        kind = type(value)
        if kind not in {dict, list, tuple, set, frozenset}:
            yield from self._class(kind, path)
            yield from self.chunks({**_attributes(value), **_slots(value)}, path)
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
        if self._is_met(value):
            yield _scalar(self._met[id(value)][0])
            return
        yield from self._code(value.__code__, path)
        yield from self.chunks((value.__defaults__, value.__kwdefaults__, vars(value)), path)
        used, names = _names(value.__code__)
        for name, content in variables_around(value, unassigned="empty").items():
            yield _scalar(name)
            if isinstance(content, types.ModuleType):
                yield from self._used(name, content, names, value.__module__, path)
            else:
                yield from self.chunks(content, f"{path}, in which {name!r}")
        package = value.__globals__.get("__package__")
        for name in used:
            found = value.__globals__.get(name, _module(name, package))
            if found is not None or name in value.__globals__:
                yield from self._used(name, found, names, value.__module__, path)

    def _used(self, name: str, used: Any, names: tuple[str, ...], module: str, path: str) -> Iterator[bytes]:
        """Yield the chunks of what a function uses by its name, of its module or of one that is imported there."""
        path = f"{path}, in which {name!r}"
        if not self._counts_data:
            if type(used) in _SCALARS or (isinstance(used, types.FunctionType) and used.__module__ == module):
                yield _scalar(name)
                yield from self.chunks(used, path)
            return
        yield _scalar(name)
        if isinstance(used, types.ModuleType):
            yield _scalar(used.__name__)
            # The names of all attributes in a function's code are together, so some of these may be of other objects.
            found = [each for each in names if each in vars(used)] if is_own_module(used.__name__) else []
            for each in found:
                if not isinstance(vars(used)[each], types.ModuleType):
                    yield from self._used(each, vars(used)[each], names, used.__name__, path)
        elif isinstance(used, types.FunctionType | _Cached | type) and not (
            used.__module__ == module or is_own_module(used.__module__) or not is_identified(used)
        ):
            yield _scalar(f"{used.__module__}.{used.__qualname__}")
        else:
            yield from self.chunks(used, path)
            yield from self._class(type(used), path, whole=True)

    def _is_met(self, value: Any) -> bool:
        """Return whether a function or class was met; it is from now on."""
        if id(value) in self._met:
            return True
        self._met[id(value)] = len(self._met), value
        return False

    def _code(self, code: types.CodeType, path: str) -> Iterator[bytes]:
        yield _scalar(code.co_code)
        yield _scalar(repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags)))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from self._code(constant, path)
            else:
                yield _scalar(f"{type(constant).__name__} {_in_order(constant)!r}")

    def _class(self, kind: type, path: str, *, whole: bool = False) -> Iterator[bytes]:
        """Yield the chunks of a class: its name alone if that identifies it.

        Args:
            kind: the class.
            path: where it is.
            whole: also the members of a class of the user's own whose name identifies it.
        """
        yield _scalar(f"{kind.__module__}.{kind.__qualname__}")
        if is_identified(kind) and not (whole and self._counts_data and is_own_module(kind.__module__)):
            return
        if self._is_met(kind):
            yield _scalar(self._met[id(kind)][0])
            return
        for base in (type(kind), *kind.__bases__):
            yield from self._class(base, path, whole=whole)
        if issubclass(kind, Enum):
            yield from self.chunks({name: member.value for name, member in kind.__members__.items()}, path)
        for name, member in sorted(vars(kind).items()):
            if _is_counted(kind, name):
                yield _scalar(name)
                # Slots, and methods that are written in C, are named by their class, and there is no more to them.
                if getattr(member, "__objclass__", None) is not kind:
                    yield from self.chunks(member, f"{path}, in which {name!r}")

    def _pickled(self, value: Any, path: str) -> bytes:
        walk, file = self, io.BytesIO()

        class Pickler(pickle.Pickler):
            """Pickles functions by what they do: by their names, two of them could be the same.

            So for classes that have no name to import them by, and for parts of them that cannot be pickled.
            """

            def reducer_override(self, each: Any) -> Any:
                if isinstance(each, TypeVar | TypeVarTuple | ParamSpec):
                    return str, (repr(each),)
                if isinstance(each, _NOT_PICKLED) or (isinstance(each, type) and not is_identified(each)):
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


def _slots(value: Any) -> dict[str, Any]:
    """Return what an object holds beside its attributes: its slots, and what types that are written in C keep."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # not set
                    found[f"{kind.__qualname__}.{name}"] = slot.__get__(value)
    return found


def _wrapped(value: Any) -> tuple[Any, ...]:
    """Return the parts of an object that wraps a function."""
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords, vars(value)
    if isinstance(value, Decorated):
        return value.key, value.fn
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, functools.cached_property):
        return value.func, value.attrname
    return (vars(value),) if isinstance(value, _Cached) else (value.__func__,)


def _is_counted(kind: type, name: str) -> bool:
    """Return whether a member of a class says what the class is, rather than following from the other members."""
    if issubclass(kind, Enum) and name.startswith("_"):
        return isinstance(vars(kind)[name], types.FunctionType | classmethod | staticmethod)
    return name not in _DERIVED and (not name.startswith("__pydantic_") or name == "__pydantic_fields__")


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the global names and the modules that code uses, and all its names, with those of attributes."""
    opnames = {"LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME"}
    used = {each.argval for each in dis.get_instructions(code) if each.opname in opnames}
    names = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            inner_used, inner_names = _names(each)
            used.update(inner_used)
            names.update(inner_names)
    return tuple(sorted(used)), tuple(sorted(names))


def _module(name: str, package: str | None) -> types.ModuleType | None:
    """Return a module that a function imports when it is called, perhaps from its own package; None if no one has."""
    return sys.modules.get(name) or sys.modules.get(f"{package}.{name}")


def _in_order(constant: Any) -> Any:
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
