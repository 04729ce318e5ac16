"""The annotations of a Pod that say how long it is kept."""

from __future__ import annotations

from penstock.api import names
from penstock.api.flow import PodRetention


def retention_annotations(policy: PodRetention | None) -> dict[str, str]:
    """Return the annotations that say how long a Pod is kept, so that retention need not read its run."""
    if policy is None:
        return {}
    texts = {names.ANNOTATION_KEEP_COMPLETED: policy.completed, names.ANNOTATION_KEEP_FAILED: policy.failed}
    return {name: text for name, text in texts.items() if text is not None}
