from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.engine.expressions.expression import Expression, Scope, TaskReference, TaskShape, compile_expression
from penstock.errors import ExpressionError
from tests.strategies import json_values

TASKS = {
    "list": TaskShape.PLAIN,
    "list-files": TaskShape.PLAIN,
    "in": TaskShape.PLAIN,
    "true": TaskShape.PLAIN,
    "load": TaskShape.FAN_OUT,
}
TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
SCOPE = Scope(
    frozenset({"params", "tasks", "run", "item", "index"}), frozenset({"day", "in", "files", "options"}), TASKS
)
VALUES = {
    "params": {"day": "2026-11-22", "in": 4, "files": ["a", "b"], "options": {"z": 1, "a": 2}},
    "tasks": {
        "list": {"outputs": {}, "state": "Completed", "reason": None, "exitCode": 0},
        "list-files": {
            "outputs": {"rows": 3, "files": ["x"], "row-count": 5},
            "state": "Completed",
            "reason": None,
            "exitCode": 0,
        },
        "in": {"outputs": None, "state": "Skipped", "reason": "ConditionFalse", "exitCode": None},
        "true": {"outputs": {"in": 1}, "state": "Failed", "reason": "ExitCode", "exitCode": 2},
        "load": {"outputs": [{"rows": 1}, None, {"rows": 2}], "state": "Failed", "reason": None, "exitCode": None},
    },
    "item": {"name": "eu"},
    "index": 1,
    "run": {"name": "r", "namespace": "n", "uid": "u"},
}


def compiled(source: str) -> Expression:
    return compile_expression(source, SCOPE)


def refusal(source: str, scope: Scope = SCOPE) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, scope)
    message = str(caught.value)
    assert "\n" not in message
    return message


def failure(source: str) -> str:
    expression = compiled(source)
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(VALUES)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("source", "want"),
    [
        pytest.param("params.day", "2026-11-22", id="a param"),
        pytest.param("params.in + 1", 5, id="a param whose name is a word of CEL's"),
        pytest.param("has(params.in) && params['in'] == 4", True, id="the same under has()"),
        pytest.param("tasks.list-files.outputs.rows > 0 && params.day != ''", True, id="a task with a hyphen"),
        pytest.param("tasks.list.state", "Completed", id="the task whose name begins the other's"),
        pytest.param("tasks['list-files'].outputs['row-count']", 5, id="keys in brackets"),
        pytest.param("tasks . list-files\n  .outputs\n.rows", 3, id="white space and lines"),
        pytest.param("tasks.true.outputs.in + 1", 2, id="a task and an output named by words of CEL's"),
        pytest.param("tasks.list-files.outputs.rows-1", 2, id="a minus after a number is a minus"),
        pytest.param("'tasks.nope.outputs' + \"x\" // tasks.nope.state", "tasks.nope.outputsx", id="strings, comments"),
        pytest.param("params.files[index]", "b", id="an item by the index"),
        pytest.param("params.files[index - 1]", "a", id="an item by a computed index"),
        pytest.param("params.?day.orValue('x') + run.name", "2026-11-22r", id="an optional with its other value"),
        pytest.param("tasks.load.outputs.filter(o, o != null).map(o, o.rows)", [1, 2], id="outputs of a fan-out"),
        pytest.param("tasks.load.outputs[2].rows", 2, id="outputs of one item"),
        pytest.param("timestamp('2026-01-01T00:00:00Z') + duration('90m')", "2026-01-01T01:30:00Z", id="a timestamp"),
        pytest.param("duration('1h') - duration('500ms')", "3599.5s", id="a duration"),
        pytest.param("{'b': 1, 'a': [null, 1.5, true]}", {"a": [None, 1.5, True], "b": 1}, id="an object"),
        pytest.param("[1, 2].exists(x, x > 1) ? base64.encode(b'ok') : 'no'", "b2s=", id="macros and extensions"),
        pytest.param("cel.bind(x, math.greatest(1, 2), x + x)", 4, id="a variable"),
        pytest.param("'%d rows'.format([3]).upperAscii()", "3 ROWS", id="functions of strings"),
    ],
)
def test_an_expression_has_the_value(source, want):
    assert compiled(source).evaluate(VALUES) == want


def test_an_expression_says_what_it_refers_to():
    expression = compiled(
        "tasks.list-files.outputs.rows > 0 && tasks['in'].state == 'Skipped' && params.day != '' && params.in > 1"
    )
    assert expression.tasks == {TaskReference("list-files", "outputs"), TaskReference("in", "state")}
    assert expression.params == {"day", "in"}
    assert not expression.takes_all_params
    assert compiled("params.size() > 0").takes_all_params
    assert compiled("tasks.list.outputs[params.files[index]]").params == {"files"}


