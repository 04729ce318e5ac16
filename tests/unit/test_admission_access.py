"""Admission: what a user is told about other objects, by what the user may read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.kube.errors import ApiUnreachableError
from penstock_operator.webhooks import admission
from penstock_operator.webhooks.admission import Admission
from tests.unit.reviews import OCTOBER, RUN, SCHEDULE, VALIDATE, look_up, look_up_run, look_up_schedule, review_of


class Refusing:
    """Says of everyone that they may not read anything, and fails if something is looked up all the same."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.asked: list[tuple[Any, ...]] = []
        self.admission = Admission(self.look_up, self.look_up, self.look_up, may_get=self.may_get, recent=self.look_up)

    async def may_get(self, *asked: Any) -> bool:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return False

    async def look_up(self, namespace: str, name: str) -> Any:
        raise AssertionError(f"{namespace}/{name} was looked up")

    def answer(self, kind: str, spec: Any, **request: Any) -> dict[str, Any]:
        user = {"username": "eve", "groups": ["tenants"]}
        reply = asyncio.run(VALIDATE[kind](self.admission, review_of(kind, spec, userInfo=user, **request)))
        response: dict[str, Any] = reply["response"]
        return response


REFERRING = [
    pytest.param("FlowRun", {**RUN, "params": {}}, "flows", "orders", id="a run and its Flow"),
    pytest.param("FlowRun", {"retryOf": {"name": "failed"}}, "flowruns", "failed", id="a run and the one it retries"),
    pytest.param("Schedule", SCHEDULE, "flows", "orders", id="a Schedule and the Flow of its runs"),
    pytest.param("Backfill", OCTOBER | {"from": "1970-01-01T00:00:00Z"}, "schedules", "nightly", id="a Backfill"),
]


@pytest.mark.parametrize(("kind", "spec", "resource", "name"), REFERRING)
@pytest.mark.parametrize("error", [None, ApiUnreachableError("no route"), TimeoutError()], ids=["no", "fails", "slow"])
def test_to_a_user_who_may_not_read_another_object_nothing_is_said_about_it(kind, spec, resource, name, error):
    refusing = Refusing(error)
    response = refusing.answer(kind, spec)
    assert response["allowed"]
    reason = "could not be read" if error is not None else "you are not allowed to read"
    assert all(reason in warning for warning in response.get("warnings", []))
    assert "day" not in str(response)
    for user, asked, namespace, asked_name in refusing.asked:
        assert (user["username"], asked.plural, namespace, asked_name) == ("eve", resource, "shop", name)
    assert refusing.asked


def test_a_decision_is_not_checked_against_a_flow_that_its_user_may_not_read():
    spec = {**RUN, "approvals": [{"task": "nothing", "decision": "Approve"}]}
    response = Refusing().answer("FlowRun", spec, operation="UPDATE", oldObject={"spec": RUN})
    assert response["allowed"]
    assert "warnings" not in response


def test_an_object_is_still_checked_by_itself_when_nothing_else_may_be_read():
    response = Refusing().answer("FlowRun", {**RUN, "scheduledTime": "tomorrow"})
    assert not response["allowed"]


def test_a_question_that_takes_too_long_does_not_hold_up_the_user(monkeypatch):
    monkeypatch.setattr(admission, "LOOKUP_S", 0.01)

    async def never(*_asked: Any) -> bool:
        await asyncio.Event().wait()
        return True

    slow = Admission(look_up, look_up_schedule, look_up_run, may_get=never)
    reply = asyncio.run(slow.validate_flowrun(review_of("FlowRun", {**RUN, "params": {}})))["response"]
    assert reply["allowed"]
    assert reply["warnings"] == ["spec.flow.name: Flow orders could not be read, so the run was not checked against it"]
