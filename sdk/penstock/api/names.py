"""The names that Penstock puts on Kubernetes objects, in one place and without an import."""

from __future__ import annotations

from typing import Final

GROUP: Final = "penstock.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

LABEL_FLOW: Final = f"{GROUP}/flow"
"""Name of the Flow, on runs, Pods and revisions."""
LABEL_FLOW_UID: Final = f"{GROUP}/flow-uid"
"""Uid of the Flow (or of the run, for an inline spec), on revisions."""
LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_SCHEDULE: Final = f"{GROUP}/schedule"
LABEL_BACKFILL: Final = f"{GROUP}/backfill"
"""Name of the Backfill that made a run."""
LABEL_TASK: Final = f"{GROUP}/task"
LABEL_INDEX: Final = f"{GROUP}/index"
"""Index of the item, on Pods of a fan-out."""
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
"""Number of the attempt, from 1."""
LABEL_CACHE: Final = f"{GROUP}/cache"
"""On the ConfigMap of a cached task: `lock` while a run makes the outputs, then `outputs`."""
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "penstock"

ANNOTATION_FAILURES: Final = f"{GROUP}/failures"
"""Failures charged to `retry.limit` before this attempt."""
ANNOTATION_DISRUPTIONS: Final = f"{GROUP}/disruptions"
"""Failures charged to `retry.infrastructure` before this attempt."""
ANNOTATION_KEEP_COMPLETED: Final = f"{GROUP}/keep-completed"
"""How long a Pod is kept if its attempt ends well, as in the Flow's podRetention."""
ANNOTATION_KEEP_FAILED: Final = f"{GROUP}/keep-failed"
"""The same if it ends otherwise."""
ANNOTATION_TICK: Final = f"{GROUP}/tick"
"""The tick of a Schedule that a run is for, RFC 3339 in the Schedule's zone."""
ANNOTATION_REPETITION: Final = f"{GROUP}/repetition"
"""How often the tick of a Schedule had a run before this one; not on the first."""

FINALIZER: Final = f"{GROUP}/outcome"
"""On a task's Pod until its outcome is stored in the run's status."""

MAIN_CONTAINER: Final = "main"
OUTPUTS_VARIABLE: Final = "PENSTOCK_OUTPUTS"
