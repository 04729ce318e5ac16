"""Which object owns another: when the owner is deleted, Kubernetes deletes what it owns."""

from __future__ import annotations

from typing import Any

from penstock.api import names
from penstock.engine.keys import RunIdentity


def owner_reference(kind: str, name: str, uid: str, *, is_controller: bool = True) -> dict[str, Any]:
    """Return the owner reference to one of our objects; it does not hold up that object's deletion.

    Args:
        kind: of the owner, such as `FlowRun`.
        name: of the owner.
        uid: of the owner.
        is_controller: whether the owner manages the object; an object has at most one such owner.
    """
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": is_controller,
        "blockOwnerDeletion": False,
    }


def run_owner(run: RunIdentity) -> dict[str, Any]:
    """Return the owner reference to a run."""
    return owner_reference("FlowRun", run.name, run.uid)
