"""Stored results: written when a task completes, and read instead of running it again."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.authoring.loggers import TASK_LOGGER
from penstock.authoring.options.serializers import Serializer, serializer_of
from penstock.authoring.storage.home import write_file
from penstock.errors import ResultError

FORMAT: Final = 1


class FoundResult(NamedTuple):
    """A result that was read."""

    value: Any


def file_name(key: str) -> str:
    """Return the name of the file of a result with a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:40]


class StoredResult:
    """The file of one result.

    Args:
        path: the file.
        key: the cache key; any text.
        serializer: how it is written. Reading uses the serializer that it was written with.
    """

    def __init__(self, path: Path, key: str, serializer: str | Serializer) -> None:
        self._path = path
        self._key = key
        self._serializer = serializer

    def read_result(self, *, now: float | None = None) -> FoundResult | None:
        """Return the result; None if there is none or it has expired.

        A result that cannot be read is ignored with a warning, and the task runs.
        """
        try:
            head, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            TASK_LOGGER.warning("cannot read the stored result %s (%s); running the task", self._path, error)
            return None
        try:
            facts = json.loads(head)
            if facts["format"] != FORMAT or facts["key"] != self._key:
                return None
            expires = facts["expires"]
            if expires is not None and expires <= (time.time() if now is None else now):
                return None
            return FoundResult(self._reader(facts["serializer"]).loads(body))
        except Exception as error:  # noqa: BLE001 - unpickling runs code of any class
            TASK_LOGGER.warning(
                "cannot read the stored result %s (%s: %s); running the task", self._path, type(error).__name__, error
            )
            return None

    def write_result(self, value: Any, *, expiration_s: float | None) -> None:
        """Store a result.

        Args:
            value: the result.
            expiration_s: how long it is valid, in seconds; None for no limit.

        Raises:
            ResultError: it cannot be serialized, or the file cannot be written.
        """
        serializer = serializer_of(self._serializer)
        assert serializer is not None
        try:
            body = serializer.dumps(value)
        except Exception as error:
            advice = (
                "return JSON values, or omit result_serializer='json'"
                if serializer.type.endswith("json")
                else "return plain data, or set persist_result=False on the task"
            )
            raise ResultError(
                f"cannot store the result, a {type(value).__name__} ({type(error).__name__}: {error}): {advice}"
            ) from error
        now = time.time()
        facts = {
            "format": FORMAT,
            "key": self._key,
            "serializer": serializer.type,
            "created": now,
            "expires": None if expiration_s is None else now + expiration_s,
        }
        try:
            write_file(self._path, json.dumps(facts).encode() + b"\n" + body)
        except OSError as error:
            raise ResultError(f"cannot write the result to {self._path}: {error}") from error

    def _reader(self, name: str) -> Serializer:
        """Return the serializer that a result was written with."""
        own = serializer_of(self._serializer)
        assert own is not None
        found = own if own.type == name else serializer_of(name)
        if found is None:
            raise ResultError(f"it was written by a serializer {name!r}, which the task no longer has")
        return found
