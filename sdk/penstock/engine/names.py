"""Names of Pods: readable in front, then a hash, so that creating the same attempt twice is a conflict."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from penstock.engine.backoff import attempt_digest
from penstock.engine.keys import TaskInstanceKey

ENGINE_VERSION: Final = 1
"""Version of naming and hashing. A run keeps the version that it started with."""

MAX_NAME = 63
"""A Pod's name is its host name too: https://kubernetes.io/docs/concepts/workloads/pods/#pod-name."""
_HASH_CHARACTERS = 10
_HASHED_BYTES = 10
"""Enough for as many characters of base 32; encoding the rest takes longer than the hash."""
NAMES_KEPT: Final = 8192
"""Names that are remembered: each event of a Pod is checked against the name that its attempt must have."""


def task_instance_digest(run_uid: str, key: TaskInstanceKey, attempt: int) -> bytes:
    """Return a digest of one attempt: the same in every process, different for every attempt."""
    return attempt_digest(run_uid, key.task, key.item, attempt)


@lru_cache(maxsize=NAMES_KEPT)
def pod_name(run_name: str, run_uid: str, key: TaskInstanceKey, attempt: int) -> str:
    """Name the Pod of an attempt.

    Args:
        run_name: name of the FlowRun.
        run_uid: its uid.
        key: the task or item.
        attempt: number of the attempt, from 1.

    Returns:
        A DNS label: run, task and index as far as they fit, then a hash of all that identifies the attempt.
    """
    hashed = task_instance_digest(run_uid, key, attempt)[:_HASHED_BYTES]
    digest = base64.b32encode(hashed).decode().lower()[:_HASH_CHARACTERS]
    index = "" if key.item is None else f"-{key.item}"
    available = MAX_NAME - len(digest) - len(index) - 1
    prefix = f"{run_name.replace('.', '-')}-{key.task}"
    if len(prefix) > available:
        # The run is shortened first: its name is also in the labels.
        kept_task = key.task[: available // 2]
        prefix = f"{run_name.replace('.', '-')[: available - len(kept_task) - 1].rstrip('-')}-{kept_task.rstrip('-')}"
    return f"{prefix}{index}-{digest}"


def cache_digest(*, flow: str, task: str, signature: str, key: str) -> str:
    """Return the digest under which a task's outputs are cached, in lower-case hexadecimal digits.

    Args:
        flow: name of the Flow; empty for an inline spec, which shares with identical specs.
        task: name of the task.
        signature: digest of what the task runs.
        key: value of its `cache.key`.
    """
    return hashlib.sha256(f"{flow}\0{task}\0{signature}\0{key}".encode()).hexdigest()


def repeated_run_name(first: str, schedule_uid: str, number: int) -> str:
    """Name a further run of a Schedule's tick.

    Args:
        first: name of the tick's first run.
        schedule_uid: uid of the Schedule.
        number: how often the tick had a run before.

    Returns:
        A name that fits into a label: the first one as far as it fits, then a hash of all that identifies the run.
    """
    digest = hashlib.sha256(f"{schedule_uid}\0{first}\0{number}".encode()).digest()
    text = base64.b32encode(digest).decode().lower()[:_HASH_CHARACTERS]
    return f"{first[: MAX_NAME - len(text) - 1].rstrip('.-')}-{text}"


def event_run_name(schedule: str, schedule_uid: str, event: str, identity: str) -> str:
    """Name the run that an event of a Schedule creates: the same event has the same name.

    Args:
        schedule: name of the Schedule, short enough for the suffix.
        schedule_uid: its uid.
        event: name of the event in the Schedule.
        identity: what distinguishes the event from all others of that name.
    """
    digest = hashlib.sha256(f"{schedule_uid}\0{event}\0{identity}".encode()).digest()
    # A letter first: the run of a tick has a number in that place.
    return f"{schedule}-e{base64.b32encode(digest).decode().lower()[: _HASH_CHARACTERS - 1]}"
