"""Whether a Schedule owns its runs, as `spec.onDelete` says: what it owns, Kubernetes deletes with it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_conflict, is_not_found, is_precondition_failed
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Writer
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun

TURNS: Final = 5
"""How often a run whose owners change meanwhile is read and written."""


def has_wanted_owner(run: ScheduledRun, plan: Plan) -> bool:
    """Whether a run is, or is not, owned by its Schedule as the Schedule's spec wants it."""
    return run.is_owned == plan.spec.owns_runs and run.has_uid


async def change_owner(client: ApiClient, writer: Writer, key: ObjectKey, plan: Plan, run: ScheduledRun) -> None:
    """Give a run the owner reference to its Schedule, or take it away; other owners stay.

    Args:
        client: for the read.
        writer: for the write.
        key: the Schedule.
        plan: its spec.
        run: one of its runs.

    Raises:
        ApiError: the API server refused it.
        ApiUnreachableError: no answer.
    """
    for turn in range(1, TURNS + 1):
        found = await client.get(FLOWRUNS, key.namespace, run.name, kind=dict[str, Any], accept=METADATA)
        if found is None or found["metadata"]["uid"] != run.uid:
            return
        body = msgspec.json.encode(_owner_patch(found["metadata"], key, plan))
        try:
            await writer.patch(FLOWRUNS, key.namespace, run.name, body)
        except ApiError as error:
            if is_not_found(error):
                return
            # Its owners have changed meanwhile, or it was created again.
            if turn == TURNS or not (is_precondition_failed(error) or is_conflict(error)):
                raise
        else:
            return


def _owner_patch(run: dict[str, Any], key: ObjectKey, plan: Plan) -> list[dict[str, Any]]:
    """Build the JSON Patch of a run. It does not test the resourceVersion: the status of a busy run changes always."""
    before = run.get("ownerReferences")
    owners = [each for each in before or () if each["uid"] != plan.uid]
    if plan.spec.owns_runs:
        owners.append(owner_reference("Schedule", key.name, plan.uid))
    noted = names.ANNOTATION_SCHEDULE_UID
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": run["uid"]},
        {"op": "test", "path": "/metadata/ownerReferences", "value": before},
        {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
    ]
    if run.get("annotations"):
        escaped = noted.replace("/", "~1")
        patch.append({"op": "add", "path": f"/metadata/annotations/{escaped}", "value": plan.uid})
    else:
        patch.append({"op": "test", "path": "/metadata/annotations", "value": None})
        patch.append({"op": "add", "path": "/metadata/annotations", "value": {noted: plan.uid}})
    return patch