def test_only_the_values_that_an_expression_refers_to_are_needed():
    values = {"tasks": {"list-files": {"outputs": {"rows": 1}}}}
    assert compiled("tasks.list-files.outputs.rows + 1").evaluate(values) == 2


def test_an_object_that_is_only_passed_on_keeps_its_order_and_exact_numbers():
    options = {"z": 1, "a": 2**80, "m": 1e300}
    assert list(compiled("params.options").evaluate({"params": {"options": options}}).items()) == list(options.items())


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("tasks.lst-files.outputs", 'column 7: there is no task "lst-files" (did you mean "list-files"?)'),
        ("1 < tasks['lost'].outputs", 'column 11: there is no task "lost" (did you mean "list"?)'),
        ("tasks.list-files.outptus.x", 'column 18: a task has no "outptus" (did you mean "outputs"?)'),
        ("tasks.list-files", "column 7: a task has no value of its own"),
        ("tasks", "column 1: tasks is not a value by itself"),
        ("size(tasks)", "column 6: tasks is not a value by itself"),
        ("tasks[params.day].state", "is not a value by itself: write tasks.NAME"),
        ("tasks.load.outputs.rows", "column 20: the outputs of load are a list (forEach): write tasks."),
        ("tasks.load.outputs.?rows", "write tasks.load.outputs.map(o, o.rows)"),
        ("params.dya", 'column 8: there is no param "dya" (did you mean "day"?)'),
        ("params['dya']", '"dya"'),
        ("params.?dya.orValue(1)", '"dya" (did you mean "day"?)'),
        ("has(params.dya)", 'column 12: there is no param "dya"'),
        ("parms.day", 'column 1: there is no "parms" here (did you mean "params"?)'),
        ("1 == 1 && foo", 'column 11: there is no "foo" here; known names: index, item, params, run, tasks'),
        ("tick.date", "it exists only in the params of a Schedule's runs"),
        ("run.nme", 'column 5: run has no "nme" (did you mean "name"?): it has name, namespace, uid'),
        ("run.name.x", "column 10: run.name is not an object: it has no fields"),
        ("run.name + 1", "column 10: + cannot be applied to (string, int)"),
        ("tasks.list-files.outputs.row-count", 'column 30: there is no "count" here'),
        ("sze(params.files)", 'column 1: there is no function sze() (did you mean "size"?)'),
        ("params.files.map(tasks, 1)", "column 18: tasks is reserved: choose another variable name"),
        (".params.day", "column 1: a name is missing before the dot"),
        ("1 +", "column 4: the expression ends too early"),
        ("1 + + 2", 'column 5: unexpected "+"'),
        ("tasks.list-files.state == foo", "column 27"),
        ("params.day ==\n  foo", "line 2, column 3"),
        ("'é😀' == foo", "column 9"),
        ('params.day + "x', 'column 14: the string that starts with " here is not closed'),
        ("", "empty"),
        ("  \n ", "empty"),
        ("params.?day", "its value is optional"),
        ("in", "column 1"),
        ("'a' + 1", "column 5: + cannot be applied to (string, int)"),
        ("1 + " * 40 + "1", "nested too deeply"),
        ("(" * 50 + "1" + ")" * 50, "nested too deeply"),
        ("'" + "x" * 5000 + "'", "5002 characters: at most 4096"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_where_it_stands(source, want):
    assert want in refusal(source)


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("tasks.list-files.outputs.rowz", '.list-files.outputs has no "rowz" (did you mean "rows"?): it has rows'),
        ("tasks.list-files.outputs.rowz > 0", 'tasks.list-files.outputs has no "rowz"'),
        ("tasks.list-files.outputs.rows.x > 0", "tasks.list-files.outputs.rows is the number 3: it has no .x"),
        ("tasks.in.outputs.rows == 1", "tasks.in.outputs is null: it has no .rows"),
        ("tasks.list.outputs.x", 'tasks.list.outputs has no "x": it is empty'),
        ("params.files[7]", "params.files has 2 items: there is no [7]"),
        ("params.files[7] + 'x'", "params.files has 2 items: there is no [7]"),
        ("params.files.day", "params.files is a list: its indexes are whole numbers"),
        ("item[0]", "item is an object: its keys are strings; got the number 0"),
        ("has(params.day) ? 1 / 0 : 2", "divide by zero"),
        ("params.day + 1", "+ cannot be applied to (string, int)"),
        ("params.day ? 1 : 2", "neither true nor false"),
        ("9223372036854775807 + params.in", "overflow"),
        ("b'x'", "bytes"),
        ("type(1)", "a type"),
        ("1.0 / 0.0", "inf"),
        ("{1: 2}", "keys of objects must be strings"),
        ("18446744073709551615u", "does not fit into 64 bits"),
        (f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, {TEN}.map(d, a))))", "more than 10,000"),
        ("params.day.matches('(')", "invalid regular expression"),
    ],
)  # fmt: skip
def test_an_expression_without_a_value_says_why(source, want):
    assert want in failure(source)


