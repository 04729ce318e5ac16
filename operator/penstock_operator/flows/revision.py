"""Revisions: the spec that a run started with, kept in an immutable ConfigMap when the Flow changes or is deleted.

The name is a hash of the spec's owner and its content, so storing the same spec twice gives one ConfigMap.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.base import AS_STORED
from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_defaults import RevisedFlowSpec
from penstock.engine.compiler.inheritance import all_tasks
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.engine.workloads.pod import executable_script, script_key
from penstock.errors import StoredStatusError

SPEC_KEY: Final = "spec.json"
LIMIT_BYTES: Final = 1024 * 1024
"""What the API server stores in one ConfigMap: https://kubernetes.io/docs/concepts/configuration/configmap/."""
READ_LIVE: Final = {"concurrency", "retention", "expect_success_within"}
"""Fields of a Flow that are not part of its revisions."""
_PREFIX_CHARACTERS = 40
_HASH_CHARACTERS = 12


class Owner(NamedTuple):
    """The object that a spec belongs to: a Flow, or the run that has it inline."""

    namespace: str
    name: str
    uid: str


def canonical_spec(spec: InlineFlowSpec) -> bytes:
    """Return a spec as JSON, the same bytes for the same meaning.

    What is read from the Flow as it is now is left out.
    """
    plain = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=READ_LIVE)
    return msgspec.json.encode(plain, order="deterministic")


def revision_name(owner: Owner, spec: bytes) -> str:
    """Name the revision of a canonical spec."""
    digest = base64.b32encode(hashlib.sha256(owner.uid.encode() + b"\0" + spec).digest()).decode().lower()
    return f"{owner.name[:_PREFIX_CHARACTERS].rstrip('-.')}-{digest[:_HASH_CHARACTERS]}"


def name_of(owner: Owner, spec: InlineFlowSpec) -> str:
    """Name the revision of a spec."""
    return revision_name(owner, canonical_spec(spec))


def build_revision(owner: Owner, spec: InlineFlowSpec, *, is_owned_by_run: bool) -> dict[str, Any]:
    """Build the ConfigMap of a spec.

    Args:
        owner: the object that it belongs to.
        spec: the spec.
        is_owned_by_run: the spec is inline, and its ConfigMap is deleted with the run. Otherwise the ConfigMap has no
            owner, because a run may need it longer than its Flow exists.
    """
    canonical = canonical_spec(spec)
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FLOW_UID: owner.uid}
    metadata: dict[str, Any] = {
        "name": revision_name(owner, canonical),
        "namespace": owner.namespace,
        "labels": labels | {names.LABEL_RUN if is_owned_by_run else names.LABEL_FLOW: owner.name},
    }
    if is_owned_by_run:
        metadata["ownerReferences"] = [owner_reference("FlowRun", owner.name, owner.uid, is_controller=False)]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": _data(spec, canonical),
    }


def _data(spec: InlineFlowSpec, canonical: bytes) -> dict[str, str]:
    data = {SPEC_KEY: canonical.decode()}
    for task in all_tasks(spec):
        if task.script is not None:
            data[script_key(task.name)] = executable_script(task.script)
    return data


def is_same_revision(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a ConfigMap is the one that would be stored, its scripts included, and cannot be changed."""
    labels = found["metadata"].get("labels") or {}
    return (
        found.get("immutable") is True
        and found.get("data") == wanted["data"]
        and not found.get("binaryData")
        and wanted["metadata"]["labels"].items() <= labels.items()
    )


def read_spec(config_map: Mapping[str, Any]) -> RevisedFlowSpec:
    """Read the spec that a revision holds.

    Raises:
        StoredStatusError: another writer's ConfigMap has this name: its content is not what its name is a hash of.
    """
    name = config_map["metadata"]["name"]
    try:
        spec = RevisedFlowSpec.model_validate_json(config_map["data"][SPEC_KEY], context=AS_STORED)
    except (KeyError, TypeError, ValueError) as error:
        raise StoredStatusError(f"ConfigMap {name} does not hold a Flow's spec: {error}") from error
    canonical = canonical_spec(spec)
    # The scripts are beside the spec, and are what runs.
    if revision_name(owner_of(config_map), canonical) != name or config_map["data"] != _data(spec, canonical):
        raise StoredStatusError(f"ConfigMap {name} has been replaced: its content does not match its name")
    return spec


def owner_of(config_map: Mapping[str, Any]) -> Owner:
    """Return whose spec a revision says that it holds; that its name agrees has to be checked."""
    metadata = config_map["metadata"]
    labels = metadata.get("labels") or {}
    name = labels.get(names.LABEL_FLOW) or labels.get(names.LABEL_RUN, "")
    return Owner(metadata["namespace"], name, labels.get(names.LABEL_FLOW_UID, ""))
