"""Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from penstock.api.names import GROUP
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import CONFLICT, NOT_FOUND
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names
from penstock.errors import CommandError, RefusalError

FIELD_MANAGER: Final = "penstock"
JSON_PATCH: Final = "application/json-patch+json"
PLURALS: Final = {"Flow": "flows", "Schedule": "schedules", "ConfigMap": "configmaps"}


class Change(StrEnum):
    """Result of an apply."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


class Applied(NamedTuple):
    """An object after it was applied."""

    object: Object
    change: Change


def apply(cluster: Cluster, body: Mapping[str, Any], *, force: bool = False, is_dry_run: bool = False) -> Applied:
    """Apply an object.

    Args:
        cluster: the cluster and namespace.
        body: the desired fields.
        force: whether to take ownership of fields of other field managers.
        is_dry_run: whether to change nothing.

    Raises:
        CommandError: another field manager owns fields of it, or the API server rejected it.
    """
    kind, name = body["kind"], body["metadata"]["name"]
    place = object_path(cluster, body)
    before = _find(cluster, place)
    if before is not None and (others := _other_field_managers(before)):
        if not force:
            raise CommandError(
                f"{kind} {name} already exists, managed by {enumerate_names(others)}: use --force-conflicts to take"
                " ownership of it, or --name for another name"
            )
        if not is_dry_run:
            _take_ownership(cluster, place, before, body)
    query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
    if is_dry_run:
        query["dryRun"] = "All"
    try:
        after = cluster.send("PATCH", place, query=query, body=body, content_type="application/apply-patch+yaml")
    except RefusalError as error:
        subject = f"{kind} {name}"
        if error.status == CONFLICT and "conflict" in str(error):
            raise CommandError(
                f"{subject} has fields of another manager: {_one_line(str(error))}; use --force-conflicts to take"
                " ownership of them, or --name for another name"
            ) from error
        if error.status == NOT_FOUND and kind != "ConfigMap" and "namespaces" not in str(error):
            raise CommandError(
                f"the cluster has no kind {kind}: Penstock is not installed there (run penstock install)"
            ) from error
        raise CommandError(f"{subject}: {_one_line(str(error))}") from error
    if before is None:
        return Applied(after, Change.CREATED)
    # A dry run returns no new resourceVersion, so the fields are compared.
    is_same = _user_fields(before) == _user_fields(after)
    return Applied(after, Change.UNCHANGED if is_same else Change.CONFIGURED)


def resource_name(body: Mapping[str, Any]) -> str:
    """Return the name of an object as kubectl prints it."""
    group = "" if body["kind"] == "ConfigMap" else f".{GROUP}"
    return f"{body['kind'].lower()}{group}/{body['metadata']['name']}"


def object_path(cluster: Cluster, body: Mapping[str, Any]) -> str:
    """Return the API path of an object."""
    plural, name = PLURALS[body["kind"]], body["metadata"]["name"]
    return cluster.config_map_path(name) if body["kind"] == "ConfigMap" else cluster.object_path(plural, name)


def _find(cluster: Cluster, place: str) -> Object | None:
    try:
        return cluster.send("GET", place)
    except RefusalError as error:
        if error.status != NOT_FOUND:
            raise
        return None


def _user_fields(body: Object) -> dict[str, Any]:
    metadata = body["metadata"]
    described = {key: metadata.get(key) for key in ("labels", "annotations", "ownerReferences")}
    return {"metadata": described, **{key: body.get(key) for key in ("spec", "data")}}


def _other_field_managers(body: Object) -> list[str]:
    """Return the field managers of an object that `penstock deploy` has never applied.

    To apply it would mix the tasks of two graphs, since tasks are merged by name.
    """
    entries = body["metadata"].get("managedFields") or ()
    if body["kind"] == "ConfigMap" or any(
        each["manager"] == FIELD_MANAGER and each["operation"] == "Apply" for each in entries
    ):
        return []
    return sorted({each["manager"] for each in entries if "f:spec" in each.get("fieldsV1", {})})


def _take_ownership(cluster: Cluster, place: str, before: Object, body: Mapping[str, Any]) -> None:
    """Make `penstock` the only field manager of an object."""
    same = {"op": "test", "path": "/metadata/uid", "value": before["metadata"]["uid"]}
    spec = {"op": "replace", "path": "/spec", "value": body["spec"]}
    query = {"fieldManager": FIELD_MANAGER}
    after = cluster.send("PATCH", place, query=query, body=[same, spec], content_type=JSON_PATCH)
    # Fields of other managers become ours; otherwise a later deployment could not remove them:
    # https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
    fields: dict[str, Any] = {}
    for entry in after["metadata"]["managedFields"]:
        if "f:spec" in entry.get("fieldsV1", {}):
            _merge(fields, entry["fieldsV1"])
    ours = {
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": body["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    managed = {"op": "replace", "path": "/metadata/managedFields", "value": [ours]}
    cluster.send("PATCH", place, query=query, body=[same, managed], content_type=JSON_PATCH)


def _merge(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for key, below in fields.items():
        _merge(into.setdefault(key, {}), below)


def _one_line(text: str) -> str:
    return " ".join(text.split())
