"""Pickles of values: also of lambdas, and of functions and classes that are defined inside of a function."""

from __future__ import annotations

import io
import pickle
from typing import Any, Final

PROTOCOL: Final = 5


def pickled(value: Any) -> bytes:
    """Return the pickle of a value.

    Raises:
        Exception: it cannot be pickled.
    """
    try:
        return pickle.dumps(value, protocol=PROTOCOL)
    except Exception:  # noqa: BLE001 - what is raised depends on the value
        return _pickled_by_value(value)


def _pickled_by_value(value: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415 - most values do not need it

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        """Refuses files, which would become copies of their content."""

        def reducer_override(self, each: Any) -> Any:
            if isinstance(each, io.TextIOWrapper):
                raise TypeError("cannot pickle a file")
            return super().reducer_override(each)

    file = io.BytesIO()
    Pickler(file, protocol=PROTOCOL).dump(value)
    return file.getvalue()
