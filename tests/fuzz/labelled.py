"""Pods, Jobs and ConfigMaps with our labels, as anybody may write them: forged, broken, or left behind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from penstock.api import names

ANCHOR_UID, FINISHED_UID, BYSTANDER_UID = "@anchor-uid@", "@finished-uid@", "@bystander-uid@"
"""Stand for the uids of runs that exist: one that waits, one that has finished, and one of another namespace."""

uids = st.sampled_from((ANCHOR_UID, FINISHED_UID, BYSTANDER_UID, "", "x", "0b6c3f0e-0000-4000-8000-000000000000"))
numbers = st.sampled_from(("1", "2", "0", "-1", "01", "99999999999999999999", "", "x", "1.5"))
runs = st.sampled_from(("anchor", "finished", "missing", ""))
tasks = st.sampled_from(("sign-off", "work", "a", "", "each"))

_LABELS: dict[str, st.SearchStrategy[str]] = {
    names.LABEL_RUN_UID: uids,
    names.LABEL_RUN: runs,
    names.LABEL_TASK: tasks,
    names.LABEL_ATTEMPT: numbers,
    names.LABEL_INDEX: numbers,
    names.LABEL_FLOW: runs,
    names.LABEL_FLOW_UID: uids,
    names.LABEL_MANAGED_BY: st.sampled_from((names.MANAGED_BY, "x")),
    names.LABEL_CACHE: st.sampled_from(("lock", "outputs", "x", "")),
    names.LABEL_REVISION: runs,
    names.LABEL_PARENT: runs,
    names.LABEL_PARENT_UID: uids,
    names.LABEL_SCHEDULE: runs,
    names.LABEL_BACKFILL: runs,
    names.LABEL_EVENT: tasks,
    names.LABEL_CODE: runs,
}
_CLAIMS = st.sampled_from(((), (names.LABEL_RUN,), (names.LABEL_RUN, names.LABEL_TASK, names.LABEL_ATTEMPT)))
"""Labels of a Pod beside its run's uid: from none to all that identify an attempt."""
_ANNOTATIONS: dict[str, st.SearchStrategy[str]] = {
    names.ANNOTATION_FAILURES: numbers,
    names.ANNOTATION_DISRUPTIONS: numbers,
    names.ANNOTATION_KEEP_COMPLETED: st.sampled_from(("0s", "1h", "x", "999999999h")),
    names.ANNOTATION_KEEP_FAILED: st.sampled_from(("0s", "1h", "x", "999999999h")),
    names.ANNOTATION_BEGIN_TIME: st.sampled_from(("2026-10-01T00:00:00Z", "x", "0001-01-01T00:00:00Z", "")),
    names.ANNOTATION_CALLERS: st.sampled_from(("a,b", ",", "a," * 200)),
    names.ANNOTATION_TICK: st.sampled_from(("2026-10-01T00:00:00Z", "x", "")),
    names.ANNOTATION_REPETITION: numbers,
    names.ANNOTATION_CHAIN: numbers,
    names.ANNOTATION_EVENT: st.sampled_from(("x", "")),
    names.ANNOTATION_WORKSPACE: runs,
    "fake.penstock.dev/outcome": st.sampled_from(("succeed", "fail", "run")),
    "fake.penstock.dev/outputs": st.sampled_from(('{"rows": 1}', '{"decision": "Approve"}', "x", "[")),
}
_DATA: dict[str, st.SearchStrategy[str]] = {
    "run": runs,
    "runUid": uids,
    "task": tasks,
    "index": numbers,
    "item": numbers,
    "time": st.sampled_from(("2026-01-01T00:00:00Z", "x", "", "9999-12-31T23:59:59Z")),
    "ttlSeconds": st.sampled_from(("3600", "x", "nan", "-1", "1e400")),
    "outputs": st.sampled_from(('{"rows": 1}', "[]", "x", "[" * 3000, '{"pickle": "gAQu"}')),
    "spec.json": st.sampled_from(('{"tasks": []}', "{}", "x", "null", "[" * 3000)),
}


@st.composite
def _metadata(draw: st.DrawFn, *, may_be_held: bool) -> dict[str, Any]:
    labels = draw(st.lists(st.sampled_from(sorted(_LABELS)), min_size=1, max_size=6, unique=True))
    is_held = may_be_held and draw(st.booleans())
    if is_held:
        # By the uid the operator watches Pods; without it, the finalizer is like any that a person invents: it stays.
        labels = sorted({names.LABEL_RUN_UID, *draw(_CLAIMS), *labels})
    annotations = draw(st.lists(st.sampled_from(sorted(_ANNOTATIONS)), max_size=4, unique=True))
    metadata: dict[str, Any] = {
        "labels": {name: draw(_LABELS[name]) for name in labels},
        "annotations": {name: draw(_ANNOTATIONS[name]) for name in annotations},
    }
    if draw(st.booleans()):
        metadata["ownerReferences"] = [draw(_owners())]
    if is_held:
        metadata["finalizers"] = [names.FINALIZER]
    return metadata


def metadata() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for metadata with our labels, annotations and an owner, none of which need fit together."""
    return _metadata(may_be_held=False)


def _owners() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just(names.API_VERSION),
            "kind": st.sampled_from(("FlowRun", "Flow", "Schedule", "Backfill")),
            "name": st.sampled_from(("anchor", "finished", "missing")),
            "uid": uids.filter(bool),
        },
        optional={"controller": st.booleans(), "blockOwnerDeletion": st.booleans()},
    )


_POD_SPEC = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}


def pods() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for Pods."""
    return _metadata(may_be_held=True).map(
        lambda drawn: {"apiVersion": "v1", "kind": "Pod", "metadata": drawn, "spec": _POD_SPEC}
    )


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Job; its Pods may have our labels too."""
    template: dict[str, Any] = {"spec": _POD_SPEC}
    if draw(st.booleans()):
        template["metadata"] = {key: draw(metadata())[key] for key in ("labels", "annotations")}
    spec = {"template": template, "backoffLimit": 0, "suspend": draw(st.booleans())}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": draw(metadata()), "spec": spec}


@st.composite
def config_maps(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a ConfigMap that may pass for a cache entry or a revision."""
    fields = draw(st.lists(st.sampled_from(sorted(_DATA)), max_size=6, unique=True))
    data = {name: draw(_DATA[name]) for name in fields}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": draw(metadata()), "data": data}
