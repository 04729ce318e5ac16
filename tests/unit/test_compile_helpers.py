"""Functions that the function of a flow calls while it is compiled: they see symbols too."""

import asyncio
import functools

import pytest

from penstock import flow, task
from penstock.authoring.compilation import compile_flow
from penstock.errors import CompileError
from tests.unit import compiled_flows


@task
def load(x):
    return x


def by_none(v):
    if v is None:
        return load("none")
    return load(v)


def by_type(v):
    return load("int") if isinstance(v, int) else load("other")


def by_class(v):
    return load("text") if type(v) is str else load("other")


def by_identity(v):
    return load("true") if v is True else load("other")


def by_match(v):
    match v:
        case None | [_]:
            return load("none")
        case _:
            return load("other")


def by_keyword(*, v):
    return load(v is None)


def in_a_chain(v):
    return load(None is v is None)


by_lambda = lambda v: load("none") if v is None else load("other")  # noqa: E731 - what is tested


def wrapping(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args) if args[0] is not None else load("none")

    return inner


@wrapping
def wrapped(v):
    return load(v)


class Picker:
    def pick(self, v):
        return self.__inner(v)

    def __inner(self, v):
        return load("none") if v is None else load("other")

    @staticmethod
    def pick_statically(v):
        return load("none") if v is None else load("other")

    def __call__(self, v):
        return load("none") if v is None else load("other")


class Subclass(Picker):
    def pick(self, v):
        if v is not None:
            return super().pick(v)
        return load("none")


def through_another(v):
    return by_none(v)


def generated(v):
    return next(_generate(v))


def _generate(v):
    yield load("none") if v is None else load("other")


async def by_none_in_a_coroutine(v):
    return load("none") if v is None else load("other")


def closing_over(fn):
    return lambda v: fn(v)  # noqa: PLW0108 - what is tested


HELPERS = {
    "is None": by_none,
    "isinstance": by_type,
    "type": by_class,
    "is True": by_identity,
    "match": by_match,
    "keyword only": lambda v: by_keyword(v=v),
    "chain": in_a_chain,
    "lambda": by_lambda,
    "wrapped": wrapped,
    "private method": Picker().pick,
    "static method": Picker.pick_statically,
    "callable object": Picker(),
    "method with super": Subclass().pick,
    "another helper": through_another,
    "generator": generated,
    "partial": functools.partial(by_none),
    "closure": closing_over(by_none),
}


@functools.singledispatch
def shown(value):
    return "anything"


def is_none(value):
    return value is None


def dispatches():
    load(shown(load("a")))


def finds_by_name():
    load(globals()["is_none"](load("a")))


@pytest.mark.parametrize(
    ("fn", "message"),
    [(dispatches, "the result of 'load' is asked for its type"), (finds_by_name, "the identity or type of 'value'")],
)
def test_a_helper_that_no_name_refers_to_is_refused_alike(fn, message):
    with pytest.raises(CompileError, match=message):
        compile_flow(flow(fn), entrypoint="tests:flow")


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("is_result", [False, True])
def test_a_helper_that_decides_by_identity_or_type_is_refused(name, is_result):
    helper = HELPERS[name]

    @flow(name="etl")
    def etl(a: int | None = None):
        helper(load(a) if is_result else a)

    with pytest.raises(
        CompileError, match=r"test_compile_helpers\.py:\d+: the identity or type of .* is known only when"
    ):
        compile_flow(etl, entrypoint="tests:flow")


def test_the_line_of_the_helper_is_named():
    @flow
    def etl(n: int = 1):
        by_type(n)

    line = by_type.__code__.co_firstlineno + 1
    with pytest.raises(CompileError, match=rf"test_compile_helpers\.py:{line}: the identity or type of 'v' is known"):
        compile_flow(etl, entrypoint="tests:flow")


def test_a_coroutine_helper_is_refused_too():
    @flow
    async def etl(a: int | None = None):
        await by_none_in_a_coroutine(a)

    with pytest.raises(CompileError, match="the identity or type of 'v' is known only when the flow runs"):
        compile_flow(etl, entrypoint="tests:flow")
    assert asyncio.run(by_none_in_a_coroutine(None)) == "none"


def test_helpers_decide_by_values_that_are_known():
    @flow
    def etl(day: str, a: int | None = None):
        load(a)
        for each in (None, 1, "x", True, [1]):
            for helper in HELPERS.values():
                helper(each)
        return by_none(day)

    made = compile_flow(etl, entrypoint="tests:flow")

    assert len(made["spec"]["tasks"]) == 2 + 5 * len(HELPERS)


def test_helpers_are_as_before_when_the_flow_is_compiled():
    code = by_none.__code__

    @flow
    def etl(day: str):
        return by_none(day)

    compile_flow(etl, entrypoint="tests:flow")

    assert by_none.__code__ is code
    assert "__penstock__" not in globals()


def test_texts_defaults_and_functions_of_helpers_are_computed_in_the_pods(tmp_path):
    file = compiled_flows.write(
        tmp_path,
        """
        @task
        def show(*values):
            return list(values)

        def text_of(day):
            return f"day {day}"

        def given_or(day):
            if day is None:
                day = "today"
            return day

        def count(rows):
            return len(rows)

        @flow
        def etl(day: str = "x", other: str | None = None):
            rows = show(1, 2)
            return show(text_of(day), given_or(other), count(rows))
        """,
    )
    want = ["day x", "today", 2]
    assert compiled_flows.in_process(file) == want
    assert compiled_flows.as_processes(file).outputs["result"] == want
