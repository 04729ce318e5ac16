# ruff: noqa: E501 - a row of a table is one line
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.flow_run import FlowRunSpec
from penstock.api.schedule import ScheduleSpec
from penstock.engine.validation.validation import (
    check_flow,
    check_run,
    check_schedule,
    compile_tick_params,
    parse_flow,
    parse_run,
    parse_schedule,
)
from penstock.errors import InvalidSpecError
from tests.strategies import flow_specs, json_values

FLOW: dict[str, Any] = {
    "params": [{"name": "day"}, {"name": "n", "type": "integer", "default": 1}],
    "tasks": [{"name": "a", "image": "etl:1", "args": ["$(params.day)"]}],
}


def run(**fields: Any) -> FlowRunSpec:
    return parse_run({"spec": fields})


def schedule(**fields: Any) -> ScheduleSpec:
    return parse_schedule({"spec": {"cron": ["@daily"], **fields}})


def texts(problems: Any) -> list[str]:
    return [str(problem) for problem in problems]


def refusals(spec: Any) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        parse_flow({"spec": spec})
    return texts(caught.value.problems)


def test_a_flow_has_the_problems_of_its_plan():
    assert check_flow(parse_flow({"spec": FLOW})) == []
    broken = {**FLOW, "tasks": [{"name": "a", "args": ["$(params.dya)"]}]}
    assert texts(check_flow(parse_flow({"spec": broken}))) == [
        "spec.tasks[0].image: is required: set an image here or in spec.defaults.image",
        'spec.tasks[0].args[0]: column 10: there is no param "dya" (did you mean "day"?)',
    ]


@given(flow_specs())
def test_a_flow_that_compiles_has_no_problems_and_reads_as_it_was_written(flow):
    assert check_flow(flow) == []
    assert parse_flow({"spec": flow.model_dump(by_alias=True, exclude_unset=True)}) == flow


def test_a_run_names_a_flow_or_has_one():
    assert texts(check_run(run(), None)) == ["spec: must have exactly one of flow, flowSpec and retryOf; got none"]
    both = run(flow={"name": "x"}, flowSpec=FLOW, params={"day": "x"})
    assert texts(check_run(both, None)) == [
        "spec: must have exactly one of flow, flowSpec and retryOf; got flow and flowSpec"
    ]
    assert check_run(run(flow={"name": "x"}, params={"any": 1}), None) == []


def test_the_params_of_a_run_fit_its_flow():
    flow = parse_flow({"spec": FLOW})
    assert check_run(run(flow={"name": "x"}, params={"day": "x"}), flow) == []
    assert texts(check_run(run(flow={"name": "x"}, params={"n": "x"}), flow)) == [
        "spec.params.day: is required: the flow needs a string",
        'spec.params.n: must be a whole number; got the string "x"',
    ]


def test_the_problems_of_an_inline_flow_have_its_field_paths():
    inline = {**FLOW, "tasks": [{"name": "a", "args": ["$(params.dya)"], "image": "x"}], "timeout": "0s"}
    assert texts(check_run(run(flowSpec=inline, params={"dy": 1}, timeout="0s"), None)) == [
        'spec.flowSpec.tasks[0].args[0]: column 10: there is no param "dya" (did you mean "day"?)',
        "spec.flowSpec.timeout: must be greater than zero; omit it for no limit",
        'spec.params.dy: the flow has no such param (did you mean "day"?): it has day, n',
        "spec.params.day: is required: the flow needs a string",
        "spec.timeout: must be greater than zero; omit it for no limit",
    ]


def test_an_inline_flow_is_limited_in_size():
    inline = {**FLOW, "tasks": [{"name": f"t{index}", "image": "x", "script": "x" * 100_000} for index in range(3)]}
    assert texts(check_run(run(flowSpec=inline, params={"day": "x"}), None)) == [
        "spec.flowSpec: is 293 KiB: at most 256 KiB are allowed"
    ]


def test_a_schedule_that_can_work_has_no_problems():
    template = {"spec": {"flow": {"name": "x"}, "params": {"day": "$(tick.previous.date)", "at": ["$(tick.time)"]}}}
    assert check_schedule(schedule(timeZone="Europe/Berlin", runTemplate=template)) == []


def test_a_schedule_has_the_problems_of_all_its_parts():
    template = {
        "spec": {
            "flowSpec": FLOW,
            "params": {"day": "$(tick.dat)", "n": "x", "m": "$(params.day)", "o": "$(tick.time)"},
        }
    }
    assert texts(check_schedule(schedule(cron=["@daily", "x"], timeZone="Berlin", runTemplate=template))) == [
        "spec.cron[1]: must have five fields, minute hour day-of-month month day-of-week; got 1 in 'x'",
        "spec.timeZone: unknown time zone 'Berlin' (did you mean \"Europe/Berlin\"?)",
        'spec.runTemplate.spec.params.day: column 8: tick has no "dat" (did you mean "date"?): it has time, date, previous',
        'spec.runTemplate.spec.params.m: column 3: there is no "params" here; known names: tick',
        "spec.runTemplate.spec.params.m: the flow has no such param: it has day, n",
        "spec.runTemplate.spec.params.o: the flow has no such param: it has day, n",
    ]


