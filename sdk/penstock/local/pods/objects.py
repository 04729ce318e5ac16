"""The objects of the manifests that a run was started with: its Flows, and the data that its Pods refer to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.engine.suggestion import suggest
from penstock.errors import PenstockError


class MissingObjectError(PenstockError):
    """Something that a Pod refers to is in none of the manifests."""


class Objects:
    """ConfigMaps and Secrets by name. Namespaces don't count: on this machine there is one.

    Args:
        contents: objects of any kind, as JSON has them.
    """

    def __init__(self, contents: Iterable[Mapping[str, Any]]) -> None:
        self._data: dict[str, dict[str, dict[str, bytes]]] = {"ConfigMap": {}, "Secret": {}}
        for content in contents:
            kind = content.get("kind")
            if kind in self._data and content.get("apiVersion") == "v1":
                name = str((content.get("metadata") or {}).get("name"))
                self._data[kind][name] = _read_data(kind, name, content)

    def data(self, kind: str, name: str, *, is_optional: bool = False) -> Mapping[str, bytes]:
        """Return the data of a ConfigMap or Secret.

        Args:
            kind: ConfigMap or Secret.
            name: its name.
            is_optional: whether one that does not exist is empty.

        Raises:
            MissingObjectError: there is none of that name.
        """
        found = self._data[kind].get(name)
        if found is None and not is_optional:
            hint = suggest(name, list(self._data[kind]))
            raise MissingObjectError(
                f"there is no {kind} {name} in the files{hint}: add its manifest to the command, after the Flow's"
            )
        return found or {}

    def value(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        """Return what a `configMapKeyRef` or `secretKeyRef` refers to; None if it is not there and may be missing.

        Raises:
            MissingObjectError: it is not there.
        """
        is_optional = bool(reference.get("optional"))
        name, key = str(reference.get("name")), str(reference.get("key"))
        data = self.data(kind, name, is_optional=is_optional)
        if key in data:
            return data[key].decode(errors="replace")
        if is_optional:
            return None
        raise MissingObjectError(f"the {kind} {name} has no key {key}{suggest(key, list(data))}")


def _read_data(kind: str, name: str, content: Mapping[str, Any]) -> dict[str, bytes]:
    texts = content.get("data") or {}
    encoded = content.get("binaryData") or {}
    if kind == "Secret":
        texts, encoded = content.get("stringData") or {}, texts
    data: dict[str, bytes] = {}
    for key, text in encoded.items():
        try:
            data[key] = base64.b64decode(str(text), validate=True)
        except binascii.Error as error:
            raise MissingObjectError(f"the key {key} of the {kind} {name} is no base64: {error}") from error
    return data | {key: str(text).encode() for key, text in texts.items()}
