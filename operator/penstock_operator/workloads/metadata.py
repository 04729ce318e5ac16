"""The metadata of Pods and Jobs, of which there are thousands in memory at a time."""

from __future__ import annotations

from itertools import islice
from typing import Final

from msgspec.structs import force_setattr

from penstock.api import names
from penstock.kube.metadata import ObjectMeta

LABELS: Final = (
    names.LABEL_MANAGED_BY,
    names.LABEL_RUN,
    names.LABEL_RUN_UID,
    names.LABEL_TASK,
    names.LABEL_INDEX,
    names.LABEL_ATTEMPT,
)
QUEUE_PREFIX: Final = "kueue.x-k8s.io/"
"""Of the labels of Pods that wait in a queue: https://kueue.sigs.k8s.io/docs/tasks/run/plain_pods/."""
FEW_LABELS: Final = 16
"""So many are kept as they are, whatever they say: a label is short."""
ANNOTATIONS: Final = (
    names.ANNOTATION_FAILURES,
    names.ANNOTATION_DISRUPTIONS,
    names.ANNOTATION_BEGIN_TIME,
    names.ANNOTATION_STOP_TIME,
    names.ANNOTATION_OUTPUTS_FORMAT,
    names.ANNOTATION_KEEP_COMPLETED,
    names.ANNOTATION_KEEP_FAILED,
    names.ANNOTATION_WORKSPACE,
)
_WRITTEN: Final = frozenset(ANNOTATIONS)
LONGEST: Final = 256
"""Characters; no annotation that an operator writes has more."""


class WorkloadMeta(ObjectMeta, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Pod's or Job's metadata, with those of its labels and annotations that the operator reads.

    A template may have 256 KB of annotations, which a fan-out of thousands would multiply.
    """

    def __post_init__(self) -> None:
        """Drop the others."""
        labels, annotations = self.labels, self.annotations
        if len(labels) > FEW_LABELS:
            of_queues = islice((name for name in labels if name.startswith(QUEUE_PREFIX)), FEW_LABELS)
            read = (*LABELS, *of_queues)
            force_setattr(self, "labels", {name: labels[name] for name in read if name in labels})
        # Mostly there are others in none: each event of a Pod is decoded.
        if annotations and not (annotations.keys() <= _WRITTEN and max(map(len, annotations.values())) <= LONGEST):
            written = {name: annotations[name] for name in ANNOTATIONS if name in annotations}
            force_setattr(self, "annotations", {name: text for name, text in written.items() if len(text) <= LONGEST})
