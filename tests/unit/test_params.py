from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.flow import Param
from penstock.engine.compiler.params import MAX_PARAMS_BYTES, check_params, resolve_params
from penstock.errors import InvalidSpecError
from tests.strategies import json_values


def params(*declarations: dict[str, Any]) -> list[Param]:
    return [Param.model_validate(declaration) for declaration in declarations]


def problems(declarations: list[Param] | None, given_values: Any, **options: Any) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        resolve_params(declarations, given_values, **options)
    return [str(problem) for problem in caught.value.problems]


DAY = {"name": "day", "description": "ISO date"}
REGIONS = {"name": "regions", "type": "array", "default": ["eu"]}


def test_a_run_gets_what_it_gives_and_defaults_for_the_rest():
    assert resolve_params(params(DAY, REGIONS), {"day": "x"}) == {"day": "x", "regions": ["eu"]}
    assert resolve_params(None, None) == {}


def test_values_come_in_the_order_of_the_declarations():
    declared = params({"name": "b", "default": ""}, {"name": "a", "default": ""})
    assert list(resolve_params(declared, {"a": "1", "b": "2"})) == ["b", "a"]


def test_every_problem_is_found_at_once():
    assert problems(params(DAY, {**DAY, "name": "n", "type": "integer"}), {"dya": "x", "n": "3"}) == [
        'spec.params.dya: the flow has no such param (did you mean "day"?): it has day, n',
        "spec.params.day: is required: the flow needs a string (ISO date)",
        'spec.params.n: must be a whole number; got the string "3"',
    ]


def test_a_path_and_names_whose_values_come_later_can_be_given():
    declared = params({"name": "n", "type": "integer"})
    assert resolve_params(declared, {"n": "$(tick.time)"}, later=["n"]) == {"n": "$(tick.time)"}
    assert problems(declared, {}, path="spec.x")[0].startswith("spec.x.n: is required")


@pytest.mark.parametrize(
    ("declaration", "value", "want"),
    [
        pytest.param({"type": "integer"}, 3, 3, id="an integer"),
        pytest.param({"type": "integer"}, 3.0, 3, id="a number without a fraction is an integer"),
        pytest.param({"type": "number"}, 3, 3, id="an integer is a number"),
        pytest.param({"type": "boolean"}, False, False, id="a boolean"),
        pytest.param({"type": "object"}, {"a": [1]}, {"a": [1]}, id="an object"),
        pytest.param({"default": "x"}, None, "x", id="null is nothing given"),
        pytest.param({"pattern": "^[a-z]+$"}, "abc", "abc", id="a match"),
        pytest.param({"pattern": "b"}, "abc", "abc", id="a match somewhere"),
        pytest.param({"type": "number", "minimum": 1, "maximum": 2}, 2, 2, id="a bound is within"),
        pytest.param({"type": "integer", "enum": [1, 2.0]}, 2, 2, id="numbers of an enum"),
    ],
)
def test_a_value_fits(declaration, value, want):
    got = resolve_params(params({"name": "p", **declaration}), {"p": value})["p"]
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("declaration", "value", "want"),
    [
        ({}, 3, "must be a string; got the number 3: put it in quotes"),
        ({}, None, "is required: the flow needs a string"),
        ({"type": "integer"}, True, "must be a whole number; got true"),
        ({"type": "number"}, False, "must be a number; got false"),
        ({"type": "integer"}, 3.5, "must be a whole number; got the number 3.5"),
        ({"type": "integer"}, 2**63, "must fit into 64 bits; got 9223372036854775808: use a string"),
        ({"type": "boolean"}, "true", 'must be a boolean; got the string "true"'),
        ({"type": "array"}, {}, "must be an array; got an object"),
        ({"type": "object"}, [], "must be an object; got a list"),
        (
            {"enum": ["dev", "prod"]},
            "prd",
            'must be one of "dev", "prod"; got the string "prd" (did you mean "prod"?)',
        ),
        ({"type": "integer", "enum": [1]}, 2, "must be one of 1"),
        ({"type": "integer", "minimum": 1}, 0, "must be at least 1; got 0"),
        ({"type": "number", "maximum": 1}, 1.5, "must be at most 1; got 1.5"),
        ({"pattern": "^[a-z]+$"}, "a1", 'must match ^[a-z]+$; got the string "a1"'),
    ],
)
def test_a_value_that_does_not_fit_is_refused(declaration, value, want):
    (problem,) = problems(params({"name": "p", **declaration}), {"p": value})
    assert problem.startswith("spec.params.p: ")
    assert want in problem


