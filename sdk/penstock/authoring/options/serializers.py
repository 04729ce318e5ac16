"""Serializers: how results are written. A name (`"json"`), or an object with `dumps` and `loads`."""

from __future__ import annotations

import importlib
import json
import pickle
import zlib
from typing import Any, Final

from penstock.authoring.options.pickling import pickled
from penstock.errors import OptionError

COMPRESSED: Final = "compressed/"


class Serializer:
    """The base of serializers of your own: set `type`, and define `dumps` and `loads`.

    Args:
        **options: become attributes.
    """

    type: str = ""

    def __init__(self, **options: Any) -> None:
        for name, value in options.items():
            setattr(self, name, value)

    def dumps(self, obj: Any) -> bytes:
        """Return a result as bytes."""
        raise NotImplementedError(f"{type(self).__name__} has no dumps()")

    def loads(self, blob: bytes) -> Any:
        """Return the result from its bytes."""
        raise NotImplementedError(f"{type(self).__name__} has no loads()")


class PickleSerializer(Serializer):
    """Pickles, also of lambdas and local classes.

    Args:
        picklelib: another module with `dumps` and `loads`.
    """

    type = "pickle"

    def __init__(self, picklelib: str | None = None, **_: Any) -> None:
        self.picklelib = picklelib

    def dumps(self, obj: Any) -> bytes:
        """Return the pickle."""
        if self.picklelib is None:
            return pickled(obj)
        data: bytes = importlib.import_module(self.picklelib).dumps(obj)
        return data

    def loads(self, blob: bytes) -> Any:
        """Return what was pickled."""
        return (pickle if self.picklelib is None else importlib.import_module(self.picklelib)).loads(blob)


class JSONSerializer(Serializer):
    """JSON, of values that are JSON.

    Args:
        dumps_kwargs: arguments of `json.dumps`.
        loads_kwargs: arguments of `json.loads`.
        jsonlib: has no meaning here.
    """

    type = "json"

    def __init__(
        self,
        dumps_kwargs: dict[str, Any] | None = None,
        loads_kwargs: dict[str, Any] | None = None,
        jsonlib: str | None = None,
        **_: Any,
    ) -> None:
        self.dumps_kwargs = dumps_kwargs or {}
        self.loads_kwargs = loads_kwargs or {}
        self.jsonlib = jsonlib

    def dumps(self, obj: Any) -> bytes:
        """Return the JSON text."""
        return json.dumps(obj, **self.dumps_kwargs).encode()

    def loads(self, blob: bytes) -> Any:
        """Return the value."""
        return json.loads(blob, **self.loads_kwargs)


class CompressedSerializer(Serializer):
    """Compresses what another serializer writes.

    Args:
        serializer: the other one, or its name.
        compressionlib: a module with `compress` and `decompress`.
    """

    def __init__(self, serializer: Serializer | str = "pickle", compressionlib: str = "zlib", **_: Any) -> None:
        inner = serializer_of(serializer)
        assert inner is not None
        self.serializer = inner
        self.compressionlib = compressionlib

    @property
    def type(self) -> str:  # type: ignore[override]  # it depends on the other one
        """`compressed/` and the type of the other one."""
        return COMPRESSED + self.serializer.type

    def dumps(self, obj: Any) -> bytes:
        """Return the compressed bytes."""
        data: bytes = self._library().compress(self.serializer.dumps(obj))
        return data

    def loads(self, blob: bytes) -> Any:
        """Return the result."""
        return self.serializer.loads(self._library().decompress(blob))

    def _library(self) -> Any:
        return zlib if self.compressionlib == "zlib" else importlib.import_module(self.compressionlib)


class CompressedPickleSerializer(CompressedSerializer):
    """Compressed pickles."""

    def __init__(self, **options: Any) -> None:
        super().__init__("pickle", **options)


class CompressedJSONSerializer(CompressedSerializer):
    """Compressed JSON."""

    def __init__(self, **options: Any) -> None:
        super().__init__("json", **options)


_BY_NAME: Final = {"pickle": PickleSerializer, "json": JSONSerializer}


def serializer_of(given: Any) -> Serializer | None:
    """Return a serializer from an object or a name; None if it is neither.

    Args:
        given: an object with `type`, `dumps` and `loads`, or a name such as `compressed/json`.
    """
    if isinstance(given, str):
        is_compressed = given.startswith(COMPRESSED)
        kind = _BY_NAME.get(given.removeprefix(COMPRESSED))
        if kind is None:
            return None
        return CompressedSerializer(kind()) if is_compressed else kind()
    is_one = all(callable(getattr(given, name, None)) for name in ("dumps", "loads"))
    return given if is_one and isinstance(getattr(given, "type", None), str) else None


def read_serializer(where: str, given: Any) -> str | Serializer | None:
    """Return the option `result_serializer`: a name if it says everything, else the object.

    Raises:
        OptionError: it is not a serializer.
    """
    if given is None:
        return None
    found = serializer_of(given)
    if found is None:
        raise OptionError(
            f"{where}(result_serializer={given!r}): must be 'pickle', 'json', 'compressed/pickle', 'compressed/json' or"
            " a serializer of penstock.serializers"
        )
    if isinstance(given, str):
        return given
    named = serializer_of(found.type)
    return found.type if type(named) is type(found) and _state(named) == _state(found) else found


def base_name(serializer: str | Serializer | None) -> str | None:
    """Return `json` or `pickle`: which of them a result must be for; None if nothing was asked for."""
    if serializer is None:
        return None
    name = serializer if isinstance(serializer, str) else serializer.type
    return "json" if name.endswith("json") else "pickle"


def _state(serializer: Serializer) -> dict[str, Any]:
    return {
        name: (type(value), _state(value)) if isinstance(value, Serializer) else value
        for name, value in vars(serializer).items()
    }
