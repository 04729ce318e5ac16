"""Results on disk: written when a task completes, read instead of running it again."""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.authoring.context import TASK_LOGGER
from penstock.authoring.home import write_file
from penstock.authoring.options import Serializer
from penstock.errors import ResultError

FORMAT: Final = 1


class Found(NamedTuple):
    """A result that was read."""

    value: Any


class StoredResult:
    """A place for one result.

    Args:
        folder: where it is, or will be.
        key: what it is known by; any text.
        serializer: how it is written. It is read as it was written.
    """

    def __init__(self, folder: Path, key: str, serializer: Serializer) -> None:
        self._path = folder / hashlib.sha256(key.encode()).hexdigest()[:40]
        self._key = key
        self._serializer = serializer

    def read(self, *, now: float | None = None) -> Found | None:
        """Return the result, or None if there is none that still holds.

        What can't be read counts as not there, with a warning: the task can make it again.
        """
        try:
            head, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            TASK_LOGGER.warning("the stored result %s can't be read (%s): the task runs", self._path, error)
            return None
        try:
            facts = json.loads(head)
            if facts["format"] != FORMAT or facts["key"] != self._key:
                return None
            expires = facts["expires"]
            if expires is not None and expires <= (time.time() if now is None else now):
                return None
            return Found(json.loads(body) if facts["serializer"] == "json" else pickle.loads(body))  # noqa: S301 - only this user can write there
        except Exception as error:  # noqa: BLE001 - unpickling runs code of any class
            TASK_LOGGER.warning(
                "the stored result %s can't be read (%s: %s): the task runs", self._path, type(error).__name__, error
            )
            return None

    def write(self, value: Any, *, expiration_s: float | None) -> None:
        """Keep a result.

        Args:
            value: the result.
            expiration_s: for how long it holds, in seconds; forever if None.

        Raises:
            ResultError: it can't be serialised, or the file can't be written.
        """
        try:
            body = json.dumps(value).encode() if self._serializer == "json" else pickle.dumps(value, protocol=5)
        except Exception as error:
            advice = (
                "return what JSON knows, or leave out result_serializer='json'"
                if self._serializer == "json"
                else "return plain data, or leave out what makes the task keep its result (persist_result, cache_...)"
            )
            raise ResultError(
                f"the result, a {type(value).__name__}, can't be stored ({type(error).__name__}: {error}): {advice}"
            ) from error
        now = time.time()
        facts = {
            "format": FORMAT,
            "key": self._key,
            "serializer": self._serializer,
            "created": now,
            "expires": None if expiration_s is None else now + expiration_s,
        }
        try:
            write_file(self._path, json.dumps(facts).encode() + b"\n" + body)
        except OSError as error:
            raise ResultError(f"the result can't be written to {self._path}: {error}") from error
