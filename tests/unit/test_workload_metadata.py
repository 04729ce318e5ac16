"""What is kept in memory of a Pod's metadata."""

from __future__ import annotations

import msgspec
import pytest

from penstock.api import names
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod import Pod

OURS = {names.LABEL_RUN_UID: "u", names.LABEL_TASK: "main", names.LABEL_ATTEMPT: "1"}


QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}


@pytest.mark.parametrize("kind", [Pod, Job])
def test_only_the_labels_and_annotations_that_are_read_are_kept(kind):
    metadata = {
        "name": "p",
        "labels": {**{f"example.com/{number}": "x" * 63 for number in range(1000)}, **OURS, **QUEUE},
        "annotations": {
            names.ANNOTATION_FAILURES: "2",
            names.ANNOTATION_KEEP_FAILED: "9" * 100_000,
            "example.com/notes": "x" * 200_000,
            "penstock.dev/notes": "x" * 50_000,
        },
    }
    found = msgspec.json.decode(msgspec.json.encode({"metadata": metadata}), type=kind).metadata

    assert (found.name, found.labels, found.annotations) == ("p", {**OURS, **QUEUE}, {names.ANNOTATION_FAILURES: "2"})
