"""Whether a Schedule owns its runs, as `spec.onDelete` says: what it owns, Kubernetes deletes with it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.client import MERGE_PATCH, METADATA, ApiClient
from penstock.kube.errors import ApiError, is_conflict, is_not_found
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Writer
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun


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
    found = await client.get(FLOWRUNS, key.namespace, run.name, kind=dict[str, Any], accept=METADATA)
    if found is None or found["metadata"]["uid"] != run.uid:
        return
    metadata = found["metadata"]
    others = [each for each in metadata.get("ownerReferences") or () if each["uid"] != plan.uid]
    owners = [*others, owner_reference("Schedule", key.name, plan.uid)] if plan.spec.owns_runs else others
    changed = {
        "uid": run.uid,
        "resourceVersion": metadata["resourceVersion"],
        "ownerReferences": owners or None,
        "annotations": {names.ANNOTATION_SCHEDULE_UID: plan.uid},
    }
    body = msgspec.json.encode({"metadata": changed})
    try:
        await writer.patch(FLOWRUNS, key.namespace, run.name, body, content_type=MERGE_PATCH, accept=METADATA)
    except ApiError as error:
        # Deleted, or changed meanwhile: then the Schedule is reconciled again.
        if not (is_not_found(error) or is_conflict(error)):
            raise
