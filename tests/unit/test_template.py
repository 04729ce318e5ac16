from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.expressions.expression import Scope, TaskReference, TaskShape
from penstock.engine.expressions.template import compile_condition, compile_template, compile_value
from penstock.errors import ExpressionError
from tests.strategies import json_values

SCOPE = Scope(frozenset({"params", "tasks", "run"}), None, {"list-files": TaskShape.PLAIN})
VALUES = {
    "params": {
        "day": "2026-11-22",
        "n": 3,
        "f": 3.0,
        "g": 0.25,
        "t": True,
        "z": None,
        "l": ["é", 1.0, None],
        "o": {"b": {}},
    },
    "tasks": {"list-files": {"outputs": {"rows": 3}, "state": "Completed"}},
}


def kubelet_expands(text: str, variables: dict[str, str]) -> str:
    """Expand as the kubelet does: `$$` is `$`, `$(NAME)` a variable that exists, anything else stands for itself."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda match: "$" if match[1] == "$" else variables.get(match[2], match[0]),
        text,
    )


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("$(params.n)", 3, id="one whole expression keeps its type"),
        pytest.param("$(params.l)", ["é", 1.0, None], id="so does a list"),
        pytest.param("$(params.z)", None, id="and null"),
        pytest.param(" $(params.n)", " 3", id="anything around it makes it a text"),
        pytest.param("a$(params.n)b$(params.day)c", "a3b2026-11-22c", id="several expressions"),
        pytest.param("$(params.f)/$(params.g)/$(params.t)/$(params.z)/", "3/0.25/true//", id="scalars in a text"),
        pytest.param("=$(params.l)$(params.o)", '=["é",1,null]{"b":{}}', id="arrays and objects are compact JSON"),
        pytest.param("$(')' + \"(\")", ")(", id="parentheses in strings don't count"),
        pytest.param("$(r'\\d)' + '''a)'b''')", "\\d)a)'b", id="nor in raw and triple-quoted ones"),
        pytest.param("$((1 + 2) * 3)", 9, id="balanced parentheses"),
        pytest.param("$(params.n // )\n)", 3, id="nor in comments"),
        pytest.param("$$(params.n)", "$(params.n)", id="an escaped expression"),
        pytest.param("$$$(params.n)", "$3", id="a literal dollar before an expression"),
        pytest.param("$$$$(params.n) $$ $ $x", "$$(params.n) $$ $ $x", id="dollars elsewhere stay"),
        pytest.param("", "", id="nothing"),
        pytest.param("$", "$", id="a dollar"),
        pytest.param("100% (of $5)", "100% (of $5)", id="no expression"),
    ],
)
def test_a_template_has_the_value(text, want):
    got = compile_template(text, SCOPE).evaluate(VALUES)
    assert got == want
    assert type(got) is type(want)


def test_rendering_always_gives_a_text():
    assert compile_template("$(params.n)", SCOPE).render(VALUES) == "3"
    assert compile_template("$(params.z)", SCOPE).render(VALUES) == ""
    assert compile_template("$(params.o)", SCOPE).render(VALUES) == '{"b":{}}'


def test_a_template_says_what_it_refers_to():
    template = compile_template("$(tasks.list-files.outputs.rows)/$(tasks.list-files.state)/$(params.n)", SCOPE)
    assert template.tasks == {TaskReference("list-files", "outputs"), TaskReference("list-files", "state")}
    assert template.params == {"n"}
    assert not template.is_constant
    assert compile_template("$$(params.n)", SCOPE).is_constant


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a $(params.n", "column 3: this $( is not closed; for a literal $( write $$("),
        ("$($(", "column 1: this $( is not closed"),
        ("x\ny $(", "line 2, column 3"),
        ("a $(params.n + 'x)", "column 16: the string"),
        ("a $(tasks.lst-files.state)", 'column 11: there is no task "lst-files"'),
        ("$(params.n) $(foo)", 'column 15: there is no "foo" here'),
        ("$()", "column 3: the expression is empty"),
        ("$(" + "x" * 5000 + ")", "at most 4096"),
        ("$(" * 50_000, "not closed"),
        ("$(" + "(" * 100_000, "not closed"),
        ("$('" + "\\" * 99_999, "not closed"),
    ],
)
def test_what_can_not_work_is_refused_with_its_column(text, want):
    with pytest.raises(ExpressionError) as caught:
        compile_template(text, SCOPE)
    assert want in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("$(HOME)/x", "$(HOME)/x", id="a variable is left to the kubelet"),
        pytest.param("$$(HOME)", "$$(HOME)", id="an escape is left as it stands"),
        pytest.param("$$(params.n)", "$$(params.n)", id="for the kubelet to undo"),
        pytest.param("$$$(params.n)$$", "$$3$$", id="literal dollars stay"),
        pytest.param("$(params.x)", "$$(DB_PASSWORD) $$$$(HOME)", id="those of values are doubled"),
    ],
)
def test_for_the_kubelet_only_values_are_shielded(text, want):
    values = {"params": {"n": 3, "x": "$(DB_PASSWORD) $$(HOME)"}}
    assert compile_template(text, SCOPE, kubelet=True).render(values) == want


@pytest.mark.parametrize("name", ["item", "index", "tick"])
def test_what_is_ours_is_not_left_to_the_kubelet(name):
    with pytest.raises(ExpressionError, match=f'there is no "{name}" here: it exists only'):
        compile_template(f"$({name})", Scope(frozenset({"run"})), kubelet=True)


@given(st.text(st.sampled_from("$()HOMEx ")), st.text(st.sampled_from("$()HOMEx ")), st.text(st.sampled_from("$()HOM")))
def test_a_value_never_names_a_variable(before, value, after):
    text = f"{before.replace('$(', '$$(')}$(params.x){after.replace('$(', '$$(')}"
    try:
        template = compile_template(text, Scope(frozenset({"params"})), kubelet=True)
    except ExpressionError:
        return
    if template.is_constant:
        return
    shielded = kubelet_expands(template.render({"params": {"x": value}}), {"HOME": "secret", "HOM": "secret"})
    assert "secret" not in shielded
    assert value in shielded


@given(st.text(max_size=50) | st.text(st.sampled_from("$()'\"\\ar`{}#/\n"), max_size=50))
def test_any_text_compiles_or_is_refused(text):
    for kubelet in (False, True):
        with contextlib.suppress(ExpressionError):
            template = compile_template(text, SCOPE, kubelet=kubelet)
            assert not (template.is_constant and kubelet) or template.render({}) == text


@given(json_values.filter(lambda value: "$(" not in json.dumps(value)))
def test_a_value_without_expressions_is_itself(value):
    template = compile_value(value, SCOPE)
    assert template.is_constant
    assert template.evaluate({}) is value


def test_the_strings_of_a_value_are_templates_at_any_depth():
    template = compile_value({"a": ["$(params.n)", {"$(params.n)": "n=$(params.n)"}], "b": 1, "c": "$$(x)"}, SCOPE)
    assert template.evaluate(VALUES) == {"a": [3, {"$(params.n)": "n=3"}], "b": 1, "c": "$(x)"}
    assert template.params == {"n"}


def test_an_error_in_a_value_says_where_it_is():
    with pytest.raises(ExpressionError, match=r"^\.a\[1\]\.b: column 3: there is no"):
        compile_value({"a": [1, {"b": "$(foo)"}]}, SCOPE)


def test_a_value_nested_too_deeply_is_refused():
    deep: list = ["$(params.n)"]
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_value(deep, SCOPE)


@pytest.mark.parametrize("source", ["params.n > 1", "$(params.n > 1)", "  $( params.n > 1 )\n", "params.t"])
def test_a_condition_is_bare_or_wrapped(source):
    assert compile_condition(source, SCOPE).evaluate_condition(VALUES) is True


@pytest.mark.parametrize("source", ["1 + 2", "$('x')", "params.n > 1) || $(true", "$(params.n) > 1"])
def test_an_invalid_condition_is_refused(source):
    with pytest.raises(ExpressionError):
        compile_condition(source, SCOPE)
