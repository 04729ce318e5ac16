"""The format of a backup: one JSON object a line, between a head and an end. Pure.

The end distinguishes a whole backup from one whose writing was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import penstock
from penstock.api.names import API_VERSION
from penstock.cli.manifests.json_text import json_text
from penstock.engine.state import FINAL_RUN_STATES
from penstock.errors import CommandError

FORMAT: Final = 1
KINDS: Final = ("FlowDefaults", "Flow", "Schedule", "Backfill", "FlowRun", "ConfigMap")
"""In the order in which they are restored: owners first, and what Flows inherit before them."""
KEPT_METADATA: Final = ("name", "namespace", "uid", "labels", "annotations", "ownerReferences", "creationTimestamp")
"""The uid and the time are those of the backed up object; they show which object owns which."""

Object = dict[str, Any]


class Backup(NamedTuple):
    """What a file holds."""

    time: str
    objects: list[Object]


def clean_object(body: Mapping[str, Any], kind: str) -> Object:
    """Return an object without the fields that the API server and the operator set again.

    Args:
        body: the object as it was read.
        kind: its kind, which items of a list lack.
    """
    metadata = {key: value for key in KEPT_METADATA if (value := body["metadata"].get(key))}
    content = {key: body[key] for key in ("spec", "data", "binaryData", "immutable") if key in body}
    version = "v1" if kind == "ConfigMap" else API_VERSION
    cleaned = {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
    if is_finished(body, kind):
        cleaned["status"] = _clean_status(body["status"])
    return cleaned


def is_finished(body: Mapping[str, Any], kind: str) -> bool:
    """Whether a FlowRun or a Backfill has finished."""
    status = body.get("status") or {}
    if kind == "FlowRun":
        return status.get("state") in FINAL_RUN_STATES
    conditions = status.get("conditions") or ()
    return kind == "Backfill" and any(each["type"] == "Finished" and each["status"] == "True" for each in conditions)


def write_backup(objects: Iterable[Object], *, time: str) -> Iterator[str]:
    """Write objects as lines, each with its line end.

    Args:
        objects: the objects.
        time: now, RFC 3339.
    """
    head = {"backup": FORMAT, "penstock": penstock.__version__, "time": time}
    yield json_text(head, indent=None) + "\n"
    count = 0
    for body in objects:
        yield json_text(body, indent=None) + "\n"
        count += 1
    yield json_text({"end": True, "objects": count}, indent=None) + "\n"


def read_backup(lines: Iterable[str], name: str) -> Backup:
    """Read a backup.

    Args:
        lines: the lines of the file.
        name: of the file, for messages.

    Raises:
        CommandError: it is not a backup, is of a later format, or is incomplete.
    """
    parsed = []
    for number, line in enumerate(filter(str.strip, lines), 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{name}, line {number}: not a backup of penstock backup: {error}") from error
        if not isinstance(value, dict):
            raise CommandError(f"{name}, line {number}: not a backup of penstock backup: not an object")
        parsed.append(value)
    if not parsed or "backup" not in parsed[0]:
        raise CommandError(f"{name} is not a backup of penstock backup")
    head, *objects = parsed
    if head["backup"] != FORMAT:
        raise CommandError(f"{name} has format {head['backup']}, and this version reads {FORMAT}: use a newer penstock")
    if not objects or not objects[-1].get("end") or objects[-1].get("objects") != len(objects) - 1:
        raise CommandError(f"{name} is incomplete: its end is missing, so writing it was interrupted")
    *objects, _ = objects
    for number, body in enumerate(objects, 2):
        if body.get("kind") not in KINDS or not (body.get("metadata") or {}).get("namespace"):
            raise CommandError(f"{name}, line {number}: {body.get('kind')} is not a kind that a backup holds")
    return Backup(str(head.get("time")), objects)


def in_order(objects: Iterable[Object]) -> list[Object]:
    """Sort objects so that the owner of each comes before it."""
    found = list(objects)
    by_uid = {uid: body for body in found if (uid := body["metadata"].get("uid"))}
    depths: dict[str, int] = {}

    def depth(body: Object) -> int:
        uid = body["metadata"].get("uid", "")
        if uid not in depths:
            depths[uid] = 0  # a circle ends here
            owners = (by_uid.get(each["uid"]) for each in body["metadata"].get("ownerReferences") or ())
            depths[uid] = max((depth(owner) + 1 for owner in owners if owner), default=0)
        return depths[uid]

    return sorted(found, key=lambda body: (KINDS.index(body["kind"]), depth(body)))


def _clean_status(status: Mapping[str, Any]) -> Object:
    """Return a final status as the status of a new object: of its first generation, and of no leader."""
    cleaned = {key: value for key, value in status.items() if key != "epoch"}
    if "observedGeneration" in cleaned:
        cleaned["observedGeneration"] = 1
    if "conditions" in cleaned:
        cleaned["conditions"] = [
            {**each, "observedGeneration": 1} if "observedGeneration" in each else each
            for each in cleaned["conditions"]
        ]
    return cleaned
