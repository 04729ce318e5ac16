"""What the ConfigMap of a cached task says: a lock while a run produces the outputs, then the outputs. Pure.

The labels say that it is ours, and bind its content by a hash: the chart's admission policy reserves them for the
operator.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey, TaskInstanceKey
from penstock.engine.timestamp import epoch, rfc3339
from penstock.errors import StoredStatusError
from penstock.kube.metadata import ObjectMeta

CLOCK_SKEW_S: Final = 300.0
"""Outputs from further in the future were not written by an operator."""
MAX_OUTPUTS_BYTES: Final = 16 * 1024
"""A task has at most 4 KiB of outputs; written again, numbers such as 1e9 are longer."""
MAX_NAME: Final = 253
_NAME: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")
LOCK: Final = "lock"
OUTPUTS: Final = "outputs"
_NAME_CHARACTERS: Final = 40
_HASH_CHARACTERS: Final = 40


class Holder(NamedTuple):
    """What produces the outputs."""

    run: str
    """Name of the run."""
    uid: str
    """Its uid."""
    key: TaskInstanceKey
    """The task or item."""


class Lock(NamedTuple):
    """A run runs the task at present."""

    holder: Holder
    since: float
    """Seconds since the epoch."""


class Outputs(NamedTuple):
    """Outputs to reuse."""

    run: str
    """Name of the run that they come from."""
    source: Holder | None
    """What produced them; None in an entry of an earlier version."""
    stored_at: float
    """Seconds since the epoch."""
    ttl_s: float
    value: dict[str, Any]

    def is_fresh(self, now: float, ttl_s: float | None = None) -> bool:
        """Whether they may be reused.

        Args:
            now: seconds since the epoch.
            ttl_s: longest age for the task that asks; the shorter of this and the stored one applies.
        """
        longest_s = self.ttl_s if ttl_s is None else min(self.ttl_s, ttl_s)
        return now - self.stored_at < longest_s


class StoredEntry(msgspec.Struct, frozen=True):
    """A ConfigMap, as far as the cache reads it."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class EntryLabels:
    """By which a person finds the entries of a Flow or a task: `kubectl delete configmap -l ...` empties the cache.

    Attributes:
        flow: name of the Flow; None for an inline spec.
        task: name of the task.
    """

    flow: str | None
    task: str


def entry_name(scope: str, digest: str) -> str:
    """Name the ConfigMap of a task's outputs.

    Args:
        scope: which runs share them; see `penstock.engine.cache.flow_scope`.
        digest: of the rest.
    """
    hashed = hashlib.sha256(f"{scope}\0{digest}".encode()).digest()
    return f"cache-{base64.b32encode(hashed).decode().lower()[:_NAME_CHARACTERS]}"


def build_entry(name: ObjectKey, labels: EntryLabels, content: Lock | Outputs) -> dict[str, Any]:
    """Build a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name.name, "namespace": name.namespace, "labels": _labels(name, labels, content)},
        "data": _data(content),
    }


def build_patch(found: ObjectMeta, labels: EntryLabels, content: Lock | Outputs) -> list[dict[str, Any]]:
    """Build the JSON Patch that gives a ConfigMap another content, unless it has changed meanwhile.

    Args:
        found: metadata of the ConfigMap as it was read.
        labels: of the task.
        content: the new content.
    """
    return [
        {"op": "test", "path": "/metadata/uid", "value": found.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.resource_version},
        {"op": "add", "path": "/metadata/labels", "value": _labels(found.key, labels, content)},
        {"op": "add", "path": "/data", "value": _data(content)},
    ]


def read_entry(entry: StoredEntry, now: float) -> Lock | Outputs | None:
    """Read a ConfigMap; None if it has a content that no operator wrote.

    Args:
        entry: the ConfigMap.
        now: seconds since the epoch.
    """
    data, labels = entry.data or {}, entry.metadata.labels
    kind = OUTPUTS if "outputs" in data else LOCK
    if labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY or labels.get(names.LABEL_CACHE) != kind:
        return None
    # An entry of an earlier version has no hash.
    if labels.get(names.LABEL_CACHE_HASH, hashed := content_hash(entry.metadata.key, data)) != hashed:
        return None
    try:
        time = epoch(data["time"])
        if not _is_name(data["run"]) or data.get("runUid") == "":
            return None
        if "outputs" in data:
            return _read_outputs(data, time, now)
        return Lock(_read_holder(data), time)
    except (KeyError, ValueError, RecursionError, StoredStatusError):
        return None


def _is_name(text: str) -> bool:
    """Whether an object can have this name: it becomes part of a URL."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def _read_outputs(data: Mapping[str, str], stored_at: float, now: float) -> Outputs | None:
    text, ttl_s = data["outputs"], float(data["ttlSeconds"])
    if len(text.encode()) > MAX_OUTPUTS_BYTES or stored_at > now + CLOCK_SKEW_S or not math.isfinite(ttl_s):
        return None
    source = _read_holder(data) if "runUid" in data else None
    # A ValidationError or a DecodeError: both are ValueErrors.
    return Outputs(data["run"], source, stored_at, ttl_s, msgspec.json.decode(text, type=dict[str, Any]))


def _read_holder(data: Mapping[str, str]) -> Holder:
    item = data.get("item")
    return Holder(data["run"], data["runUid"], TaskInstanceKey(data["task"], None if item is None else int(item)))


def _labels(key: ObjectKey, labels: EntryLabels, content: Lock | Outputs) -> dict[str, str]:
    written = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_CACHE: LOCK if isinstance(content, Lock) else OUTPUTS,
        names.LABEL_CACHE_HASH: content_hash(key, _data(content)),
        names.LABEL_TASK: labels.task,
    }
    return written if labels.flow is None else written | {names.LABEL_FLOW: labels.flow}


def content_hash(key: ObjectKey, data: Mapping[str, str]) -> str:
    """Return the hash of an entry, which is valid under its own name only."""
    content = msgspec.json.encode([key, data], order="deterministic")
    return hashlib.sha256(content).hexdigest()[:_HASH_CHARACTERS]


def _data(content: Lock | Outputs) -> dict[str, str]:
    if isinstance(content, Lock):
        return {**_holder_data(content.holder), "time": rfc3339(content.since)}
    return {
        **({} if content.source is None else _holder_data(content.source)),
        "run": content.run,
        "time": rfc3339(content.stored_at),
        "ttlSeconds": str(content.ttl_s),
        "outputs": json.dumps(content.value, separators=(",", ":"), ensure_ascii=False),
    }


def _holder_data(holder: Holder) -> dict[str, str]:
    data = {"run": holder.run, "runUid": holder.uid, "task": holder.key.task}
    return data if holder.key.item is None else data | {"item": str(holder.key.item)}