@pytest.mark.parametrize("source", ["{'a': optional.of(1)}", "[params.?day]", "dyn({'a': dyn(params.?day)})"])
def test_an_optional_inside_a_value_is_an_error_and_no_crash(source):
    with pytest.raises(ExpressionError, match="optional"):
        compiled(source).evaluate(VALUES)


@pytest.mark.parametrize(
    "source",
    [
        "params.big.replace('x', params.text)",
        "params.list.map(i, params.big).join('')",
        "params.list.map(i, params.big + params.big)",
        "'x'" + f".replace('x', '{'x' * 60}')" * 3 + f".replace('x', '{'x' * 400}')",
    ],
)
def test_an_expression_can_not_take_all_memory(source):
    scope = Scope(frozenset({"params"}))
    values = {"params": {"big": "x" * 60_000, "text": "x" * 2_000, "list": list(range(1500))}}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ExpressionError, match="of memory that an expression may use"):
        compile_expression(source, scope).evaluate(values)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_an_expression_can_not_copy_a_value_without_end():
    assert "used too often" in refusal("[[1, 1]]" + ".map(a, [a, a, a, a, a, a, a, a, a, a])" * 6 + " == []")


def test_values_of_null_cost_python_nothing():
    """Python before 3.12 counts references to None, and ends the process when a library has spent them all."""
    expression = compiled("[null, params.options, {'a': null}, true ? null : params.options]")
    values = {"params": {"options": None}}
    before = sys.getrefcount(None)
    for _ in range(1000):
        expression.evaluate(values)
    assert sys.getrefcount(None) > before - 500


@pytest.mark.parametrize("value", [2**63, "a\0b", -(2**63) - 1])
def test_a_value_that_cel_would_take_wrongly_is_an_error(value):
    with pytest.raises(ExpressionError):
        compiled("[params.options]").evaluate({"params": {"options": [{"x": value}]}})


def test_a_value_nested_too_deeply_is_an_error():
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested deeper than 64 levels"):
        compiled("[params.options]").evaluate({"params": {"options": deep}})


def test_a_condition_must_be_true_or_false():
    assert compiled("index == 1").evaluate_condition(VALUES) is True
    with pytest.raises(ExpressionError, match="must be true or false; got"):
        compiled("params.day").evaluate_condition(VALUES)


def test_without_known_names_any_task_and_param_will_do():
    scope = Scope(frozenset({"params", "tasks"}))
    expression = compile_expression("tasks.any-thing.outputs.x == params.y", scope)
    assert expression.tasks == {TaskReference("any-thing", "outputs")}
    assert expression.evaluate({"tasks": {"any-thing": {"outputs": {"x": 1}}}, "params": {"y": 1}}) is True


@given(st.text(st.sampled_from("tasks.paramsitem\"'`()[]{}?:,-+$ \n\\/0u1e5x=&|!rb#@é"), max_size=60))
@example("tasks.")
@example("tasks.[")
@example("params[")
@example("params.?")
@example("item[item[item[item[item[item[item[item[item[item[index]]]]]]]]]]")
@example("[1].map(")
@example("[1].map(x")
@example("`")
@example("params.`")
@example("'''")
def test_any_text_compiles_or_is_refused(text):
    try:
        expression = compile_expression(text, SCOPE)
    except ExpressionError:
        return
    with contextlib.suppress(ExpressionError):
        json.dumps(expression.evaluate(VALUES), allow_nan=False)


@given(json_values.filter(lambda value: "\\u0000" not in json.dumps(value)))
def test_what_goes_through_cel_comes_out_the_same(value):
    scope = Scope(frozenset({"params"}))
    assert compile_expression("[params.x][0]", scope).evaluate({"params": {"x": value}}) == value


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("tasks.list-files.?outputs.?rows.orValue(0)", 3),
        ("tasks.list-files.?outputs.?nothing.orValue(0)", 0),
        ("tasks.load.?outputs[?index].orValue(null)", None),
        ("tasks.load.?outputs.hasValue() && tasks.load.state == 'Failed'", True),
    ],
)
def test_optional_outputs_are_there_or_not(source, want):
    expression = compiled(source)

    tasks: Any = VALUES["tasks"]
    without = {name: {key: each for key, each in task.items() if key != "outputs"} for name, task in tasks.items()}
    assert expression.evaluate(VALUES) == want
    assert not expression.evaluate({**VALUES, "tasks": without})
    assert {reference.attribute for reference in expression.tasks} <= {"?outputs", "state"}
