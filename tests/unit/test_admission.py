"""Admission: what a person is told about an object, and what passes although something is wrong."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from penstock.errors import Problem
from penstock_operator.triggers.kinds import read_allowed_kinds
from penstock_operator.webhooks import admission
from penstock_operator.webhooks.admission import (
    MAX_SHOWN_PROBLEMS,
    MAX_SHOWN_WARNINGS,
    MAX_WARNING_CHARACTERS,
    Admission,
    Findings,
)
from tests.unit.reviews import (
    IMAGE,
    ORDERS,
    RUN,
    SCHEDULE,
    VALIDATE,
    anyone_may,
    flow,
    look_up,
    look_up_run,
    look_up_schedule,
    review_of,
)


def answer(kind: str, spec: Any, lookup: Any = look_up, **request: Any) -> dict[str, Any]:
    """The response to a review, its frame checked."""
    reply = asyncio.run(
        VALIDATE[kind](
            Admission(lookup, look_up_schedule, look_up_run, may_get=anyone_may), review_of(kind, spec, **request)
        )
    )
    assert (reply["apiVersion"], reply["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = reply["response"]
    assert response["uid"] == "705ab4f5"
    return response


def message(kind: str, spec: Any, **request: Any) -> str:
    response = answer(kind, spec, **request)
    assert not response["allowed"], "it was allowed"
    text: str = response["status"]["message"]
    return text


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("Flow", ORDERS, id="a Flow"),
        pytest.param("FlowRun", RUN, id="a run whose params fit its Flow"),
        pytest.param("FlowRun", {"flowSpec": flow({"name": "a"})}, id="a run of an inline spec"),
        pytest.param("Schedule", SCHEDULE, id="a Schedule"),
    ],
)
def test_what_works_passes_in_silence(kind, spec):
    assert answer(kind, spec) == {"uid": "705ab4f5", "allowed": True}


@pytest.mark.parametrize(
    ("kind", "spec", "want"),
    [
        pytest.param(
            "Flow",
            flow(
                {"name": "a", "dependsOn": ["c"]}, {"name": "b", "dependsOn": ["a"]}, {"name": "c", "dependsOn": ["b"]}
            ),
            r"^spec\.tasks\[0\]\S*: .*\ba\b.*\bc\b.*\bb\b",
            id="a cycle, with its tasks named",
        ),
        pytest.param(
            "Flow",
            flow({"name": "extract"}, {"name": "load", "dependsOn": ["extrct"]}),
            r'^spec\.tasks\[1\]\.dependsOn\[0\]: .*"extrct".*did you mean "extract"',
            id="an unknown dependency, with the nearest name",
        ),
        pytest.param(
            "Flow",
            flow({"name": "a", "args": ["$(params.dya)"]}, params=[{"name": "day"}]),
            r"^spec\.tasks\[0\]\.args\[0\]: .*dya.*day",
            id="an unknown param in an expression, with the nearest name",
        ),
        pytest.param(
            "Flow",
            flow({"name": "a", "when": "1 +"}),
            r"^spec\.tasks\[0\]\.when: .*\d",
            id="broken CEL, with its position",
        ),
        pytest.param(
            "Flow",
            {"tasks": [{"name": "a"}]},
            r"^spec\.tasks\[0\]\.image: .*spec\.defaults\.image",
            id="a task without an image",
        ),
        pytest.param(
            "FlowRun", {**RUN, "params": {}}, r"^spec\.params\.day: .*required", id="a param that is not given"
        ),
        pytest.param(
            "FlowRun",
            {**RUN, "params": {"day": "monday", "limt": 3}},
            r'^spec\.params\.limt: .*did you mean "limit"',
            id="a param that the Flow has not",
        ),
        pytest.param(
            "FlowRun",
            {**RUN, "params": {"day": "monday", "limit": "many"}},
            r"^spec\.params\.limit: .*whole number",
            id="a param of another type",
        ),
        pytest.param(
            "FlowRun",
            {"flowSpec": {"tasks": [{"name": "a"}]}},
            r"^spec\.flowSpec\.tasks\[0\]\.image: ",
            id="an invalid inline spec",
        ),
        pytest.param(
            "Schedule", {**SCHEDULE, "cron": ["61 * * * *"]}, r"^spec\.cron\[0\]: .*61", id="a minute that is none"
        ),
        pytest.param(
            "Schedule",
            {**SCHEDULE, "cron": ["@daily", "59 23 31 2 *"]},
            r"^spec\.cron\[1\]: .*never matches",
            id="a day that never comes",
        ),
        pytest.param(
            "Schedule",
            {**SCHEDULE, "cron": ["CRON_TZ=Europe/Berlin 0 9 * * *"]},
            r"^spec\.cron\[0\]: .*set spec\.timeZone",
            id="a zone in an expression",
        ),
        pytest.param(
            "Schedule",
            {**SCHEDULE, "timeZone": "Europe/Berln"},
            r"^spec\.timeZone: .*Europe/Berln.*Europe/Berlin",
            id="a zone that is none, with the nearest name",
        ),
        pytest.param(
            "Flow",
            flow({"name": "a", "imagee": "x"}),
            r"^spec\.tasks\[0\]\.imagee: ",
            id="a field that no schema check has refused",
        ),
    ],
)
def test_what_is_invalid_is_refused_with_the_field_first(kind, spec, want):
    said = message(kind, spec)
    assert re.search(want, said), said


def test_all_problems_are_reported_together_each_on_its_line():
    said = message("Flow", {"tasks": [{"name": "a", "image": IMAGE, "dependsOn": ["x"]}, {"name": "b"}]})
    assert [line.partition(": ")[0] for line in said.splitlines()] == [
        "spec.tasks[0].dependsOn[0]",
        "spec.tasks[1].image",
    ]


def test_a_refusal_has_the_form_in_which_kubectl_lists_fields():
    status = answer("Flow", {"tasks": [{"name": "a"}]})["status"]
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert {key: status["details"][key] for key in ("name", "group", "kind")} == {
        "name": "it",
        "group": "penstock.dev",
        "kind": "Flow",
    }
    [cause] = status["details"]["causes"]
    assert cause["field"] == "spec.tasks[0].image"
    assert f"{cause['field']}: {cause['message']}" == status["message"]


def test_of_very_many_problems_the_first_are_reported_and_the_rest_counted():
    async def check(_request: Any) -> Findings:
        return Findings([Problem(f"spec.tasks[{index}]", "is wrong") for index in range(MAX_SHOWN_PROBLEMS + 3)])

    reply = asyncio.run(admission.review(review_of("Flow", {}), check))
    lines = reply["response"]["status"]["message"].splitlines()
    assert len(lines) == MAX_SHOWN_PROBLEMS + 1
    assert lines[-1] == "spec: and 3 more problems"


def test_a_refusal_names_an_object_whose_name_is_still_to_be_generated():
    metadata = {"generateName": "orders-"}
    obj = {"metadata": metadata, "spec": {"tasks": [{"name": "a"}]}}
    assert answer("Flow", None, name="", object=obj)["status"]["details"]["name"] == "orders-"


BROKEN = {"tasks": [{"name": "a"}]}


@pytest.mark.parametrize(
    "request_fields",
    [
        pytest.param(
            {
                "operation": "UPDATE",
                "object": {"metadata": {"name": "it", "labels": {"a": "b"}}, "spec": BROKEN},
                "oldObject": {"metadata": {"name": "it"}, "spec": BROKEN},
            },
            id="an update of labels only",
        ),
        pytest.param(
            {
                "operation": "UPDATE",
                "object": {"metadata": {"name": "it", "deletionTimestamp": "2026-11-22T02:30:00Z"}, "spec": BROKEN},
                "oldObject": {"metadata": {"name": "it"}, "spec": ORDERS},
            },
            id="an object that is being deleted",
        ),
        pytest.param({"operation": "UPDATE", "subResource": "status", "oldObject": {"spec": ORDERS}}, id="a status"),
        pytest.param({"operation": "DELETE", "object": None, "oldObject": {"spec": BROKEN}}, id="a deletion"),
    ],
)
def test_a_stored_object_that_breaks_a_rule_is_not_held_up_by(request_fields):
    assert answer("Flow", BROKEN, **request_fields) == {"uid": "705ab4f5", "allowed": True}


def test_an_update_that_breaks_the_spec_is_refused():
    assert message("Flow", BROKEN, operation="UPDATE", oldObject={"metadata": {}, "spec": ORDERS})


def test_a_run_is_not_measured_against_a_flow_that_has_changed_since_it_began():
    changed = {**RUN, "params": {}, "timeout": "1h"}
    assert answer("FlowRun", changed, operation="UPDATE", oldObject={"spec": {**RUN, "params": {}}})["allowed"]


@pytest.mark.parametrize(
    ("kind", "spec", "want"),
    [
        pytest.param(
            "FlowRun",
            {"flow": {"name": "later"}},
            ["spec.flow.name: Flow later does not exist yet: the run waits for it"],
            id="a run whose Flow does not exist yet",
        ),
        pytest.param(
            "FlowRun",
            {"flow": {"name": "broken"}},
            ["spec.flow.name: Flow broken is invalid: see kubectl describe flow broken"],
            id="a run whose Flow is invalid",
        ),
        pytest.param(
            "Schedule",
            {**SCHEDULE, "runTemplate": {"spec": {"flow": {"name": "later"}}}},
            ["spec.runTemplate.spec.flow.name: Flow later does not exist yet: its runs will wait for it"],
            id="a Schedule whose Flow does not exist yet",
        ),
        pytest.param(
            "Flow",
            flow({"name": "a", "image": "registry.example:5000/etl"}),
            [
                (
                    "spec.tasks[0].image: registry.example:5000/etl may change between attempts: "
                    "use a digest, or a tag other than latest"
                )
            ],
            id="an image without a tag",
        ),
        pytest.param(
            "FlowRun",
            {
                "flowSpec": {
                    "defaults": {"image": "etl:latest"},
                    "tasks": [{"name": "a"}, {"name": "b", "image": "etl:latest"}],
                }
            },
            [
                (
                    "spec.flowSpec.defaults.image: etl:latest may change between attempts: "
                    "use a digest, or a tag other than latest"
                )
            ],
            id="the image latest, warned of once",
        ),
        pytest.param("Flow", flow({"name": "a", "image": "etl@sha256:" + "0" * 64}), [], id="no image with a digest"),
    ],
)
def test_what_is_valid_and_may_surprise_passes_with_a_warning(kind, spec, want):
    response = answer(kind, spec)
    assert response["allowed"]
    assert response.get("warnings", []) == want


def test_warnings_stay_few_and_short():
    response = answer("Flow", flow(*({"name": f"t{index}", "image": f"{index}-" + "i" * 400} for index in range(50))))
    assert response["allowed"]
    assert len(response["warnings"]) == MAX_SHOWN_WARNINGS
    assert {len(text) for text in response["warnings"]} == {MAX_WARNING_CHARACTERS}


@pytest.mark.parametrize("error", [OSError("no route"), TimeoutError()], ids=["fails", "takes too long"])
def test_a_run_passes_with_a_warning_when_the_search_for_its_flow(error):
    async def lookup(_namespace: str, _name: str) -> None:
        raise error

    assert answer("FlowRun", {"flow": {"name": "orders"}}, lookup) == {
        "uid": "705ab4f5",
        "allowed": True,
        "warnings": ["spec.flow.name: Flow orders could not be read, so the run was not checked against it"],
    }


def test_a_flaw_of_our_own_lets_the_object_pass_and_is_logged(caplog):
    async def lookup(_namespace: str, _name: str) -> None:
        raise ZeroDivisionError

    response = answer("FlowRun", RUN, lookup)
    assert response["allowed"]
    assert response["warnings"] == ["Penstock could not check this object; it is checked again when it is used"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("body", [{}, {"request": {}}, {"request": {"uid": "1", "operation": "CREATE"}}], ids=str)
def test_a_body_that_is_not_a_review_gets_an_answer(body):
    reply = asyncio.run(Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may).validate_flow(body))
    assert reply["response"]["allowed"] is True


# Runs that retry, wait and are decided about


def warnings_of(spec: Any, **request: Any) -> list[str]:
    admission_of_runs = Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may)
    response = asyncio.run(admission_of_runs.validate_flowrun(review_of("FlowRun", spec, **request)))["response"]
    assert response["allowed"], response
    return list(response.get("warnings", []))


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("failed", []),
        ("running", ["spec.retryOf.name: FlowRun running has not finished: the retry waits for it"]),
        ("new", ["spec.retryOf.name: FlowRun new has not finished: the retry waits for it"]),
        (
            "gone",
            [
                (
                    "spec.retryOf.name: FlowRun gone does not exist: "
                    "this retry fails unless gone is created within a few seconds"
                )
            ],
        ),
    ],
)
def test_a_retry_is_warned_of_if_its_run_does_not_exist_or_has_not_finished(name, want):
    assert warnings_of({"retryOf": {"name": name}}) == want


@pytest.mark.parametrize(
    ("retry", "params", "want"),
    [
        ({"from": "lod"}, None, 'spec.retryOf.from: run failed has no task lod (did you mean "load"?)'),
        ({"from": "load", "items": "3"}, None, "spec.retryOf.items: task load has no item 3: its items are 0 to 2"),
        ({"from": "load", "items": "2,1"}, None, "spec.retryOf.items: must be ascending, as in 3,7-9: 1 is not"),
        ({"items": "1"}, None, "spec.retryOf.items: requires from: the fan-out whose items run again"),
        ({"revision": "Latest"}, {"dy": "x"}, 'spec.params.dy: the flow has no such param (did you mean "day"?)'),
    ],
)
def test_a_retry_that_cannot_run_is_refused_with_the_field(retry, params, want):
    admission_of_runs = Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may)
    spec = {"retryOf": {"name": "failed", **retry}, **({"params": params} if params else {})}
    response = asyncio.run(admission_of_runs.validate_flowrun(review_of("FlowRun", spec)))["response"]
    assert response["allowed"] is False
    assert want in response["status"]["message"]


def test_params_of_a_retry_of_the_same_revision_are_warned_of_as_the_flow_may_have_changed():
    assert warnings_of({"retryOf": {"name": "failed"}, "params": {"day": "tuesday"}}) == []
    (warning,) = warnings_of({"retryOf": {"name": "failed"}, "params": {"limit": "many"}})
    assert warning.startswith("spec.params.limit: ")
    assert warning.endswith(" (in the Flow as it is now)")


def asking() -> dict[str, Any]:
    return {"tasks": [{"name": "sign-off", "approval": {}}, {"name": "load", "image": IMAGE}]}


def decided(*names: str) -> dict[str, Any]:
    return {"flowSpec": asking(), "approvals": [{"task": name, "decision": "Approve"} for name in names]}


def test_a_decision_about_a_task_that_is_not_an_approval_is_warned_of():
    assert warnings_of(decided("sign-off")) == []
    first, second = warnings_of(decided("sign-of", "load"))
    assert first.startswith('spec.approvals[0].task: the flow has no approval sign-of (did you mean "sign-off"?), so ')
    assert (
        second
        == "spec.approvals[1].task: the flow has no approval load, so this has no effect; its approvals: sign-off"
    )


def test_a_decision_is_checked_when_it_is_made_and_not_again():
    before = {"spec": decided()}
    assert len(warnings_of(decided("load"), operation="UPDATE", oldObject=before)) == 1
    other = decided("load") | {"timeout": "1h"}
    assert warnings_of(other, operation="UPDATE", oldObject={"spec": decided("load")}) == []


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-24", "2026-11-24T02:30:00", "02:30"])
def test_a_scheduled_time_that_is_none_is_refused_with_its_path(text):
    body = review_of("FlowRun", {**RUN, "scheduledTime": text})
    response = asyncio.run(
        Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may).validate_flowrun(body)
    )["response"]
    assert not response["allowed"]
    (cause,) = response["status"]["details"]["causes"]
    assert cause["field"] == "spec.scheduledTime"
    assert "2026-11-24T02:30:00Z" in cause["message"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param(
            "Pod", "events cannot watch v1/Pod; kinds allowed in this installation: ", id="one that is not allowed"
        ),
        pytest.param("Secret", "Secrets cannot be watched", id="Secrets"),
    ],
)
def test_a_schedule_that_watches_a_kind_that_is_not_allowed_is_refused_when_it_is_applied(kind, said):
    event = {"name": "a", "resource": {"apiVersion": "v1", "kind": kind}}
    spec = {"events": [event], "runTemplate": {"spec": RUN}}
    admission = Admission(
        look_up, look_up_schedule, look_up_run, read_allowed_kinds("v1/ConfigMap=configmaps"), may_get=anyone_may
    )
    response = asyncio.run(admission.validate_schedule(review_of("Schedule", spec)))["response"]
    assert not response["allowed"]
    (cause,) = response["status"]["details"]["causes"]
    assert cause["field"] == "spec.events[0].resource.kind"
    assert said in cause["message"]