def test_a_pattern_takes_linear_time():
    declared = params({"name": "p", "pattern": "^(a+)+$"})
    assert "must match" in problems(declared, {"p": "a" * 50_000 + "!"})[0]


def test_a_value_nested_too_deeply_is_refused():
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    assert "nested deeper than 64 levels" in problems(params({"name": "p", "type": "array"}), {"p": deep})[0]


@given(
    st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]),
    json_values.filter(lambda value: value is not None),
)
def test_a_value_fits_or_is_refused(kind, value):
    try:
        resolved = resolve_params(params({"name": "p", "type": kind}), {"p": value})
    except InvalidSpecError as error:
        assert error.problems[0].path == "spec.params.p"  # noqa: PT017 - either is fine, and this is half of it
    else:
        assert resolved == {"p": value}


@pytest.mark.parametrize(
    ("declaration", "want"),
    [
        ({"enum": ["a", None]}, "spec.params[0].enum[1]: must be a string; got null"),
        ({"default": 3}, "spec.params[0].default: must be a string; got the number 3: put it in quotes"),
        ({"enum": ["a", 1]}, "spec.params[0].enum[1]: must be a string; got the number 1: put it in quotes"),
        ({"enum": ["a"], "default": "b"}, 'spec.params[0].default: must be one of "a"; got the string "b"'),
        ({"pattern": "^a", "default": "b"}, 'spec.params[0].default: must match ^a; got the string "b"'),
        ({"type": "integer", "minimum": 3, "default": 2}, "spec.params[0].default: must be at least 3; got 2"),
        (
            {"type": "integer", "minimum": 3, "maximum": 2},
            "spec.params[0].minimum: must be at most the maximum, 2; got 3",
        ),
        ({"minimum": 3}, "spec.params[0].minimum: applies only to numbers; the type is string"),
        ({"type": "array", "pattern": "a"}, "spec.params[0].pattern: applies only to strings; the type is array"),
        ({"pattern": "(?=a)"}, "spec.params[0].pattern: is not a valid RE2 regular expression"),
        ({"pattern": r"(a)\1"}, "spec.params[0].pattern: is not a valid RE2 regular expression"),
        ({"pattern": "(", "default": "x"}, "spec.params[0].pattern: is not a valid RE2 regular expression"),
    ],
)
def test_a_declaration_that_can_not_work_is_refused(declaration, want):
    (problem,) = check_params(params({"name": "p", **declaration}))
    assert str(problem).startswith(want)


def test_a_name_is_declared_once():
    (problem,) = check_params(params(DAY, REGIONS, DAY))
    assert str(problem) == 'spec.params[2].name: "day" is already the name of spec.params[0]'


def test_sound_declarations_have_no_problems():
    assert check_params(params(DAY, REGIONS, {"name": "n", "type": "integer", "default": None, "minimum": 1})) == []


def test_a_param_that_is_not_required_may_be_left_out_and_has_no_value():
    declared = params({**DAY, "required": False}, REGIONS)

    assert resolve_params(declared, {}) == {"regions": ["eu"]}
    assert resolve_params(declared, {"day": None}) == {"regions": ["eu"]}
    assert resolve_params(declared, {"day": "x"}) == {"day": "x", "regions": ["eu"]}
    assert problems(declared, {"day": 3}) == ["spec.params.day: must be a string; got the number 3: put it in quotes"]


def test_a_param_with_a_default_is_not_required():
    assert [str(problem) for problem in check_params(params({**REGIONS, "required": True}))] == [
        "spec.params[0].required: a param with a default cannot be required: remove one of the two"
    ]


def test_the_values_of_a_run_are_bounded_together():
    params = [Param(name="a", default=""), Param(name="b", default="")]
    half = "x" * (MAX_PARAMS_BYTES // 2)
    assert resolve_params(params, {"a": half})["a"] == half
    with pytest.raises(InvalidSpecError) as caught:
        resolve_params(params, {"a": half, "b": half})
    assert "spec.params: are 512 KiB: at most 512 KiB are allowed in all" in str(caught.value)
    # A run of an earlier version ends as it began.
    assert resolve_params(params, {"a": half, "b": half}, is_stored=True)["b"] == half
