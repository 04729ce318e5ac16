"""Slots: which of a Flow's runs run, in which order, and what the others report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec
from penstock.engine.concurrency.compiled_limit import ConcurrencyLimit, OnLimit, compile_concurrency
from penstock.engine.concurrency.slots import Admitted, Claim, Queued, Replaced, Skipped, Slots
from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.validation.validation import check_flow
from penstock.errors import ExpressionError

FLOW = ObjectKey("shop", "orders")
QUEUE, SKIP, REPLACE = (ConcurrencyLimit(1, rule) for rule in OnLimit)


class Runs:
    """Slots, with all that they ask for."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.replaced: list[str] = []
        self.slots = Slots(lambda run: self.woken.append(run.name), lambda run, _: self.replaced.append(run.name))

    def ask(self, name: str, limit: ConcurrencyLimit | None, **fields: Any) -> Any:
        return self.slots.request_slot(FLOW, claim(name, **fields), limit)

    def leave(self, name: str) -> list[str]:
        """Have a run leave, and return who is woken."""
        self.woken.clear()
        self.slots.remove_run(FLOW, f"uid-{name}")
        return self.woken


def claim(name: str, created_at: float = 0.0, priority: int = 0, **params: Any) -> Claim:
    return Claim(RunKey("shop", name), f"uid-{name}", created_at, priority, {"params": params, "run": {}})


def limit_of(key: str, limit: int = 1) -> ConcurrencyLimit:
    params = [{"name": "region"}]
    tasks = [{"name": "a", "image": "b:1"}]
    concurrency = {"limit": limit, "key": key}
    found = compile_concurrency(FlowSpec.model_validate({"params": params, "tasks": tasks, "concurrency": concurrency}))
    assert found is not None
    return found


def test_without_a_limit_every_run_runs_and_counts_once_there_is_one():
    runs = Runs()
    assert [runs.ask(name, None) for name in "abc"] == [Admitted()] * 3
    assert runs.ask("d", QUEUE) == Queued(1, "Flow orders allows 1 concurrent run; active: a, b, c")
    runs.leave("a")
    runs.leave("b")
    assert isinstance(runs.ask("d", QUEUE), Queued)
    assert runs.leave("c") == ["d"]
    assert runs.ask("d", QUEUE) == Admitted()


def test_the_queue_goes_by_priority_then_age_then_name():
    runs = Runs()
    runs.ask("holder", QUEUE)
    for name, created_at, priority in (("young", 9, 0), ("old", 1, 0), ("b", 5, 0), ("a", 5, 0), ("urgent", 20, 3)):
        runs.ask(name, QUEUE, created_at=created_at, priority=priority)

    order = []
    left = "holder"
    while woken := runs.leave(left):
        order.append(woken[0])
        assert runs.ask(woken[0], QUEUE, **_of(runs, woken[0])) == Admitted()
        left = woken[0]
    assert order == ["urgent", "old", "a", "b", "young"]


def _of(runs: Runs, name: str) -> dict[str, Any]:
    found = runs.slots._flows[FLOW].claims[f"uid-{name}"]
    return {"created_at": found.created_at, "priority": found.priority}


def test_a_run_that_asks_twice_has_one_slot():
    runs = Runs()
    assert [runs.ask("a", QUEUE), runs.ask("a", QUEUE)] == [Admitted(), Admitted()]
    assert isinstance(runs.ask("b", QUEUE), Queued)
    assert runs.leave("a") == ["b"]
    assert runs.slots.waiting == 1


def test_a_new_run_stays_behind_those_that_waited_before_the_restart():
    runs = Runs()
    runs.slots.enqueue(FLOW, claim("waited", created_at=1))
    assert runs.ask("new", QUEUE, created_at=2) == Queued(2, "Flow orders allows 1 concurrent run; 1 ahead: waited")
    assert runs.ask("waited", QUEUE, created_at=1) == Admitted()


def test_a_queue_place_needs_no_flow_and_is_none_when_a_slot_may_be_requested():
    runs = Runs()
    runs.ask("a", QUEUE)
    runs.ask("b", QUEUE)
    looked = runs.slots.queue_place(FLOW, "uid-b")
    assert looked is not None
    assert looked.position == 1
    runs.leave("a")
    assert runs.slots.queue_place(FLOW, "uid-b") is None
    assert runs.slots.queue_place(FLOW, "uid-nobody") is None


def test_places_in_a_long_queue_are_exact_in_front_and_roughly_right_behind():
    runs = Runs()
    names = [f"r{number:04}" for number in range(300)]
    for number, name in enumerate(names):
        runs.ask(name, QUEUE, created_at=number)
    reports = 0
    for number, name in enumerate(names[:-1]):
        woken = runs.leave(name)
        while woken:
            one = woken.pop(0)
            reports += 1
            if runs.slots.queue_place(FLOW, f"uid-{one}") is None:
                runs.ask(one, QUEUE, created_at=float(one[1:]))
        group = runs.slots._flows[FLOW].groups[""]
        for at, (_, _, one, uid) in enumerate(group.waiting):
            assert (
                group.reported_places[uid] == at + 1
                if at < 10
                else at + 1 <= group.reported_places[uid] <= 4 * (at + 1)
            ), (
                number,
                one,
            )
    # Reporting to each run each time would be 45,000.
    assert reports < 25 * len(names)


def test_one_more_is_skipped():
    runs = Runs()
    runs.ask("a", SKIP)
    assert runs.ask("b", SKIP) == Skipped("Flow orders allows 1 concurrent run; active: a; further runs are skipped")
    assert runs.slots.waiting == 0
    runs.leave("a")
    assert not runs.slots.has_runs_of(FLOW)


