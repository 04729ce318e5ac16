"""Results encoded as outputs, and decoded.

`result` is for people and expressions. If it is not exactly what the task returned, another output is: `exact`, its
JSON as text; `pickle`, its pickle; or `stored`, the URL and hash of either.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from penstock.authoring.pods.pod_call import STORAGE
from penstock.errors import ResultError
from penstock.runner.json_values import compact, described, is_exact, is_json, readable
from penstock.runner.storage import Storage, fetch

MAX_OUTPUTS_BYTES: Final = 4095
"""Maximum size of a termination message minus one: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/."""
MAX_KEPT_IN_STATUS_BYTES: Final = 1024
"""Bigger results are stored, if there is a storage: the total size of the outputs of a run is limited."""
MAX_SHOWN_BYTES: Final = 256
"""Longer readable forms of results are replaced by a description."""


def encode(value: Any, *, serializer: str | None, storage: Storage | None, who: str) -> dict[str, Any]:
    """Return the outputs for a result.

    Args:
        value: the result.
        serializer: `json` refuses values that are not JSON.
        storage: the storage of the flow, if it has one.
        who: the task or flow, for messages.

    Raises:
        ResultError: it cannot be serialized, or it is too big and there is no storage.
    """
    if value is None:
        return {}
    limit_bytes = MAX_OUTPUTS_BYTES if storage is None else MAX_KEPT_IN_STATUS_BYTES
    data, kind = _serialised(value, serializer, who)
    # Results that are bigger than the limit need no further checks.
    outputs = _inline(value, data, kind) if len(data) <= limit_bytes else None
    if outputs is not None and _size(outputs) <= limit_bytes:
        return outputs
    if storage is None:
        raise ResultError(
            f"the result of {who} has {len(data)} bytes; the limit of outputs is {MAX_OUTPUTS_BYTES}: set a storage"
            f" on the flow (@flow(storage='s3://bucket/prefix'), @flow(workspace={{'size': '1Gi'}}), or {STORAGE}), or"
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
    """Return the result from outputs.

    Raises:
        ResultError: it cannot be fetched, or its hash differs.
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
    """Return the size of outputs in bytes."""
    return _size(outputs)


def _size(outputs: Mapping[str, Any]) -> int:
    return len(compact(outputs).encode())


def _serialised(value: Any, serializer: str | None, who: str) -> tuple[bytes, str]:
    try:
        if is_json(value) or serializer == "json":
            return json.dumps(value, separators=(",", ":")).encode(), "exact"
        from penstock.authoring.options.pickling import pickled  # noqa: PLC0415 - most results are JSON

        return pickled(value), "pickle"
    except Exception as error:
        advice = (
            "return JSON values, or omit result_serializer='json'"
            if serializer == "json"
            else "return plain data, a path or a URL instead"
        )
        raise ResultError(
            f"the result of {who}, a {type(value).__name__}, cannot be passed to another Pod"
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
            f"cannot unpickle a result ({type(error).__name__}: {error}): the images of both tasks need the same"
            " code and libraries"
        ) from error
