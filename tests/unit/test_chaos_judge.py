"""The judge of chaos sees what breaks a rule; one that never complains would prove nothing."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api import names
from tests.chaos.cases import Case, End, draw_cases
from tests.chaos.judge import Judge, wrong_ends
from tests.chaos.ledger import Change

POD = "pods"
RUN = "flowruns"


def pod(attempt: int, phase: str = "Running", *, uid: str = "", run: str = "r", flow: str = "f") -> dict[str, Any]:
    labels = {
        names.LABEL_RUN_UID: run,
        names.LABEL_TASK: "main",
        names.LABEL_ATTEMPT: str(attempt),
        names.LABEL_FLOW: flow,
    }
    metadata = {"uid": uid or f"{run}-{attempt}", "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": phase}}


def run(state: str, *, epoch: int = 1, task: str = "Running", uid: str = "r", parent: str = "") -> dict[str, Any]:
    labels = {names.LABEL_PARENT: parent} if parent else {}
    status = {"state": state, "epoch": epoch, "tasks": [{"name": "main", "state": task}]}
    return {"metadata": {"uid": uid, "labels": labels}, "status": status}


def violations(*changes: tuple[str, str, dict[str, Any] | None]) -> list[str]:
    judge = Judge({("ns", "f"): 1})
    judge.read(Change(number, kind, "ns", name, body) for number, (kind, name, body) in enumerate(changes, 1))
    return judge.violations


def test_an_attempt_after_the_last_had_finished_is_right():
    assert not violations(
        (POD, "a", pod(1)), (POD, "a", pod(1, "Failed")), (POD, "b", pod(2)), (POD, "b", pod(2, "Succeeded"))
    )


def test_an_attempt_after_the_last_was_gone_is_right():
    assert not violations((POD, "a", pod(1)), (POD, "a", None), (POD, "b", pod(2)))


def test_an_attempt_after_one_that_can_never_run_is_right():
    deleted = pod(1, "Pending")
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    deleted["spec"] = {}
    assert not violations((POD, "a", pod(1, "Pending")), (POD, "a", deleted), (POD, "b", pod(2)))


def test_an_attempt_after_one_that_exited_with_0_when_it_was_stopped_is_right():
    deleted, done = pod(1), pod(1, "Succeeded")
    for each in (deleted, done):
        each["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not violations((POD, "a", pod(1)), (POD, "a", deleted), (POD, "a", done), (POD, "b", pod(2)))
    assert violations((POD, "a", pod(1)), (POD, "a", done), (POD, "b", pod(2)))


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        pytest.param([(POD, "a", pod(1)), (POD, "b", pod(2))], "before Pod a had finished", id="an attempt too early"),
        pytest.param(
            [(POD, "a", pod(1)), (POD, "a", None), (POD, "a", pod(1, uid="other"))],
            "the attempt already had Pod a",
            id="two Pods of an attempt",
        ),
        pytest.param(
            [(POD, "a", pod(1, "Succeeded")), (POD, "b", pod(2))],
            "though Pod a had succeeded",
            id="one that had succeeded",
        ),
        pytest.param(
            [(RUN, "r", run("Running", task="Cancelled")), (POD, "a", pod(1))],
            "though its task was stored as Cancelled",
            id="a task that was stored as finished",
        ),
        pytest.param(
            [(POD, "a", pod(1)), (POD, "b", pod(1, run="s"))], "2 runs of Flow f have Pods", id="too many runs at once"
        ),
        pytest.param(
            [(RUN, "r", run("Completed")), (RUN, "r", run("Running"))],
            "was Completed, and then Running",
            id="a run again",
        ),
        pytest.param(
            [(RUN, "r", run("Running", epoch=2)), (RUN, "r", run("Running", epoch=1))],
            "epoch 1 came after one of 2",
            id="a status of a deposed leader",
        ),
        pytest.param(
            [
                (RUN, "r", run("", parent="p")),
                (RUN, "r", run("", uid="s", parent="p")),
            ],
            "was created a second time",
            id="a child twice",
        ),
    ],
)
def test_the_judge_sees(changes, want):
    (found,) = violations(*changes)
    assert want in found


def test_an_end_is_compared_task_by_task():
    case = Case("c", ends={"c": End("Completed", {"a": frozenset({"Completed"})}, {"a": 3})})
    entry = {"name": "a", "state": "Failed", "items": {"counts": {"Completed": 2}}}
    found = wrong_ends(case, {"c": {"metadata": {}, "status": {"state": "Failed", "tasks": [entry]}}})
    assert len(found) == 3
    assert wrong_ends(case, {}) == ["run c is gone"]


def test_a_seed_draws_the_same_cases_again():
    from itertools import islice  # noqa: PLC0415 - one test
    from random import Random  # noqa: PLC0415 - one test

    once, again = (list(islice(draw_cases(Random(7)), 40)) for _ in range(2))
    assert [case.objects for case in once] == [case.objects for case in again]
