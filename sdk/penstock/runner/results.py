"""Results as outputs, and back.

`result` is what people and expressions read. Where that is not exactly what the task returned, something beside it is:
`exact`, its JSON as text; `pickle`, its pickle; or `stored`, where either is kept, and by which hash.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from penstock.authoring.call import STORAGE
from penstock.errors import ResultError
from penstock.runner.exact import compact, described, is_exact, is_json, readable
from penstock.runner.storage import Storage, fetch

MAX_OUTPUTS_BYTES: Final = 4095
"""What a container's termination message can hold, less one: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/."""
MAX_KEPT_IN_STATUS_BYTES: Final = 1024
"""Results above this are stored, if there is a storage: a run's outputs have a limit in all."""
MAX_SHOWN_BYTES: Final = 256
"""Results whose readable form is longer are only described, if that is not what they are."""


def encode(value: Any, *, serializer: str | None, storage: Storage | None, who: str) -> dict[str, Any]:
    """Write a result as outputs.

    Args:
        value: the result.
        serializer: json: refuse what JSON does not know.
        storage: the flow's.
        who: whose result it is, for messages.

    Raises:
        ResultError: it can't be serialised, or is too big and there is no storage.
    """
    if value is None:
        return {}
    limit_bytes = MAX_OUTPUTS_BYTES if storage is None else MAX_KEPT_IN_STATUS_BYTES
    data, kind = _serialised(value, serializer, who)
    # What is bigger than all outputs is not looked at any closer.
    outputs = _inline(value, data, kind) if len(data) <= limit_bytes else None
    if outputs is not None and _size(outputs) <= limit_bytes:
        return outputs
    if storage is None:
        raise ResultError(
            f"the result of {who} takes {len(data)} bytes, and outputs hold {MAX_OUTPUTS_BYTES}: give the flow a"
            f" storage (@flow(storage='s3://bucket/prefix'), @flow(workspace={{'size': '1Gi'}}), or {STORAGE}), or"
            " return less"
        )
    digest = _hash(data)
    url = storage.write(f"results/{digest[:2]}/{digest}.{'json' if kind == 'exact' else 'pickle'}", data)
    return {"result": described(value), "stored": {"url": url, "sha256": digest, "bytes": len(data), "as": kind}}


def _inline(value: Any, data: bytes, kind: str) -> dict[str, Any]:
    if is_exact(value):
        return {"result": value}
    shown = readable(value)
    if kind == "exact":
        return {"result": shown, "exact": data.decode()}
    if len(compact(shown).encode()) > MAX_SHOWN_BYTES:
        shown = described(value)
    return {"result": shown, "pickle": base64.b64encode(data).decode()}


def decode(outputs: Mapping[str, Any] | None) -> Any:
    """Read a result from outputs.

    Raises:
        ResultError: it can't be fetched, or is not what was stored.
    """
    if not outputs:
        return None
    if "stored" in outputs:
        stored = outputs["stored"]
        data = fetch(stored["url"])
        if _hash(data) != stored["sha256"]:
            raise ResultError(f"the result in {stored['url']} is not what was stored there: its hash differs")
        return json.loads(data) if stored["as"] == "exact" else _unpickled(data)
    if "exact" in outputs:
        return json.loads(outputs["exact"])
    if "pickle" in outputs:
        return _unpickled(base64.b64decode(outputs["pickle"]))
    return outputs.get("result")


def size(outputs: Mapping[str, Any]) -> int:
    """Return the bytes that outputs take."""
    return _size(outputs)


def _size(outputs: Mapping[str, Any]) -> int:
    return len(compact(outputs).encode())


def _serialised(value: Any, serializer: str | None, who: str) -> tuple[bytes, str]:
    try:
        if is_json(value) or serializer == "json":
            return json.dumps(value, separators=(",", ":")).encode(), "exact"
        import pickle  # noqa: PLC0415 - most results are JSON

        return pickle.dumps(value, protocol=5), "pickle"
    except Exception as error:
        advice = (
            "return what JSON knows, or leave out result_serializer='json'"
            if serializer == "json"
            else "return plain data, a path or a URL instead"
        )
        raise ResultError(
            f"the result of {who}, a {type(value).__name__}, can't be handed to another Pod"
            f" ({type(error).__name__}: {error}): {advice}"
        ) from error


def _hash(data: bytes) -> str:
    import hashlib  # noqa: PLC0415 - most results are small

    return hashlib.sha256(data).hexdigest()


def _unpickled(data: bytes) -> Any:
    import pickle  # noqa: PLC0415 - as above

    try:
        return pickle.loads(data)  # noqa: S301 - a task of the same run wrote it; docs/python-on-cluster.md says who can
    except Exception as error:
        raise ResultError(
            f"a result can't be unpickled here ({type(error).__name__}: {error}): the images of both tasks need the"
            " same code and libraries"
        ) from error