def test_the_newest_replaces_the_oldest_and_starts_when_that_has_finished():
    runs = Runs()
    runs.ask("a", replace(REPLACE, limit=2), created_at=1)
    runs.ask("b", replace(REPLACE, limit=2), created_at=2)
    assert isinstance(runs.ask("c", replace(REPLACE, limit=2), created_at=3), Queued)
    assert runs.replaced == ["a"]
    # A second request replaces no other run.
    assert isinstance(runs.ask("c", replace(REPLACE, limit=2), created_at=3), Queued)
    assert runs.replaced == ["a"]
    assert runs.leave("a") == ["c"]
    assert runs.ask("c", replace(REPLACE, limit=2), created_at=3) == Admitted()


def test_a_run_that_waits_to_replace_another_is_replaced_by_a_newer_one():
    runs = Runs()
    runs.ask("a", REPLACE, created_at=1)
    runs.ask("b", REPLACE, created_at=2)
    runs.ask("c", REPLACE, created_at=3)
    assert runs.replaced == ["a", "b"]
    assert runs.ask("b", REPLACE, created_at=2) == Replaced("replaced by run c: Flow orders allows 1 concurrent run")


def test_one_that_is_being_ended_anyway_is_not_replaced_again():
    runs = Runs()
    runs.ask("a", REPLACE)
    runs.slots.mark_ending(FLOW, "uid-a")
    assert isinstance(runs.ask("b", REPLACE, created_at=1), Queued)
    assert runs.replaced == []


def test_a_lowered_limit_alone_replaces_no_run():
    runs = Runs()
    for name in "abc":
        runs.ask(name, replace(REPLACE, limit=3))
    runs.slots.set_limit(FLOW, REPLACE)
    assert runs.replaced == []


def test_a_raised_limit_wakes_as_many_as_may_run():
    runs = Runs()
    for number, name in enumerate("abcde"):
        runs.ask(name, QUEUE, created_at=number)
    runs.woken.clear()
    runs.slots.set_limit(FLOW, replace(QUEUE, limit=3))
    assert runs.woken[:2] == ["b", "c"]
    runs.woken.clear()
    runs.slots.set_limit(FLOW, None)
    assert runs.woken == ["b", "c", "d", "e"]


def test_each_key_is_a_group_and_a_new_key_groups_again():
    runs = Runs()
    by_region = limit_of("$(params.region)")
    assert runs.ask("a", by_region, region="eu") == Admitted()
    assert runs.ask("b", by_region, region="us") == Admitted()
    assert isinstance(runs.ask("c", by_region, region="eu"), Queued)
    runs.slots.set_limit(FLOW, limit_of("all"))
    assert isinstance(runs.ask("d", limit_of("all"), region="asia"), Queued)
    assert isinstance(runs.ask("d", limit_of("all", limit=2), region="asia"), Queued)
    assert runs.leave("a")[:1] == ["c"]


def test_a_key_without_a_value_is_an_error_only_of_the_run_that_requests_a_slot():
    runs = Runs()
    runs.ask("a", None)
    with pytest.raises(ExpressionError, match=r"the Flow's concurrency\.key: "):
        runs.ask("b", limit_of("$(params.region)"))
    assert runs.slots.waiting == 0
    assert runs.ask("c", limit_of("$(params.region)"), region="eu") == Admitted()


def test_a_waiting_run_that_lost_its_key_requests_a_slot_again_and_gets_the_error():
    runs = Runs()
    runs.ask("a", QUEUE, region="eu")
    runs.ask("b", QUEUE)
    runs.woken.clear()
    runs.slots.set_limit(FLOW, limit_of("$(params.region)"))
    assert runs.woken == ["b"]
    assert runs.slots.queue_place(FLOW, "uid-b") is None
    with pytest.raises(ExpressionError):
        runs.ask("b", limit_of("$(params.region)"))


def test_a_key_that_can_never_work_is_a_problem_of_the_flow():
    spec = {"tasks": [{"name": "a", "image": "b:1"}], "concurrency": {"limit": 1, "key": "$(params.regoin)"}}
    (problem,) = check_flow(FlowSpec.model_validate({**spec, "params": [{"name": "region"}]}))
    assert problem.path == "spec.concurrency.key"
    assert 'did you mean "region"' in problem.message


@given(
    limit=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.integers(0, 2)), max_size=40),
)
def test_in_any_order_of_steps_the_limit_holds_and_no_run_is_forgotten(limit, steps):
    runs = Runs()
    rule = replace(QUEUE, limit=limit)
    going_on: set[str] = set()
    waiting: dict[str, int] = {}

    def look(name: str) -> None:
        verdict = runs.ask(name, rule, priority=waiting.get(name, 0), created_at=ord(name))
        if isinstance(verdict, Admitted):
            waiting.pop(name, None)
            going_on.add(name)

    def settle() -> None:
        while runs.woken:
            name = runs.woken.pop(0)
            if name in waiting:
                look(name)

    for name, is_coming, priority in steps:
        if is_coming and name not in going_on:
            waiting.setdefault(name, priority)
            look(name)
        elif not is_coming:
            going_on.discard(name)
            waiting.pop(name, None)
            runs.slots.remove_run(FLOW, f"uid-{name}")
        settle()
        assert len(going_on) <= limit
        assert not waiting or len(going_on) == limit
        assert runs.slots.waiting == len(waiting)
