"""What the API server stores and nothing can calculate with: values of any depth, durations and times of any length."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.api.duration import LONGEST_S, duration_s
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import parse_backfill, parse_flow, parse_run, parse_schedule
from penstock.errors import InvalidSpecError
from penstock.kube.kinds.flow_run import DECODER
from penstock.kube.nesting import MAX_LEVELS, cut_depth, decode_json

TASK = {"name": "main", "image": "busybox"}
TEMPLATE = {"spec": {"flow": {"name": "etl"}}}


def nested(levels: int, kind: type = list) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


def problems(parse: Any, spec: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        parse({"spec": spec})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("parse", "spec", "path"),
    [
        pytest.param(parse_run, {"flow": {"name": "f"}, "params": {"p": nested(1500)}}, "spec.params.p[0]", id="param"),
        pytest.param(
            parse_flow,
            {"tasks": [TASK], "params": [{"name": "p", "type": "array", "default": nested(1500)}]},
            "spec.params[0].default[0]",
            id="default of a param",
        ),
        pytest.param(
            parse_flow,
            {"tasks": [{**TASK, "podTemplate": {"spec": nested(1500, dict)}}]},
            "spec.tasks[0].podTemplate.spec.a.a.a.a",
            id="podTemplate",
        ),
        pytest.param(
            parse_flow, {"tasks": [TASK], "outputs": {"o": nested(90)}}, "spec.outputs.o[0]", id="outputs of a flow"
        ),
        pytest.param(
            parse_schedule,
            {"cron": ["@daily"], "runTemplate": {"spec": {"flow": {"name": "f"}, "params": {"p": nested(500)}}}},
            "spec.runTemplate.spec.params.p[0]",
            id="template of a Schedule",
        ),
    ],
)
def test_a_value_that_is_nested_too_deeply_is_refused_with_its_path(parse, spec, path):
    assert problems(parse, spec) == [f"{path}: is nested too deeply: a spec has at most 80 levels"]


def test_one_value_named_many_times_is_not_walked_many_times():
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    assert parse_run({"spec": {"flow": {"name": "f"}, "params": {"p": value}}}).params == {"p": value}


@pytest.mark.parametrize("levels", [900, 1500, 9000])
def test_json_of_any_depth_is_decoded_and_what_is_too_deep_in_it_stays_too_deep(levels):
    text = b'{"metadata":{"name":"r"},"spec":{"params":{"a":"[{\\"","p":' + b"[" * levels + b"]" * levels
    text += b'},"priority":3}}'
    run = decode_json(DECODER, text)
    assert (run.metadata.name, run.params["a"], run.priority) == ("r", '[{"', 3)
    assert problems(parse_run, run.spec)[0].startswith("spec.params.p[0]: is nested too deeply")


def test_json_is_cut_where_it_is_too_deep_and_nowhere_else():
    flat = msgspec.json.encode([{"n": [index]} for index in range(1000)])
    assert cut_depth(flat) is flat
    fits, too_deep = json.dumps(nested(MAX_LEVELS)).encode(), json.dumps(nested(MAX_LEVELS + 1)).encode()
    text = b"[%s, %s, 7]" % (fits[1:-1], too_deep[1:-1])
    assert json.loads(cut_depth(text)) == [nested(MAX_LEVELS)[0], json.loads(cut_depth(too_deep))[0], 7]


def test_bytes_that_are_not_text_are_replaced_at_any_depth():
    decoder = msgspec.json.Decoder(dict[str, Any])
    assert decode_json(decoder, b'{"a\xff": "\xc3\xa9\xfe"}') == {
        "a\N{REPLACEMENT CHARACTER}": "\u00e9\N{REPLACEMENT CHARACTER}"
    }
    deep = b"[" * 20_000 + b"]" * 20_000
    assert decode_json(decoder, b'{"a": "\xff", "b": %s}' % deep)["a"] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("parse", "spec", "path"),
    [
        pytest.param(
            parse_flow, {"tasks": [{**TASK, "retry": {"delay": "87841h"}}]}, "spec.tasks[0].retry.delay", id="retry"
        ),
        pytest.param(
            parse_flow,
            {"tasks": [{**TASK, "retry": {"nodeLostAfter": "999999999h"}}]},
            "spec.tasks[0].retry.nodeLostAfter",
            id="a duration or Never",
        ),
        pytest.param(parse_flow, {"tasks": [TASK], "timeout": "999999999h"}, "spec.timeout", id="timeout of a flow"),
        pytest.param(
            parse_flow, {"tasks": [TASK], "retention": {"failed": "99999h"}}, "spec.retention.failed", id="retention"
        ),
        pytest.param(
            parse_run, {"flow": {"name": "f"}, "timeout": "87840h1ms"}, "spec.timeout", id="a millisecond more"
        ),
        pytest.param(
            parse_schedule,
            {"cron": ["@daily"], "onMissed": {"within": "999999999h"}, "runTemplate": TEMPLATE},
            "spec.onMissed.within",
            id="within",
        ),
    ],
)
def test_a_duration_of_more_than_ten_years_is_refused(parse, spec, path):
    (problem,) = problems(parse, spec)
    assert problem.startswith(f"{path}: must be at most 87840h (ten years); got ")


def test_a_duration_that_a_run_began_with_is_limited():
    spec = {"flowSpec": {"tasks": [{**TASK, "retry": {"limit": 1, "delay": "999999999h", "maxDelay": "999999999h"}}]}}
    assert problems(parse_run, spec)
    flow = parse_run({"spec": spec}, has_begun=True).flow_spec
    assert flow is not None
    assert compile_plan(flow).tasks[0].retry.delay_s == LONGEST_S
    assert duration_s("999999999h") == LONGEST_S


@pytest.mark.parametrize(
    ("parse", "spec", "path"),
    [
        pytest.param(
            parse_run,
            {"flow": {"name": "f"}, "scheduledTime": "0001-01-01T00:00:00Z"},
            "spec.scheduledTime",
            id="scheduledTime",
        ),
        pytest.param(
            parse_schedule,
            {"cron": ["@daily"], "startTime": "0001-01-01", "runTemplate": TEMPLATE},
            "spec.startTime",
            id="startTime",
        ),
        pytest.param(
            parse_schedule,
            {"cron": ["@daily"], "endTime": "9999-12-31", "runTemplate": TEMPLATE},
            "spec.endTime",
            id="endTime",
        ),
        pytest.param(parse_schedule, {"at": ["1969-12-31"], "runTemplate": TEMPLATE}, "spec.at[0]", id="at"),
        pytest.param(
            parse_schedule,
            {"interval": {"every": "1h", "anchor": "0000-01-01"}, "runTemplate": TEMPLATE},
            "spec.interval.anchor",
            id="anchor",
        ),
        pytest.param(
            parse_backfill,
            {"schedule": {"name": "s"}, "from": "2026-01-01T00:00:00Z", "to": "9999-12-31T23:59:59-14:00"},
            "spec.to",
            id="the end of a Backfill",
        ),
    ],
)
def test_a_time_that_cannot_be_calculated_with_is_refused(parse, spec, path):
    (problem,) = problems(parse, spec)
    assert problem.startswith(f"{path}: must be between the years 1970 and 9998; got ")


@pytest.mark.parametrize(
    ("time", "want"),
    [(1e15, "9999-12-31T23:59:59Z"), (float("inf"), "9999-12-31T23:59:59Z"), (-1e15, "0001-01-01T00:00:00Z")],
)
def test_a_time_beyond_the_calendar_is_written_as_its_end(time, want):
    assert rfc3339(time) == want
