"""Revisions: the spec that a run began with, kept in an immutable ConfigMap whatever becomes of the Flow.

The name is a hash of who the spec belongs to and what it says, so keeping the same spec twice is one ConfigMap.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.flow import InlineFlowSpec
from penstock.engine.workloads.pod import executable_script, script_key
from penstock.errors import StoredStatusError

SPEC_KEY: Final = "spec.json"
LIMIT_BYTES: Final = 1024 * 1024
"""What the API server stores in one ConfigMap: https://kubernetes.io/docs/concepts/configuration/configmap/."""
_PREFIX_CHARACTERS = 40
_HASH_CHARACTERS = 12


class Owner(NamedTuple):
    """Whose spec it is: a Flow, or the run that has it inline."""

    namespace: str
    name: str
    uid: str


def canonical_spec(spec: InlineFlowSpec) -> bytes:
    """Return a spec as JSON, the same bytes for the same meaning.

    What is about a Flow's runs among each other is no part of it: that is read from the Flow as it is now.
    """
    plain = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"concurrency", "retention"})
    return msgspec.json.encode(plain, order="deterministic")


def revision_name(owner: Owner, spec: bytes) -> str:
    """Name the revision of a canonical spec."""
    digest = base64.b32encode(hashlib.sha256(owner.uid.encode() + b"\0" + spec).digest()).decode().lower()
    return f"{owner.name[:_PREFIX_CHARACTERS].rstrip('-.')}-{digest[:_HASH_CHARACTERS]}"


def build_revision(owner: Owner, spec: InlineFlowSpec, *, is_owned_by_run: bool) -> dict[str, Any]:
    """Build the ConfigMap of a spec.

    Args:
        owner: whose spec it is.
        spec: the spec.
        is_owned_by_run: the spec is inline: it goes with its run. Otherwise nobody owns it, because a run may
            need it longer than its Flow exists.
    """
    canonical = canonical_spec(spec)
    data = {SPEC_KEY: canonical.decode()}
    for task in (*spec.tasks, *(spec.finally_ or ())):
        if task.script is not None:
            data[script_key(task.name)] = executable_script(task.script)
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FLOW_UID: owner.uid}
    metadata: dict[str, Any] = {
        "name": revision_name(owner, canonical),
        "namespace": owner.namespace,
        "labels": labels | {names.LABEL_RUN if is_owned_by_run else names.LABEL_FLOW: owner.name},
    }
    if is_owned_by_run:
        metadata["ownerReferences"] = [
            {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": owner.name, "uid": owner.uid}
        ]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": data}


def read_revision(config_map: Mapping[str, Any]) -> InlineFlowSpec:
    """Read the spec that a revision keeps.

    Raises:
        StoredStatusError: somebody made a ConfigMap of this name that is no revision.
    """
    try:
        return InlineFlowSpec.model_validate_json(config_map["data"][SPEC_KEY])
    except (KeyError, TypeError, ValueError) as error:
        name = config_map.get("metadata", {}).get("name")
        raise StoredStatusError(f"the ConfigMap {name} does not hold a Flow's spec: {error}") from error
