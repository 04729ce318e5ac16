"""The run that a Schedule makes, whatever made it due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.api import names
from penstock.api.kind import MAX_LABEL_VALUE
from penstock.api.schedule import RunTemplate


def build_schedule_run(
    body: Mapping[str, Any],
    template: RunTemplate,
    *,
    name: str,
    spec: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Build a run of a Schedule's template, which belongs to the Schedule.

    Args:
        body: the Schedule.
        template: its template, whose labels and annotations the run gets.
        name: of the run.
        spec: of the run.
        labels: besides the template's, and before those.
        annotations: likewise.
    """
    metadata, extra = body["metadata"], template.metadata
    ours = {names.LABEL_SCHEDULE: metadata["name"], **labels}
    flow = template.spec.flow
    # No Flow has a longer name, but a template may.
    if flow is not None and len(flow.name) <= MAX_LABEL_VALUE:
        ours[names.LABEL_FLOW] = flow.name
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**((extra and extra.labels) or {}), **ours},
            "annotations": {**((extra and extra.annotations) or {}), **annotations},
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "Schedule",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": dict(spec),
    }
