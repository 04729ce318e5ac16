"""The guard against secrets in manifests: whoever may read a Flow could read them."""

from __future__ import annotations

import io
import pickle
from typing import Any


class SecretFoundError(Exception):
    """A value contains a secret of pydantic."""


def pickled_without_secrets(value: Any) -> bytes:
    """Return the pickle of a value.

    Raises:
        SecretFoundError: it contains a secret.
        Exception: it cannot be pickled.
    """
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, each: Any) -> Any:
        if hasattr(type(each), "get_secret_value"):
            raise SecretFoundError
        return NotImplemented