def test_the_constant_params_of_a_schedule_fit_its_inline_flow():
    template = {"spec": {"flowSpec": FLOW, "params": {"day": "$(tick.date)", "n": "x"}}}
    assert texts(check_schedule(schedule(runTemplate=template))) == [
        'spec.runTemplate.spec.params.n: must be a whole number; got the string "x"'
    ]


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({"onMissed": {"within": "5s"}}, "spec.onMissed.within: must be at least 10s; got 5s"),
        ({"onMissed": {"policy": "Latest", "max": 3}}, "spec.onMissed.max: requires policy: All"),
        ({"maxQueued": 2, "onOverlap": "Skip"}, "spec.maxQueued: requires onOverlap: Queue"),
        ({"jitter": "25h"}, "spec.jitter: must be at most 24h; got 25h"),
        ({"interval": {"every": "90s"}}, "spec.interval.every: must be whole minutes"),
        ({"at": ["2026-02-30"]}, "spec.at[0]: '2026-02-30' is not a valid date and time"),
        ({"rrule": ["FREQ=HOURLY"]}, "spec.rrule[0]: FREQ=HOURLY is not supported"),
        ({"startTime": "2026-02-02", "endTime": "2026-02-01"}, "spec.endTime: must not be before startTime"),
    ],
)
def test_a_schedule_that_can_not_work_is_refused_by_field(spec, want):
    template = {"spec": {"flow": {"name": "etl"}}}
    (problem,) = texts(check_schedule(schedule(runTemplate=template, **spec)))
    assert problem.startswith(want)


def test_the_params_of_a_schedules_runs_come_from_the_tick():
    templates = compile_tick_params({"day": "$(tick.date)", "previous": {"x": "at $(tick.previous.date)"}, "n": 1})
    tick = {"time": "2026-11-22T02:30:00+01:00", "date": "2026-11-22", "previous": {"date": "2026-11-21"}}
    assert {name: template.evaluate({"tick": tick}) for name, template in templates.items()} == {
        "day": "2026-11-22",
        "previous": {"x": "at 2026-11-21"},
        "n": 1,
    }
    assert compile_tick_params(None) == {}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (None, "spec: is required"),
        (5, "spec: must be an object; got the number 5"),
        ({}, "spec.tasks: is required"),
        ({"tasks": []}, "spec.tasks: has 0 entries: at least 1 is needed"),
        ({"tasks": [5]}, "spec.tasks[0]: must be an object; got the number 5"),
        ({"tasks": [{"name": "A"}]}, 'spec.tasks[0].name: must be lower-case letters, digits and hyphens, beginning with a letter; got the string "A"'),
        ({"tasks": [{"name": "a" * 64}]}, "spec.tasks[0].name: has 64 characters: at most 63 are allowed"),
        ({"tasks": [{"name": "a", "depnedsOn": []}]}, 'spec.tasks[0].depnedsOn: unknown field (did you mean "dependsOn"?); known fields: name, '),
        ({"tasks": [{"name": "a", "retry": {"limt": 1}}]}, 'spec.tasks[0].retry.limt: unknown field (did you mean "limit"?); known fields: limit, '),
        ({"tasks": [{"name": "a", "env": [{"name": "E", "value": 5}]}]}, "spec.tasks[0].env[0].value: must be a string; got the number 5: put it in quotes"),
        ({"tasks": [{"name": "a", "timeout": "5 minutes"}]}, "spec.tasks[0].timeout: must be a duration of numbers and units h, m, s or ms, as in 90s or 1h30m; got"),
        ({"tasks": [{"name": "a", "retry": {"limit": -1}}]}, "spec.tasks[0].retry.limit: must be at least 0; got the number -1"),
        ({"tasks": [{"name": "a", "retry": {"jitter": "150%"}}]}, "spec.tasks[0].retry.jitter: must be a percentage"),
        ({"tasks": [{"name": "a", "maxParallel": "x"}]}, 'spec.tasks[0].maxParallel: must be a whole number; got the string "x"'),
        ({"tasks": [{"name": "a", "forEach": {"count": [1]}}]}, "spec.tasks[0].forEach.count: must be a whole number or a string; got a list"),
        ({"tasks": [{"name": "a", "resources": {"limits": {"cpu": [1]}}}]}, "spec.tasks[0].resources.limits.cpu: must be a whole number or a string; got a list"),
        ({"tasks": [{"name": "a"}], "params": [{"name": "p", "type": "strin"}]}, 'spec.params[0].type: must be string, integer, number, boolean, array or object; got the string "strin"'),
        ({"tasks": [{"name": "a"}], "params": [{"name": "a-b"}]}, "spec.params[0].name: must be letters, digits and underscores"),
    ],
)  # fmt: skip
def test_a_spec_that_can_not_be_read_is_refused_in_plain_words(spec, want):
    (problem,) = refusals(spec)
    assert problem.startswith(want)


def test_every_problem_is_found_at_once():
    spec = {"tasks": [{"name": "A"}, {"nam": "b"}], "timeout": "x"}
    assert [problem.split(":")[0] for problem in refusals(spec)] == [
        "spec.tasks[0].name",
        "spec.tasks[1].name",
        "spec.tasks[1].nam",
        "spec.timeout",
    ]


@given(st.dictionaries(st.sampled_from(["tasks", "params", "outputs", "defaults", "timeout", "x"]), json_values))
def test_any_value_is_a_spec_or_refused(spec):
    try:
        parse_flow({"spec": spec})
    except InvalidSpecError as error:
        assert all(problem.path.startswith("spec") for problem in error.problems)  # noqa: PT017 - either is fine
