"""Who owns what the operator makes for a run: the run, so that all of it goes with it."""

from __future__ import annotations

from typing import Any

from penstock.api import names
from penstock.engine.keys import RunIdentity


def run_owner(run: RunIdentity) -> dict[str, Any]:
    """Return the owner reference to a run."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
