"""ConfigMaps and Secrets from the manifests that a local run was started with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.engine.suggestion import suggest
from penstock.errors import PenstockError


class MissingObjectError(PenstockError):
    """A Pod refers to an object that is in none of the manifests."""


class Objects:
    """ConfigMaps and Secrets by name. Namespaces are ignored: on this machine there is one.

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

    def data_of(self, kind: str, name: str, *, is_optional: bool = False) -> Mapping[str, bytes]:
        """Return the data of a ConfigMap or Secret.

        Args:
            kind: ConfigMap or Secret.
            name: its name.
            is_optional: return no data if it does not exist, instead of raising.

        Raises:
            MissingObjectError: it does not exist.
        """
        found = self._data[kind].get(name)
        if found is None and not is_optional:
            hint = suggest(name, list(self._data[kind]))
            raise MissingObjectError(
                f"{kind} {name} not found in the files{hint}: add its manifest to the command, after the Flow's"
            )
        return found or {}

    def value_of(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        """Return the value of a `configMapKeyRef` or `secretKeyRef`; None if it is optional and does not exist.

        Raises:
            MissingObjectError: it does not exist.
        """
        is_optional = bool(reference.get("optional"))
        name, key = str(reference.get("name")), str(reference.get("key"))
        data = self.data_of(kind, name, is_optional=is_optional)
        if key in data:
            return data[key].decode(errors="replace")
        if is_optional:
            return None
        raise MissingObjectError(f"{kind} {name} has no key {key}{suggest(key, list(data))}")


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
            raise MissingObjectError(f"{kind} {name}, key {key}: invalid base64: {error}") from error
    return data | {key: str(text).encode() for key, text in texts.items()}
