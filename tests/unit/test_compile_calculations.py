"""Defaults, calculations, texts and loops in the function of a flow, and flows in it that call no task."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import re
import warnings
from typing import Any

import pytest

from penstock import flow, task
from penstock.authoring.compilation import CompileWarning, compile_flow, compile_flows
from penstock.errors import CompileError
from tests.unit.compiled_flows import as_processes, in_process, manifest, write

TASKS = """
import datetime as dt
from decimal import Decimal

REGIONS = ["eu", "us"]

@task
def one():
    return 1

@task
def two():
    return [1, 2]

@task
def show(*values):
    return [str(each) for each in values]

@task
def add(a, b):
    return a + b
"""


@pytest.mark.parametrize(
    ("signature", "body", "params"),
    [
        pytest.param("n: int = 3", 'return show(f"{n:03d} {n!r} {n}")', {"n": 7}, id="an f-string"),
        pytest.param("day: dt.date = dt.date(2026, 1, 2)", 'return show(f"{day:%d.%m.}")', {}, id="a format of a date"),
        pytest.param(
            "price: Decimal = Decimal('1.10')", "return show(price, price * 2)", {"price": "2.50"}, id="a decimal"
        ),
        pytest.param(
            "n: int = 3", "return show(n * 2 - 1, 7 // n, 7 % n, -n, 2 ** n, n / 2)", {"n": 2}, id="arithmetic"
        ),
        pytest.param("n: int = 3", "return show(n > 2, n == 3, n != 3, 1 <= n)", {"n": 2}, id="comparisons"),
        pytest.param(
            "words: list[str]", 'return show(len(words), words + ["x"], max(words))', {"words": ["a", "b"]}, id="lists"
        ),
        pytest.param(
            "n: int = 3", "r = one(); return show(r + n, f'{r}-{n}', str(r), r > n, (r + n) * 2)", {}, id="results"
        ),
        pytest.param(
            "n: int = 3", "r = one.submit().result(); r += n; return show(r)", {}, id="an augmented assignment"
        ),
        pytest.param("word: str = 'a'", "return show(word + '-b', 'b-' + word, word * 2)", {"word": "ü"}, id="texts"),
        pytest.param(
            "x: str | None = None", "if x is None:\n        x = 'd'\n    return show(x)", {"x": "e"}, id="a default"
        ),
        pytest.param(
            "x: str | None = None",
            "if x is None:\n        x = 'd'\n    return show(x)",
            {},
            id="a default that is used",
        ),
        pytest.param(
            "x: str | None = None", "return show('d' if x is None else x, x or 'e')", {}, id="defaults in expressions"
        ),
        pytest.param(
            "x: str | None = None", "return show(x if x is not None else 'd', x or 'e')", {"x": ""}, id="an empty text"
        ),
        pytest.param(
            "x: list[str] | None = None",
            "if x is None:\n        x = REGIONS\n    return show.map(x).result()",
            {"x": ["a", "b", "c"]},
            id="a default that is mapped over",
        ),
        pytest.param(
            "x: list[str] | None = None",
            "if x is None:\n        x = REGIONS\n    return show.map(x).result()",
            {},
            id="the same when it is used",
        ),
        pytest.param(
            "x: dt.date | None = None",
            "if x is None:\n        x = dt.date(2026, 1, 2)\n    return show(x, f'{x:%Y}')",
            {"x": "2025-03-04"},
            id="a default that is not JSON",
        ),
        pytest.param(
            "x: dict[str, int] | None = None",
            "if x is None:\n        x = {'b': 1, 'a': 2}\n    return show(x['a'], list_of(x))",
            {},
            id="a dictionary",
        ),
        pytest.param(
            "x: str = 'a'",
            "if x is None:\n        x = str(one())\n    return show(x)",
            {},
            id="a param that is never None",
        ),
        pytest.param("", "return [show(f'{r}') for r in REGIONS]", {}, id="a loop over a literal list"),
        pytest.param("", "return [show(n, name) for n, name in enumerate(REGIONS)]", {}, id="a loop over pairs"),
    ],
)
def test_what_a_flow_calculates_is_the_same_in_one_process_and_in_pods(tmp_path, signature, body, params):
    body = body.replace(":  ", ":\n        ").replace("; ", "\n    ").replace("list_of(x)", "sorted(x)")
    file = write(tmp_path, f"{TASKS}\n@flow\ndef etl({signature}):\n    {body}\n")
    call = f"etl(**{params!r})"

    run = as_processes(file, params)

    assert run.state == "Completed", run.tasks
    assert run.outputs["result"] == in_process(file, call)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("return show(SETTING or await later())", id="or"),
        pytest.param("x = SETTING; x = await later() if x is None else x; return show(x)", id="a conditional"),
        pytest.param("x = SETTING; if x is None:  x = await later(); return show(x)", id="an assignment"),
        pytest.param("if SETTING or (x := 5):  return show(x)", id="an assignment in an expression"),
        pytest.param("return show(SETTING or [x async for x in elements()])", id="an asynchronous list"),
    ],
)
def test_what_only_the_function_itself_can_do_stays_in_it(tmp_path, body):
    body = body.replace(":  ", ":\n        ").replace("; ", "\n    ")
    before = """
