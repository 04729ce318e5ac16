"""Events of Schedules: what may be written, and what runs are made of."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.event import LabelSelector
from penstock.api.schedule import ScheduleSpec
from penstock.engine.names import event_run_name
from penstock.engine.triggers.label_selector import selects
from penstock.engine.triggers.trigger import (
    compile_trigger,
    covered_states,
    definition_digest,
    flow_run_event,
    resource_event,
    webhook_event,
)
from penstock.engine.triggers.watermark import KEPT, Watermark
from penstock.engine.validation.validation import check_schedule
from penstock.errors import ExpressionError

ENDED = {"flow": "load", "states": ["Completed"]}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}
HOOK = {"secretRef": {"name": "hooks", "key": "orders"}}


def schedule(*events: dict[str, Any], params: dict[str, Any] | None = None, **fields: Any) -> ScheduleSpec:
    spec: dict[str, Any] = {"flow": {"name": "report"}} | ({} if params is None else {"params": params})
    named = [{"name": f"e{place}", **event} for place, event in enumerate(events)]
    return ScheduleSpec.model_validate({"events": named, "runTemplate": {"spec": spec}, **fields})


def problems(*events: dict[str, Any], **fields: Any) -> list[str]:
    return [str(problem) for problem in check_schedule(schedule(*events, **fields))]


def test_a_schedule_of_events_needs_no_clock():
    assert problems({"flowRun": ENDED}, {"resource": CONFIG}, {"webhook": HOOK}) == []
    assert problems({"flowRun": {"selector": {}, "states": ["Failed"]}}) == []


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(
            {"flowRun": {"states": ["Failed"]}},
            "spec.events[0].flowRun: give exactly one of flow and selector",
            id="runs of nothing",
        ),
        pytest.param(
            {"flowRun": {**ENDED, "selector": {}}},
            "spec.events[0].flowRun: give exactly one of flow and selector",
            id="runs of a Flow and of any",
        ),
        pytest.param(
            {"flowRun": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}, "states": ["Failed"]}},
            "spec.events[0].flowRun.selector.matchExpressions[0].values: In requires values",
            id="a set of no labels",
        ),
        pytest.param({}, "spec.events[0]: must have exactly one of flowRun, resource and webhook", id="no source"),
        pytest.param(
            {"flowRun": ENDED, "webhook": HOOK},
            "spec.events[0]: must have exactly one of flowRun, resource and webhook",
            id="two sources",
        ),
        pytest.param(
            {"resource": {"apiVersion": "v1", "kind": "Secret"}},
            "spec.events[0].resource.kind: Secrets cannot be watched",
            id="Secrets",
        ),
        pytest.param(
            {"resource": {"apiVersion": "penstock.dev/v1alpha1", "kind": "FlowRun"}},
            "spec.events[0].resource.apiVersion: Penstock's own objects cannot be watched",
            id="our own objects",
        ),
        pytest.param(
            {"webhook": {**HOOK, "when": "event.bdy.x == 1"}},
            'spec.events[0].webhook.when: column 7: event has no "bdy" (did you mean "body"?): it has name, time, id',
            id="a field that an event has not",
        ),
        pytest.param(
            {"flowRun": {**ENDED, "when": "event.run.nme == 'x'"}},
            'spec.events[0].flowRun.when: column 11: event.run has no "nme" (did you mean "name"?)',
            id="a field that a run has not",
        ),
        pytest.param(
            {"webhook": {**HOOK, "when": "tick.date == '2026'"}},
            'spec.events[0].webhook.when: column 1: there is no "tick" here',
            id="a tick",
        ),
        pytest.param(
            {"webhook": {**HOOK, "params": {"day": "$(event.body.day"}}},
            "spec.events[0].webhook.params.day: column 1: this $( is not closed",
            id="an expression that is not closed",
        ),
        pytest.param(
            {"resource": {**CONFIG, "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
            "spec.events[0].resource.selector.matchExpressions[0].values: In requires values",
            id="a set without values",
        ),
    ],
)
def test_what_is_invalid_is_refused_where_it_stands(event, said):
    assert any(one.startswith(said) for one in problems(event)), problems(event)


def test_two_events_of_one_name_are_refused():
    both = {"name": "twice", "webhook": HOOK}
    assert problems(both, both) == ['spec.events[1].name: "twice" is already the name of another event']


def test_what_is_for_ticks_needs_ticks():
    (problem,) = problems({"webhook": HOOK}, onOverlap="Skip")
    assert problem.startswith("spec.onOverlap: has no effect without cron, interval, at or rrule")
    assert problems({"webhook": HOOK}, onOverlap="Skip", cron=["@daily"]) == []


def test_params_of_the_template_must_suit_everything_that_makes_runs():
    by_event, by_tick = {"day": "$(event.body.day)"}, {"day": "$(tick.date)"}
    own = {"webhook": {**HOOK, "params": by_event}}
    assert problems({"webhook": HOOK}, params=by_event) == []
    assert problems(own, params=by_tick, cron=["@daily"]) == []
    assert "spec.events[0].webhook.params.day" in problems({"webhook": HOOK}, params=by_tick, cron=["@daily"])[0]
    assert problems(own, params=by_event, cron=["@daily"])[0].startswith("spec.runTemplate.spec.params.day")
    assert problems({"webhook": HOOK}, {"flowRun": ENDED}, params=by_event)[0].startswith(
        "spec.runTemplate.spec.params.day: column 9: event has no"
    )


def test_params_that_every_event_gives_need_not_stand_in_the_template():
    flow = {"params": [{"name": "day"}], "tasks": [{"name": "a", "image": "x"}]}
    own = {"webhook": {**HOOK, "params": {"day": "$(event.body.day)"}}}
    template = {"runTemplate": {"spec": {"flowSpec": flow}}}
    assert problems(own, **template) == []
    assert problems(own, {"webhook": HOOK}, **template)[0].startswith("spec.runTemplate.spec.params.day: is required")
    assert problems(own, cron=["@daily"], **template)[0].startswith("spec.runTemplate.spec.params.day: is required")


RUN = {
    "metadata": {"name": "load-1", "uid": "u", "labels": {"team": "data"}},
    "spec": {"flow": {"name": "load"}},
    "status": {"state": "Completed", "completionTime": "2026-11-24T01:00:00Z", "outputs": {"rows": 3}},
}
CONFIG_MAP = {**CONFIG, "metadata": {"name": "c", "managedFields": [1]}, "data": {"a": "1"}}


@pytest.mark.parametrize(
    ("source", "event", "expression", "want"),
    [
        ({"flowRun": ENDED}, flow_run_event("e0", RUN), "$(event.run.outputs.rows)", 3),
        (
            {"flowRun": ENDED},
            flow_run_event("e0", RUN),
            "$(event.run.labels.team)/$(event.run.uid)",
            "data/u",
        ),
        ({"resource": CONFIG}, resource_event("e0", CONFIG_MAP, "t"), "$(event.object.data.a)", "1"),
        ({"resource": CONFIG}, resource_event("e0", CONFIG_MAP, "t"), "$(event.object.metadata)", {"name": "c"}),
        ({"webhook": HOOK}, webhook_event("e0", "id-1", "t", [1, {"x": None}]), "$(event.body)", [1, {"x": None}]),
        ({"webhook": HOOK}, webhook_event("e0", "id-1", "t", {}), "$(event.name)/$(event.id)", "e0/id-1"),
    ],
)
def test_expressions_see_the_event(source, event, expression, want):
    compiled = compile_trigger(schedule(source, params={"it": expression, "fixed": 1}), 0)
    assert compiled.evaluate(event) == {"it": want, "fixed": 1}


def test_an_unwanted_event_creates_no_run_and_a_failed_expression_names_its_field():
    compiled = compile_trigger(schedule({"webhook": {**HOOK, "when": "event.body.kind == 'push'"}}), 0)
    assert compiled.evaluate(webhook_event("e0", "1", "t", {"kind": "push"})) == {}
    assert compiled.evaluate(webhook_event("e0", "1", "t", {"kind": "tag"})) is None
    with pytest.raises(ExpressionError, match=r"^spec\.events\[0\]\.webhook\.when: .*kind"):
        compiled.evaluate(webhook_event("e0", "1", "t", {}))


def test_failed_stands_for_every_way_to_fail():
    assert covered_states(["Failed"]) == {"Failed", "TimedOut", "Crashed"}
    assert covered_states(["Completed", "Cancelled"]) == {"Completed", "Cancelled"}


def test_an_edit_of_what_is_watched_changes_the_digest_and_one_of_params_does_not():
    def digest(**fields: Any) -> str:
        events = schedule({"webhook": {**HOOK, **fields}}).events
        assert events is not None
        return definition_digest(events[0], is_suspended=False)

    assert digest() == digest(params={"a": 1})
    assert digest() != digest(when="event.id == 'x'")


def test_the_same_event_has_the_same_run_and_another_has_another():
    name = event_run_name("s" * 52, "uid", "e", "delivery")
    assert len(name) == 63
    assert name == event_run_name("s" * 52, "uid", "e", "delivery")
    different = [("x", "e", "delivery"), ("uid", "x", "delivery"), ("uid", "e", "x")]
    others = {event_run_name("s" * 52, *one) for one in different}
    assert len(others | {name}) == 4


@pytest.mark.parametrize(
    ("expression", "labels", "want"),
    [
        ({"operator": "In", "values": ["1", "2"]}, {"a": "1"}, True),
        ({"operator": "In", "values": ["1", "2"]}, {}, False),
        ({"operator": "NotIn", "values": ["1"]}, {"a": "1"}, False),
        ({"operator": "NotIn", "values": ["1"]}, {}, True),
        ({"operator": "Exists"}, {"a": ""}, True),
        ({"operator": "DoesNotExist"}, {"a": ""}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(expression, labels, want):
    selector = LabelSelector.model_validate({"matchExpressions": [{"key": "a", **expression}]})
    assert selects(selector, labels) is want
    both = LabelSelector.model_validate({"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", **expression}]})
    assert not selects(both, labels)


@given(st.integers(1, 300), st.integers(0, KEPT // 2), st.integers(0, 2**32), st.sampled_from([0.0, 0.2]))
def test_each_event_is_new_once_in_any_order_that_is_nearly_that_of_time(count, displacement, seed, crash_rate):
    rng = random.Random(seed)
    events = sorted(range(count), key=lambda time: time + rng.uniform(0, displacement))
    seen, done = Watermark(-1.0), []
    observed = [event for event in events for _ in range(rng.randint(1, 3))]
    for event in observed:
        if rng.random() < crash_rate:
            written = seen.to_status()
            seen = Watermark.from_status(written["since"], written["seen"])
        if seen.is_new(str(event), float(event)):
            done.append(event)
            seen.mark_done(str(event), float(event))
        assert len(seen.later) <= KEPT
    assert done == events
