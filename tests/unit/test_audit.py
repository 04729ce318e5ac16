"""The records of who did what: what a request does, how it is written, and how it is read."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from penstock.api.schedule import ScheduleSpec
from penstock.cli.cluster.control import build_suspend_operations
from penstock.engine.audit import (
    Record,
    cause_of,
    decision_line,
    deeds,
    new_decisions,
    read_decisions,
    read_record,
    write_records,
)
from penstock.engine.compiler.task_plan import ApproversPlan
from penstock.kube.metadata import ObjectMeta
from penstock_operator.schedules.run import build_run
from penstock_operator.webhooks.audit import Audit

NOW = 1_764_460_800.0
TIME = "2025-11-30T00:00:00Z"
APPROVE = {"task": "ask", "decision": "Approve"}
WHO = "it is decided by the users carol and the groups managers"
APPROVERS = ApproversPlan(frozenset({"carol"}), frozenset({"managers"}))


@pytest.mark.parametrize(
    ("kind", "spec", "before", "want"),
    [
        pytest.param("FlowRun", {}, None, ["created"], id="a run is created"),
        pytest.param("FlowRun", {"suspend": True}, None, ["created", "suspended"], id="a run is created suspended"),
        pytest.param("FlowRun", {"suspend": False}, {}, [], id="what was false stays false"),
        pytest.param("FlowRun", {}, {"suspend": True}, ["resumed"], id="the field is removed"),
        pytest.param("FlowRun", {"shutdown": "Cancel"}, {"shutdown": "Drain"}, ["cancelled"], id="a stronger end"),
        pytest.param("FlowRun", {"priority": 2}, {"priority": 1}, [], id="another field of a run"),
        pytest.param("Schedule", {}, None, ["created", "changed"], id="a Schedule is created"),
        pytest.param("Schedule", {"suspend": True}, {}, ["changed", "suspended"], id="a Schedule is suspended"),
        pytest.param("Schedule", {"cron": []}, {"cron": []}, [], id="nothing changes"),
    ],
)
def test_what_a_request_does(kind, spec, before, want):
    assert list(deeds(kind, spec, before)) == want


def test_records_are_read_as_they_are_written_and_earlier_ones_stay():
    first = write_records({"note": "x"}, ["created"], Record("alice", TIME))
    second = write_records(first, ["suspended"], Record("bob", TIME), [decision_line(APPROVE, Record("bob", TIME), [])])
    assert read_record(second, "created") == Record("alice", TIME)
    assert read_record(second, "suspended") == Record("bob", TIME)
    assert read_record(second, "resumed") is None
    assert "note" not in second
    other = {"task": "other", "decision": "Reject"}
    third = write_records(second, [], Record("x"), [decision_line(other, Record("cn=a b", TIME), {"z", "a", "\t"})])
    assert {task: (found.decision, found.by.user, found.groups) for task, found in read_decisions(third).items()} == {
        "ask": ("Approve", "bob", frozenset()),
        "other": ("Reject", "cn=a b", frozenset({"z", "a"})),
    }


def test_only_new_and_complete_decisions_are_recorded():
    before = {"approvals": [{"task": "old", "decision": "Approve"}]}
    spec = {"approvals": [*before["approvals"], APPROVE, {"task": "x"}, "text"]}
    assert new_decisions(spec, before) == [APPROVE]


def review(user: str, spec: dict[str, Any], before: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    def item(spec: dict[str, Any], revision: str) -> dict[str, Any]:
        return {"metadata": {"name": "r", **metadata}, "spec": spec, "status": {"revision": revision}}

    request = {
        "uid": "u",
        "kind": {"kind": "FlowRun"},
        "operation": "CREATE" if before is None else "UPDATE",
        "namespace": "n",
        "object": item(spec, "forged"),
        "oldObject": None if before is None else item(before, "before"),
        "userInfo": {"username": user, "groups": ["managers"] if user == "alice" else []},
    }
    return {"request": request}


def audit(error: Exception | None = None, *, may_read: bool = True) -> Audit:
    async def find(_namespace: str, run: Any) -> dict[str, ApproversPlan]:
        if error is not None:
            raise error
        assert run["status"] in ({}, {"revision": "before"}), "whoever creates a run writes no status"
        return {"ask": APPROVERS}

    async def may_get(*_asked: Any) -> bool:
        return may_read

    return Audit(find, may_get=may_get, clock=lambda: NOW)


def record(body: dict[str, Any], error: Exception | None = None, *, may_read: bool = True) -> dict[str, Any]:
    response: dict[str, Any] = asyncio.run(audit(error, may_read=may_read).record(body))["response"]
    return response


def patched(response: dict[str, Any]) -> dict[str, str]:
    (operation,) = json.loads(base64.b64decode(response["patch"]))
    value: dict[str, str] = operation["value"]
    return value


@pytest.mark.parametrize(
    ("spec", "before", "want"),
    [
        pytest.param({"flowSpec": {"tasks": []}}, None, ["managers"], id="a run with its own Flow"),
        pytest.param({}, {}, ["managers"], id="a run that has begun"),
        pytest.param({"flow": {"name": "f"}}, None, ["leads", "managers"], id="a run whose Flow may yet name others"),
    ],
)
def test_an_approver_decides_and_the_groups_that_matter_are_recorded(spec, before, want):
    body = review("alice", {**spec, "approvals": [APPROVE]}, before)
    body["request"]["userInfo"]["groups"] = ["managers", "leads"]
    groups = "".join(f"\tgroup:{each}" for each in want)
    found = patched(record(body))
    assert found.pop("audit.penstock.dev/decisions") == f"ask\tApprove\t{TIME}\tuser:alice{groups}"
    created = {"audit.penstock.dev/created-by": "alice", "audit.penstock.dev/created-at": TIME}
    assert found == ({} if before is not None else created)


def test_groups_that_no_approval_names_leave_the_annotations_below_their_limit():
    """Of 256 decisions, the most that a run has, by a user with 2,000 groups of 40 characters."""
    decisions = [{"task": f"t{number}", "decision": "Approve"} for number in range(256)]
    body = review("alice", {"flow": {"name": "f"}, "approvals": decisions})
    body["request"]["userInfo"]["groups"] = [*(f"{number:040}" for number in range(2000)), "managers"]
    for before in ({}, {"annotations": {"audit.penstock.dev/decisions": "x" * 128 * 1024}}):
        body["request"]["oldObject"] = {"metadata": before}
        found = patched(record(body))["audit.penstock.dev/decisions"]
        assert len(found.encode()) < 160 * 1024


def test_the_groups_of_the_approval_are_recorded_first():
    line = decision_line(APPROVE, Record("x", TIME), ["z"], others=["a", "b", "z"], bytes_left=len("\tgroup:a"))
    assert read_decisions({"audit.penstock.dev/decisions": line})["ask"].groups == {"a", "z"}


@pytest.mark.parametrize(
    ("spec", "may_read", "want"),
    [
        pytest.param({"flow": {"name": "f"}}, True, WHO, id="the Flow may be read"),
        pytest.param({"flow": {"name": "f"}}, False, "its approval names who may", id="the Flow may not be read"),
        pytest.param({"flowSpec": {}}, False, WHO, id="the run has its own"),
        pytest.param({"retryOf": {"name": "r"}}, False, "its approval names who may", id="a retry"),
    ],
)
def test_another_user_is_refused_and_shown_who_decides_if_that_may_be_read(spec, may_read, want):
    response = record(review("bob", {**spec, "approvals": [APPROVE]}, spec), may_read=may_read)
    assert response["allowed"] is False
    assert response["status"]["message"] == f"spec.approvals: bob may not decide about task ask: {want}"


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionError(), RuntimeError("a fault")])
def test_a_decision_that_could_not_be_checked_is_not_recorded(error):
    assert "audit.penstock.dev/decisions" not in str(record(review("alice", {"approvals": [APPROVE]}), error))


def test_what_cannot_be_recorded_is_allowed():
    assert record({"request": {"uid": "u"}}) == {"uid": "u", "allowed": True}


def test_where_callers_are_not_known_all_groups_are_recorded_and_nothing_is_read():
    async def may_get(*_asked: Any) -> bool:
        raise AssertionError

    unknown = Audit(None, may_get=may_get, clock=lambda: NOW)
    body = review("alice", {"approvals": [APPROVE]})
    body["request"]["userInfo"]["groups"] = ["b", "a"]
    found = patched(asyncio.run(unknown.record(body))["response"])
    assert found["audit.penstock.dev/decisions"].endswith("user:alice\tgroup:a\tgroup:b")


@pytest.mark.parametrize(
    ("line", "is_allowed"),
    [
        pytest.param("ask\tApprove\tt\tuser:alice", True, id="recorded"),
        pytest.param(None, False, id="not recorded"),
        pytest.param("ask\tApprove\tt\tuser:bob", False, id="another user"),
        pytest.param("ask\tReject\tt\tuser:alice", False, id="another decision"),
        pytest.param("other\tApprove\tt\tuser:alice", False, id="another task"),
    ],
)
def test_a_decision_needs_its_record(line, is_allowed):
    metadata = {} if line is None else {"annotations": {"audit.penstock.dev/decisions": line}}
    body = review("alice", {"approvals": [APPROVE]}, {}, **metadata)
    assert asyncio.run(audit().require_record(body))["response"]["allowed"] is is_allowed
    assert asyncio.run(audit().require_record({"request": {}}))["response"]["allowed"] is False


def test_runs_of_a_schedule_name_who_last_changed_it_and_take_no_record_from_its_template():
    template = {
        "metadata": {
            "annotations": {"audit.penstock.dev/created-by": "eve", "a": "b"},
            "labels": {"penstock.dev/restored": "", "team": "x"},
        },
        "spec": {"flow": {"name": "f"}},
    }
    spec = ScheduleSpec.model_validate({"at": ["2026-12-01T00:00:00Z"], "runTemplate": template})
    annotations = write_records({"audit.penstock.dev/created-by": "bob"}, ["changed"], Record("alice"), generation=4)
    schedule = ObjectMeta(name="s", namespace="n", uid="u", generation=5, annotations=annotations)
    made = build_run(schedule, spec, name="r", spec={}, labels={}, annotations={"x": "y"})
    assert made["metadata"]["annotations"] == {
        "a": "b",
        "x": "y",
        "audit.penstock.dev/on-behalf-of": "alice",
        "penstock.dev/schedule-uid": "u",
    }
    labels = {"team": "x", "penstock.dev/schedule": "s", "penstock.dev/flow": "f"}
    assert made["metadata"]["labels"] == labels, "it does not seem to come from a backup"


def test_nobody_is_behind_the_runs_of_an_object_whose_last_change_is_not_recorded():
    created = write_records({}, ["created", "changed"], Record("alice"))
    changed = write_records(created, ["changed"], Record("bob"), generation=2)
    assert (cause_of(created, 1), cause_of(created, 2)) == ("alice", None)
    assert (cause_of(changed, 3), cause_of(changed, 4)) == ("bob", None)
    assert cause_of({"audit.penstock.dev/created-by": "bob", "audit.penstock.dev/changed-by": "bob"}, 1) is None


def test_the_record_of_a_change_has_the_generation_that_it_makes():
    body = review("alice", {"cron": ["@daily"]}, {"cron": ["@yearly"]}, generation=7)
    body["request"]["kind"] = {"kind": "Schedule"}
    assert patched(record(body))["audit.penstock.dev/changed-generation"] == "8"


def test_suspending_again_removes_the_record_of_who_did_it_before():
    annotations = {"audit.penstock.dev/suspended-by": "alice", "audit.penstock.dev/resumed-by": "bob"}
    run = {"metadata": {"annotations": annotations}}
    assert build_suspend_operations(run, is_suspended=True) == [
        {"op": "add", "path": "/spec/suspend", "value": True},
        {"op": "remove", "path": "/metadata/annotations/audit.penstock.dev~1suspended-by"},
    ]
    assert len(build_suspend_operations({"metadata": {}}, is_suspended=False)) == 1
