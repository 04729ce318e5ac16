"""Which attempt a child run says that it carries out."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ChildInputs
from penstock.engine.workloads.child_run import build_child, read_parent

PARENT = RunIdentity("ns", "run", "uid")


def child(began_at: float | None = 5.0) -> dict[str, Any]:
    create = CreateAttempt(TaskInstanceKey("load", 7), 2, 1, 3, ChildInputs("inner", {}), began_at)
    metadata: dict[str, Any] = build_child(create, PARENT, callers=("outer",), priority=None)["metadata"]
    return metadata


def test_a_child_run_names_its_attempt_and_what_came_before():
    link = read_parent(child())
    assert link is not None
    assert link == ("run", "uid", TaskInstanceKey("load", 7), 2, 1, 3, 5.0, ("outer",))


@pytest.mark.parametrize("text", ["x", "", "99999-01-01T00:00:00Z"])
def test_an_annotation_that_cannot_be_read_hides_no_child_run(text):
    metadata = child()
    metadata["annotations"] |= {f"penstock.dev/{name}": text for name in ("begin-time", "failures", "disruptions")}
    link = read_parent(metadata)
    assert link is not None
    assert link == ("run", "uid", TaskInstanceKey("load", 7), 2, 0, 0, None, ("outer",))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "other"}, id="another name"),
        pytest.param({"ownerReferences": []}, id="no owner"),
        pytest.param({"labels": {"penstock.dev/parent": "run", "penstock.dev/parent-uid": "uid"}}, id="no attempt"),
    ],
)
def test_a_run_that_is_not_a_child_names_no_attempt(change):
    assert read_parent(child() | change) is None
