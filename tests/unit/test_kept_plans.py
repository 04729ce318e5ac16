"""Which compiled plans stay in memory."""

from __future__ import annotations

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.keys import ObjectKey
from penstock_operator.flows.kept_plans import BYTES_PER_TASK, KeptPlans


def plan_of(tasks: int) -> Plan:
    listed = [{"name": f"t{number}", "image": "busybox"} for number in range(tasks)]
    return compile_plan(FlowSpec.model_validate({"tasks": listed}))


SMALL, LARGE = plan_of(1), plan_of(50)


def key(name: str) -> ObjectKey:
    return ObjectKey("lab", name)


def test_large_plans_are_dropped_by_their_size_and_not_by_their_number():
    plans = KeptPlans(60 * BYTES_PER_TASK)
    for number in range(10):
        plans.add(key(f"small-{number}"), SMALL, spec_bytes=0)
    assert len(plans) == 10

    plans.add(key("large"), LARGE, spec_bytes=0)
    plans.add(key("second"), LARGE, spec_bytes=0)

    assert plans.get(key("large")) is None
    assert plans.get(key("second")) is LARGE


def test_the_plan_that_was_used_last_stays():
    plans = KeptPlans(2 * BYTES_PER_TASK)
    plans.add(key("a"), SMALL, spec_bytes=0)
    plans.add(key("b"), SMALL, spec_bytes=0)
    plans.get(key("a"))

    plans.add(key("c"), SMALL, spec_bytes=0)

    assert plans.get(key("a")) is SMALL
    assert plans.get(key("b")) is None


def test_a_plan_that_is_larger_than_all_may_be_is_kept_alone():
    plans = KeptPlans(BYTES_PER_TASK)

    plans.add(key("large"), LARGE, spec_bytes=10_000)

    assert plans.get(key("large")) is LARGE


def test_the_same_plan_twice_counts_once():
    plans = KeptPlans(2 * BYTES_PER_TASK)
    plans.add(key("a"), SMALL, spec_bytes=0)

    for _ in range(5):
        plans.add(key("b"), SMALL, spec_bytes=0)

    assert len(plans) == 2