SETTING = None

@task
async def later():
    return 4

async def elements():
    yield 4
"""
    file = write(tmp_path, f"{TASKS}{before}\n@flow\nasync def etl():\n    {body}\n")
    assert [each["name"] for each in manifest(file)["spec"]["tasks"]][-1] == "show"


@task
def take(*values: Any) -> Any:
    return values


@task
def load(day: str) -> int:
    return len(day)


def settled(
    n: int = 2,
    words: list[str] = ["a", "b"],  # noqa: B006 - what is tested
    more: list[str] | None = None,
    deep: dict[str, Any] = {"c": ["y"]},  # noqa: B006 - what is tested
):
    if more is None:
        more = ["x"]
    for word in words:
        load.submit(word)
    for word in more + deep["c"]:
        load.submit(word)
    for _ in range(n - 1 + len(words)):
        take.submit()


def test_a_loop_over_a_default_is_unrolled_and_the_param_is_fixed():
    with pytest.warns(CompileWarning) as caught:
        made = compile_flow(flow(settled), entrypoint="tests:flow", image="i")

    assert [each["name"] for each in made["spec"]["tasks"]] == [
        "load",
        "load-2",
        "load-3",
        "load-4",
        "take",
        "take-2",
        "take-3",
    ]
    assert "params" not in made["spec"]
    text = " ".join(str(each.message) for each in caught)
    line = settled.__code__.co_firstlineno + 8
    assert f"test_compile_calculations.py:{line}: param 'words' of flow 'settled'" in text
    assert all(f"param {name!r} of" in text for name in ("n", "more", "deep"))


@flow
def loops(words: list[str] = ["a"]):  # noqa: B006 - what is tested
    for word in words:
        load(word)


def test_a_child_is_not_given_a_param_that_is_fixed():
    @flow
    def etl():
        loops(["b"])

    with (
        pytest.warns(CompileWarning),
        pytest.raises(
            CompileError, match=r"calculations\.py:\d+: the param 'words' of flow 'loops' is fixed to its default"
        ),
    ):
        compile_flows(etl, entrypoint="tests:flow")


@flow
def label(day: str, n: int = 1) -> str:
    words = [day] * n
    return "-".join(words).upper()


def test_a_flow_in_a_flow_that_calls_no_task_is_one_pod(tmp_path):
    file = write(
        tmp_path,
        f"""{TASKS}
@flow
def label(day: str, n: int = 1):
    return "-".join([day] * n).upper()

@flow
def etl(day: str):
    return show(label(day, 2))
""",
    )

    made = manifest(file)
    run = as_processes(file, {"day": "mon"})

    assert [each["name"] for each in made["spec"]["tasks"]] == ["label", "show"]
    assert run.outputs["result"] == ["MON-MON"] == in_process(file, "etl('mon')")


@pytest.mark.parametrize(
    ("source", "want"),
    [
        pytest.param("def etl(day: str):\n    return day.upper()", "MON", id="a function"),
        pytest.param("def etl(day: str):\n    yield day\n    yield day", ["mon", "mon"], id="a generator"),
        pytest.param("async def etl(day: str):\n    return f'{day}-'", "mon-", id="a coroutine function"),
    ],
)
def test_a_flow_that_calls_no_task_is_one_pod(tmp_path, source, want):
    file = write(tmp_path, f"@flow(flow_run_name='of-{{day}}', retries=1)\n{source}\n")

    run = as_processes(file, {"day": "mon"})

    assert list(run.tasks) == ["etl"]
    assert run.outputs["result"] == want


HELPERS = """
from penstock import task

