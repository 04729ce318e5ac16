"""Restores a backup. Every step can be interrupted, and the whole be repeated: what is there already stays as it is.

A finished run is created with a label that keeps operators from starting it, in the same request; its status follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from penstock.api.names import (
    ANNOTATION_BACKFILL_UID,
    ANNOTATION_CHANGED_GENERATION,
    ANNOTATION_SCHEDULE_UID,
    GROUP,
    LABEL_CACHE,
    LABEL_FLOW_UID,
    LABEL_RESTORED,
    VERSION,
)
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import CONFLICT, FORBIDDEN, NOT_FOUND
from penstock.cli.manifests.backup import Object, in_order, is_finished
from penstock.errors import RefusalError

MERGE_PATCH: Final = "application/merge-patch+json"
PLURALS: Final = {
    "FlowDefaults": "flowdefaults",
    "Flow": "flows",
    "Schedule": "schedules",
    "Backfill": "backfills",
    "FlowRun": "flowruns",
    "ConfigMap": "configmaps",
}


class Result(StrEnum):
    """What became of an object."""

    RESTORED = "restored"
    SUSPENDED = "restored, suspended"
    RESUMED = "resumed"
    EXISTS = "exists already, unchanged"
    SKIPPED = "skipped: it had not finished"
    FAILED = "failed"


class Outcome(NamedTuple):
    """The result for one object."""

    body: Object
    result: Result
    detail: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        metadata, kind = self.body["metadata"], self.body["kind"]
        group = "" if kind == "ConfigMap" else f".{GROUP}"
        detail = f": {self.detail}" if self.detail else ""
        return f"{metadata['namespace']}: {kind.lower()}{group}/{metadata['name']} {self.result}{detail}"


class Restore:
    """Restores objects.

    Args:
        cluster: where to.
        suspends_unfinished: whether runs and Backfills that had not finished are restored, suspended; otherwise they
            are left out.
        resumes_schedules: whether Schedules that were not suspended create runs again when all is restored.
    """

    def __init__(self, cluster: Cluster, *, suspends_unfinished: bool, resumes_schedules: bool) -> None:
        self._cluster = cluster
        self._suspends_unfinished = suspends_unfinished
        self._resumes_schedules = resumes_schedules
        self._uids: dict[str, str] = {}
        """The uid of each restored object, by that of the object in the backup."""

    def run(self, objects: Iterable[Object]) -> Iterator[Outcome]:
        """Restore objects, owners first; Schedules are resumed last."""
        ordered = in_order(objects)
        for body in ordered:
            try:
                yield Outcome(body, self._restore(body))
            except RefusalError as error:
                yield Outcome(body, Result.FAILED, _explain(error, body))
        if self._resumes_schedules:
            for body in ordered:
                if body["kind"] == "Schedule" and not body["spec"].get("suspend"):
                    try:
                        if self._resume(body):
                            yield Outcome(body, Result.RESUMED)
                    except RefusalError as error:
                        yield Outcome(body, Result.FAILED, _explain(error, body))

    def _restore(self, body: Object) -> Result:
        kind = body["kind"]
        is_ended = is_finished(body, kind)
        if kind in {"FlowRun", "Backfill"} and not is_ended and (not self._suspends_unfinished or _is_child(body)):
            return Result.SKIPPED
        is_suspended = kind == "Schedule" or (kind in {"FlowRun", "Backfill"} and not is_ended)
        found, is_new = self._create(self._new_object(body, is_suspended=is_suspended))
        if "uid" in body["metadata"]:
            self._uids[body["metadata"]["uid"]] = found["metadata"]["uid"]
        is_ours = LABEL_RESTORED in (found["metadata"].get("labels") or {})
        if is_ended and is_ours and not is_finished(found, kind):
            status = {"status": body["status"]}
            self._cluster.send("PATCH", f"{_path(body)}/status", body=status, content_type=MERGE_PATCH)
            return Result.RESTORED
        if not is_new:
            return Result.EXISTS
        return Result.SUSPENDED if is_suspended else Result.RESTORED

    def _new_object(self, body: Object, *, is_suspended: bool) -> Object:
        metadata = {key: value for key, value in body["metadata"].items() if key not in {"uid", "creationTimestamp"}}
        owners = [
            {**each, "uid": self._uids[each["uid"]]}
            for each in metadata.pop("ownerReferences", ())
            if each["uid"] in self._uids
        ]
        if owners:
            metadata["ownerReferences"] = owners
        for note in (ANNOTATION_SCHEDULE_UID, ANNOTATION_BACKFILL_UID):
            if (uid := metadata.get("annotations", {}).get(note)) in self._uids:
                metadata["annotations"] = {**metadata["annotations"], note: self._uids[uid]}
        if metadata.get("annotations"):
            # Generations begin again: that of a later change would be taken for this one.
            metadata["annotations"] = {
                key: value for key, value in metadata["annotations"].items() if key != ANNOTATION_CHANGED_GENERATION
            }
        if _needs_mark(body):
            metadata["labels"] = {**metadata.get("labels", {}), LABEL_RESTORED: "true"}
        new = {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}
        if is_suspended:
            new["spec"] = {**new["spec"], "suspend": True}
        return new

    def _create(self, body: Object) -> tuple[Object, bool]:
        """Create an object, or find the existing one; returns whether it is new."""
        try:
            return self._cluster.send("POST", _path(body, is_collection=True), body=body), True
        except RefusalError as error:
            if error.status != CONFLICT:
                raise
        return self._cluster.send("GET", _path(body)), False

    def _resume(self, body: Object) -> bool:
        found = self._cluster.send("GET", _path(body))
        if LABEL_RESTORED not in (found["metadata"].get("labels") or {}) or not found["spec"].get("suspend"):
            return False
        # Without the label, a later repetition leaves alone what is suspended from now on.
        patch = {
            "metadata": {"labels": {LABEL_RESTORED: None}, "resourceVersion": found["metadata"]["resourceVersion"]},
            "spec": {"suspend": body["spec"].get("suspend")},
        }
        self._cluster.send("PATCH", _path(body), body=patch, content_type=MERGE_PATCH)
        return True


def _needs_mark(body: Object) -> bool:
    """Whether an object says that it was restored: what no operator may start, and what only a restore may create."""
    kind = body["kind"]
    if kind == "ConfigMap":
        return not {LABEL_FLOW_UID, LABEL_CACHE}.isdisjoint(body["metadata"].get("labels") or {})
    return kind == "Schedule" or is_finished(body, kind)


def _is_child(body: Mapping[str, Any]) -> bool:
    """Whether a run is part of another, which starts it again."""
    return any(each["kind"] == "FlowRun" for each in body["metadata"].get("ownerReferences") or ())


def _path(body: Object, *, is_collection: bool = False) -> str:
    metadata = body["metadata"]
    prefix = "/api/v1" if body["kind"] == "ConfigMap" else f"/apis/{GROUP}/{VERSION}"
    path = f"{prefix}/namespaces/{quote(metadata['namespace'], safe='')}/{PLURALS[body['kind']]}"
    return path if is_collection else f"{path}/{quote(metadata['name'], safe='')}"


def _explain(error: RefusalError, body: Object) -> str:
    text = " ".join(str(error).split())
    if error.status == NOT_FOUND and "namespaces" in text:
        return f"{text}: create the namespace first"
    if error.status == FORBIDDEN and body["kind"] == "ConfigMap" and "Penstock" in text:
        return f"{text}; restoring needs the permission `restore flowruns.penstock.dev` in all namespaces"
    return text