@task
def load():
    return 1

def load_all():
    return load()

class Loader:
    def run(self):
        return load()

    @property
    def rows(self):
        return load()

LOADER = Loader()
STEPS = [load]
NAMED = {"a": load}
"""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("import helpers\ndef etl():\n    helpers.load_all()", id="a function of another module"),
        pytest.param("from helpers import load_all\ndef etl():\n    load_all()", id="one that is imported"),
        pytest.param("def etl():\n    from helpers import load_all\n    load_all()", id="an import in the function"),
        pytest.param("def etl():\n    import helpers as h\n    h.load_all()", id="a module in the function"),
        pytest.param("from helpers import STEPS\ndef etl():\n    for each in STEPS:\n        each()", id="a list"),
        pytest.param("from helpers import NAMED\ndef etl():\n    NAMED['a']()", id="a dictionary"),
        pytest.param("from helpers import LOADER\ndef etl():\n    LOADER.run()", id="a method"),
        pytest.param("from helpers import LOADER\ndef etl():\n    LOADER.rows", id="a property"),
        pytest.param("import helpers\nsubmit = helpers.load.submit\ndef etl():\n    submit()", id="a bound method"),
        pytest.param(
            "import functools, helpers\nload = functools.partial(helpers.load)\ndef etl():\n    load()", id="a partial"
        ),
    ],
)
def test_a_task_is_found_wherever_a_flow_has_it_from(tmp_path, body):
    (tmp_path / "helpers.py").write_text(HELPERS)
    file = write(tmp_path, f"{body}\n    return None\netl = flow(etl)\n")

    made = manifest(file)

    assert [each["args"] for each in made["spec"]["tasks"]] == [["helpers:load"]]


def if_not_given(day: str | None = None):
    if day is None:
        day = today()
    load(day)


def today() -> str:
    return "2026-01-01"


def if_a_task(day: str | None = None):
    if day is None:
        day = str(load("a"))
    load(day)


def decides(day: str | None = None):
    if day is not None:
        load(day)


def decides_by_equality(day: str | None = None):
    if day != None:  # noqa: E711 - what is tested
        load(day)


def replaces_by_equality(day: str | None = None):
    if day == None:  # noqa: E711 - what is tested
        day = "a"
    load(day)


def never_none(day: str):
    load("never" if day == None else day)  # noqa: E711 - what is tested


def test_a_param_that_is_required_does_not_equal_none():
    made = compile_flow(flow(never_none), entrypoint="tests:flow")
    assert '"never"' not in json.dumps(made["spec"])


def decides_by_result():
    rows = load("a")
    if rows is None:
        load("b")


def returns_a_sum(n: int):
    return load("a") + n


def loops_over_a_param(days: list[str]):
    for day in days:
        load(day)


def decides_by_a_sum(n: int):
    load("a" if n > 3 else "b")


def changed_in_place():
    rows = take("a")
    same = rows
    rows += [1]
    take(same)


def changed_part(days: list[str]):
    named = {"days": days}
    named["days"] += ["x"]
    take(days)


def asked_for_type():
    take(load("a").__class__)


def maps_a_sum(days: list[str]):
    load.map(days + ["x"])  # noqa: RUF005 - what is tested


@pytest.mark.parametrize(
    ("fn", "line", "message"),
    [
        (
            if_not_given,
            2,
            "the param 'day' is replaced by the result of `today()`, which would be computed when the flow is compiled",
        ),
        (if_a_task, 2, "a task is called only if the param 'day' is not given"),
        (decides, 1, "the identity or type of 'day' is known only when the flow runs: to replace None by a constant"),
        (
            decides_by_equality,
            1,
            "whether 'day' equals None is known only when the flow runs: to replace None by a constant, write",
        ),
        (replaces_by_equality, 1, "whether 'day' equals None is known only when the flow runs: to replace None"),
        (decides_by_result, 2, "the identity or type of 'rows' is known only when the flow runs"),
        (
            returns_a_sum,
            0,
            "what flow 'returns-a-sum' returns is a value made of the result of 'load', which only a Pod can make",
        ),
        (
            loops_over_a_param,
            1,
            "the param 'days' is iterated over, which is known only when the flow runs: use .map()",
        ),
        (decides_by_a_sum, 1, "a value made of the param 'n' is used as a condition (`if`, `while`"),
        (
            changed_in_place,
            4,
            f"the result of 'take' is used after line {changed_in_place.__code__.co_firstlineno + 3} has",
        ),
        (
            changed_part,
            3,
            f"the param 'days' is used after line {changed_part.__code__.co_firstlineno + 2} has changed it",
        ),
        (asked_for_type, 1, "the result of 'load' is asked for its type, which is known only when the flow runs"),
        (maps_a_sum, 1, "cannot map over a value made of the param 'days'"),
    ],
)
def test_what_is_refused_names_the_line_the_reason_and_a_way_out(fn, line, message):
    number = fn.__code__.co_firstlineno + line
    with pytest.raises(CompileError, match=rf"test_compile_calculations\.py:{number}: {re.escape(message)}"):
        compile_flow(flow(fn), entrypoint="tests:flow")


def test_a_flow_in_one_pod_may_have_a_name_for_its_runs():
    @flow(run_as="pod", flow_run_name="day-{day}")
    def etl(day: str):
        load(day)

    assert compile_flow(etl, entrypoint="tests:flow", image="i")["spec"]["tasks"]


def test_texts_of_several_lines_stay_as_they_are():
    @flow
    def etl(n: int):
        take(
            f"""one
        two {n}"""
        )

    (made,) = compile_flow(etl, entrypoint="tests:flow", image="i")["spec"]["tasks"]
    assert '"one\\n        two "' in made["env"][0]["value"]


def test_a_function_of_one_line_is_compiled_like_others():
    # fmt: off
    @flow
    def etl(p: int, q: int): return take(max(p, q))
    # fmt: on

    (made,) = compile_flow(etl, entrypoint="tests:flow", image="i")["spec"]["tasks"]
    assert '"name":"max"' in made["env"][0]["value"]


def test_membership_and_negation_are_computed_in_the_pod():
    @flow
    def etl(mode: str, days: list[str]):
        take(mode not in ["full", "part"])
        take("mon" in days)
        take(not load("a"))

    first, second, _, fourth = compile_flow(etl, entrypoint="tests:flow", image="i")["spec"]["tasks"]
    assert '"name":"not","of":[{"@":"operation","name":"contains","of":[["full","part"]' in first["env"][0]["value"]
    assert '"name":"contains","of":[{"@":"value","slot":0,"elements":"str"},"mon"]' in second["env"][0]["value"]
    assert '"name":"not","of":[{"@":"result"' in fourth["env"][0]["value"]


def of_today(day: str = str(dt.date.today()), n: int = int("3")):  # noqa: DTZ011 - what is tested
    take(day, n)


def of_the_environment(*, who: str = os.environ.get("PENSTOCK_NOBODY", "me")):
    load(who)


def of_constants(day: dt.date = dt.date(2026, 1, 1), n: int = -3, who: str = "ab"):
    take(day, n, who)


@pytest.mark.parametrize(
    ("fn", "name", "computation"),
    [
        (of_today, "day", "the result of `dt.date.today()`"),
        (of_the_environment, "who", "the result of `os.environ.get('PENSTOCK_NOBODY', 'me')`"),
    ],
)
def test_a_default_that_is_computed_when_the_flow_is_compiled_is_warned_of(fn, name, computation):
    with pytest.warns(CompileWarning, match=re.escape(f"the default of param {name!r} of flow")) as caught:
        compile_flow(flow(fn), entrypoint="tests:flow", image="i")
    (found,) = caught
    assert computation in str(found.message)


def test_a_default_that_is_always_the_same_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_flow(flow(of_constants), entrypoint="tests:flow", image="i")


def test_what_is_asserted_is_called_by_its_name(tmp_path, monkeypatch):
    # In a file of its own: pytest rewrites what is asserted in a test.
    (tmp_path / "asserting.py").write_text(
        "from penstock import flow, task\n@task\ndef load(n): ...\n"
        "@flow\ndef etl(n: int):\n    assert n > 3\n    load(n)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    asserting = importlib.import_module("asserting")

    with pytest.raises(CompileError, match=r"asserting\.py:6: a value made of the param 'n' is asserted"):
        compile_flow(asserting.etl, image="i")
