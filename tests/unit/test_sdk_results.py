"""Results on disk: what is kept, when it is used again, and when it is not."""

import copy
import threading
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from penstock import flow, runtime, task
from penstock.authoring.caching.fingerprint import fingerprint
from penstock.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    from_cache_key_fn,
)
from penstock.errors import OptionError, ResultError
from penstock.local.results.results import StoredResult
from penstock.tasks import task_input_hash
from tests.strategies import json_values


class Counted:
    """A task that counts its calls."""

    def __init__(self, **options):
        self.calls: list[tuple[int, int]] = []

        @task(**options)
        def load(x, y=0):
            self.calls.append((x, y))
            return {"x": x, "y": y}

        self.task = load


def in_flow(function, **options):
    """Run a function as a flow and return its result."""
    return flow(name="scene", **options)(function)()


def test_the_same_inputs_give_the_stored_result_in_any_run():
    counted = Counted(cache_policy=INPUTS, persist_result=True)
    states = [in_flow(lambda: counted.task(1, return_state=True)) for _ in range(2)] and [
        flow(name="scene")(lambda: counted.task.submit(1, return_state=True).name)() for _ in range(2)
    ]
    assert states == ["Cached", "Cached"]
    assert counted.calls == [(1, 0)]


def test_refresh_runs_the_task_again_and_stores_its_result():
    counted = Counted(cache_policy=INPUTS)
    assert counted.task(1, return_state=True).name == "Completed"
    assert counted.task.with_options(refresh_cache=True)(1, return_state=True).name == "Completed"
    assert counted.task(1, return_state=True).name == "Cached"
    assert len(counted.calls) == 2


def test_a_cached_result_equals_the_first_one():
    counted = Counted(cache_policy=INPUTS)
    assert counted.task(1) == counted.task(1) == {"x": 1, "y": 0}


def test_a_persisted_result_is_used_again_in_its_own_run_only():
    counted = Counted(persist_result=True)

    def twice():
        counted.task(1)
        return counted.task(1, return_state=True).name

    assert [in_flow(twice), in_flow(twice)] == ["Cached", "Cached"]
    assert len(counted.calls) == 2


def test_the_flow_says_for_all_of_its_tasks_that_results_are_kept():
    counted = Counted()

    def twice():
        counted.task(1)
        return counted.task(1, return_state=True).name

    assert in_flow(twice, persist_result=True) == "Cached"
    assert in_flow(twice) == "Completed"


def test_a_task_says_that_it_keeps_nothing_whatever_its_flow_says():
    counted = Counted(persist_result=False)
    in_flow(lambda: (counted.task(1), counted.task(1)), persist_result=True)
    assert len(counted.calls) == 2


def test_two_tasks_of_the_same_inputs_do_not_share_a_result():
    first = task(name="first", cache_policy=INPUTS)(lambda x: f"first {x}")
    second = task(name="second", cache_policy=INPUTS)(lambda x: f"second {x}")
    assert (first(1), second(1)) == ("first 1", "second 1")


def test_tasks_share_a_result_by_a_key_of_their_own():
    first = task(name="first", cache_key_fn=lambda context, parameters: f"day {parameters['x']}")(lambda x: "first")
    second = task(name="second", cache_key_fn=lambda context, parameters: f"day {parameters['x']}")(lambda x: "second")
    assert (first(1), second(1), second(2)) == ("first", "first", "second")


def test_a_key_function_that_returns_none_keeps_nothing(home):
    counted = Counted(cache_key_fn=lambda context, parameters: None)
    counted.task(1)
    counted.task(1)
    assert len(counted.calls) == 2
    assert not list(home.iterdir())


def test_a_key_function_that_returns_an_empty_text_keeps_nothing(home):
    counted = Counted(cache_key_fn=lambda context, parameters: "")
    counted.task(1)
    counted.task(2)
    assert counted.calls == [(1, 0), (2, 0)]
    assert not list(home.iterdir())


@pytest.mark.parametrize("is_policy", [False, True])
def test_a_task_whose_key_function_raises_runs_and_keeps_nothing(is_policy, home, caplog):
    def key(context, parameters):
        return parameters["z"]

    counted = Counted(**({"cache_policy": from_cache_key_fn(key)} if is_policy else {"cache_key_fn": key}))
    assert [counted.task(1, return_state=True).name for _ in range(2)] == ["Completed", "Completed"]
    assert len(counted.calls) == 2
    assert not list(home.iterdir())
    assert "The cache key cannot be computed. The task runs, and its result is not stored" in caplog.text
    assert "KeyError" in caplog.text


def test_an_input_can_be_left_out_of_the_key():
    counted = Counted(cache_policy=INPUTS - "y")
    counted.task(1, y=1)
    counted.task(1, y=2)
    counted.task(2, y=2)
    assert counted.calls == [(1, 1), (2, 2)]


def test_a_default_counts_as_the_same_value_given():
    counted = Counted(cache_policy=INPUTS)
    counted.task(1)
    counted.task(x=1, y=0)
    assert len(counted.calls) == 1


def test_a_changed_source_is_another_task():
    def make(number):
        namespace: dict[str, Any] = {}
        exec(f"def load(x): return {number}", namespace)
        return task(cache_policy=INPUTS + TASK_SOURCE)(namespace["load"])

    assert (make(1)(0), make(2)(0)) == (1, 2)


def test_the_parameters_of_the_flow_can_be_the_key():
    counted = Counted(cache_policy=FLOW_PARAMETERS)

    @flow
    def scene(day):
        return counted.task(day, return_state=True).name

    assert [scene("mon"), scene("mon"), scene("tue")] == ["Completed", "Cached", "Completed"]


def test_no_cache_disables_caching_even_if_the_flow_stores_results():
    counted = Counted(cache_policy=NO_CACHE)
    in_flow(lambda: (counted.task(1), counted.task(1)), persist_result=True)
    assert len(counted.calls) == 2


def test_policies_add_up():
    assert INPUTS + TASK_SOURCE + RUN_ID == DEFAULT
    assert NO_CACHE + INPUTS == INPUTS + NO_CACHE == INPUTS


def test_a_policy_can_be_made_of_a_function_and_others():
    counted = Counted(cache_policy=from_cache_key_fn(lambda context, parameters: "k") + INPUTS)
    counted.task(1)
    counted.task(1)
    counted.task(2)
    assert counted.calls == [(1, 0), (2, 0)]


def test_the_ready_made_key_function_goes_by_source_and_inputs():
    counted = Counted(cache_key_fn=task_input_hash)
    counted.task(1)
    counted.task(1)
    assert len(counted.calls) == 1


def test_a_task_with_an_input_that_can_be_no_key_runs_each_time_and_warns(caplog):
    counted = Counted(cache_policy=INPUTS)
    value = [1, threading.Lock()]
    assert [counted.task(value, return_state=True).name for _ in range(2)] == ["Completed", "Completed"]
    assert "value['inputs']['x'][1] is a lock" in caplog.text
    assert "cache_policy=INPUTS - 'its name'" in caplog.text


def test_a_flow_that_stores_results_runs_tasks_whose_inputs_can_be_no_key(caplog):
    counted = Counted()
    assert in_flow(lambda: counted.task(threading.Lock())["y"], persist_result=True) == 0
    assert "is a lock" in caplog.text


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_a_task_whose_result_can_not_be_stored_completes_and_warns(serializer, caplog):
    calls: list[int] = []

    @task(persist_result=True, result_serializer=serializer)
    def lock():
        calls.append(1)
        return [threading.Lock()]

    names = in_flow(lambda: [lock(return_state=True).name for _ in range(2)])
    assert (names, len(calls)) == (["Completed", "Completed"], 2)
    assert "cannot store the result, a list" in caplog.text


def test_what_is_defined_inside_of_a_function_can_be_a_stored_result():
    class Row:
        def __init__(self, n):
            self.n = n

    @task(cache_policy=INPUTS)
    def rows(n):
        return Row(n), lambda x: x + n

    assert rows(2, return_state=True).name == "Completed"
    state = rows(2, return_state=True)
    row, add = state.result()
    assert (state.name, row.n, add(1)) == ("Cached", 2, 3)


def adder(n):
    return lambda x: x + n


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def of(self, x):
        return self.factor * x

    @task(cache_policy=INPUTS)
    def cached(self, x):
        return self.factor * x

    @task(persist_result=True)
    def kept(self, x):
        return self.factor * x


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        pytest.param(lambda x: x + 1, lambda x: x * 2, [11, 20], id="lambdas"),
        pytest.param(adder(1), adder(100), [11, 110], id="functions with other variables around them"),
        pytest.param(Scale(2).of, Scale(3).of, [20, 30], id="methods of other objects"),
        pytest.param(partial(adder(1)), partial(adder(2)), [11, 12], id="partial functions"),
        pytest.param(lambda x, y=1: x + y, lambda x, y=2: x + y, [11, 12], id="other defaults"),
        pytest.param(
            lambda x: sum(n + 1 for n in [x]), lambda x: sum(n + 2 for n in [x]), [11, 12], id="functions inside"
        ),
    ],
)
def test_functions_that_do_something_else_are_other_inputs(one, other, want):
    @task(cache_policy=INPUTS)
    def apply(function, x):
        return function(x)

    assert [apply(one, 10), apply(other, 10)] == want
    assert apply(one, 10, return_state=True).name == "Cached"


def test_a_method_shares_results_with_equal_objects_only():
    assert (Scale(2).cached(1), Scale(3).cached(1)) == (2, 3)
    assert in_flow(lambda: (Scale(2).kept(1), Scale(3).kept(1))) == (2, 3)
    assert Scale(2).cached(1, return_state=True).name == "Cached"


def test_tasks_that_are_defined_inside_of_a_function_share_results_only_if_what_is_around_them_is_equal():
    def make(n):
        @task(cache_policy=INPUTS)
        def add(x):
            return x + n

        return add

    assert (make(1)(10), make(100)(10)) == (11, 110)
    assert make(1)(10, return_state=True).name == "Cached"
    one, other = (task(name="t", cache_policy=DEFAULT)(each) for each in (lambda x: x + 1, lambda x: x * 2))
    assert in_flow(lambda: (one(10), other(10))) == (11, 20)


def test_a_flow_that_is_a_method_shares_results_with_equal_objects_only():
    counted = Counted(cache_policy=FLOW_PARAMETERS)

    class Loader:
        def __init__(self, day):
            self.day = day

        @flow
        def load(self):
            return counted.task(self.day)["x"]

    assert (Loader(1).load(), Loader(2).load()) == (1, 2)


def test_a_result_can_be_stored_as_json(home):
    task(name="load", cache_policy=INPUTS, result_serializer="json")(lambda: {"rows": [1, 2]})()
    [file] = (home / "results").iterdir()
    assert file.read_bytes().endswith(b'{"rows": [1, 2]}')


def test_a_stored_result_expires(home):
    counted = Counted(cache_policy=INPUTS, cache_expiration=timedelta(days=1))
    assert counted.task.options.cache_expiration_s == 86400
    stored = StoredResult(home / "file", "k", "pickle")
    stored.write_result(5, expiration_s=60)
    now = next(home.iterdir()).stat().st_mtime
    assert stored.read_result(now=now + 50) == (5,)
    assert stored.read_result(now=now + 70) is None


def test_an_expired_result_is_made_again():
    counted = Counted(cache_policy=INPUTS, cache_expiration=0)
    counted.task(1)
    counted.task(1)
    assert len(counted.calls) == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"\x00\xff rubbish", id="rubbish"),
        pytest.param(b'{"format": 1}\n', id="half a header"),
        pytest.param(None, id="half a file"),
    ],
)
def test_a_stored_result_that_is_broken_is_made_again(content, home, caplog):
    counted = Counted(cache_policy=INPUTS)
    counted.task(1)
    [file] = (home / "results").iterdir()
    file.write_bytes(file.read_bytes()[:-5] if content is None else content)
    assert counted.task(1) == {"x": 1, "y": 0}
    assert len(counted.calls) == 2
    assert "cannot read the stored result" in caplog.text
    assert counted.task(1, return_state=True).name == "Cached"


def test_only_the_user_may_enter_the_folder_of_results(home):
    in_flow(lambda: (Counted(cache_policy=INPUTS).task(1), Counted(persist_result=True).task(1)))
    folders = [path for path in home.rglob("*") if path.is_dir()]
    assert len(folders) == 4
    assert not [path for path in folders if path.stat().st_mode & 0o077]


def test_runs_that_ended_long_ago_are_removed_and_others_are_not(home):
    def keep():
        return Counted(persist_result=True).task(1) and runtime.flow_run.id

    old, recent = in_flow(keep), in_flow(keep)
    facts = home / "runs" / old / "run.json"
    facts.write_text(facts.read_text().replace('"time": ', '"time": 1, "was": '))
    new = in_flow(keep)
    assert {path.name for path in (home / "runs").iterdir() if path.is_dir()} == {old, recent, new}
    (home / "runs" / ".swept").unlink()
    newest = in_flow(keep)
    assert {path.name for path in (home / "runs").iterdir() if path.is_dir()} == {recent, new, newest}


def test_flows_that_keep_nothing_write_nothing(home):
    in_flow(lambda: Counted().task(1))
    assert not list(home.iterdir())


def test_a_key_function_comes_before_a_policy_with_a_warning(caplog):
    counted = Counted(cache_policy=INPUTS, cache_key_fn=lambda context, parameters: "one")
    assert "cache_key_fn is used, and cache_policy is ignored" in caplog.text
    counted.task(1)
    counted.task(2)
    assert len(counted.calls) == 1


def test_what_is_not_stored_is_not_cached_with_a_warning(caplog):
    counted = Counted(cache_policy=INPUTS, persist_result=False)
    assert "nothing is cached, because persist_result is False" in caplog.text
    counted.task(1)
    counted.task(1)
    assert len(counted.calls) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"cache_policy": "inputs"}, "must be CachePolicy", id="a policy that is a text"),
        pytest.param({"result_serializer": "yaml"}, "'pickle', 'json'", id="an unknown serializer"),
        pytest.param({"cache_expiration": -1}, "0 or more", id="expired before it began"),
    ],
)
def test_caches_that_can_not_be_are_refused_when_decorating(options, message):
    with pytest.raises(OptionError, match=message):
        task(name="load", **options)(lambda: None)


@dataclass
class Point:
    x: int
    y: int


Pair = namedtuple("Pair", "x y")  # noqa: PYI024 - the kind that has no annotations is a kind too
Size = namedtuple("Size", "x y")  # noqa: PYI024


class Model(BaseModel):
    shown: int
    hidden: int = Field(default=0, exclude=True)
    _private: int = 0

    def with_private(self, value):
        self._private = value
        return self


class Named(list[int]):
    def __init__(self, values, name):
        super().__init__(values)
        self.name = name


class Holder:
    def __init__(self, function):
        self.function = function


def with_attribute(point):
    point.label = "a"
    return point


def local_class(n):
    @dataclass
    class Local:
        x: int = 0

        def get(self):
            return n

    return Local


@given(json_values)
def test_equal_values_have_equal_fingerprints(value):
    assert fingerprint(value) == fingerprint(copy.deepcopy(value))


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6), st.randoms())
def test_the_order_of_keys_does_not_change_a_fingerprint(mapping, random):
    items = list(mapping.items())
    random.shuffle(items)
    assert fingerprint(mapping) == fingerprint(dict(items))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(1, True, id="a number and a truth"),
        pytest.param(1, 1.0, id="a whole number and a fraction"),
        pytest.param("1", 1, id="a text and a number"),
        pytest.param("a", b"a", id="a text and bytes"),
        pytest.param([1, 2], (1, 2), id="a list and a tuple"),
        pytest.param([[1], 2], [1, [2]], id="other nesting"),
        pytest.param({"a": None}, {}, id="nothing there and nothing"),
        pytest.param({1, 2}, [1, 2], id="a set and a list"),
        pytest.param(Point(1, 2), Point(2, 1), id="two of a dataclass"),
        pytest.param(Point(1, 2), {"x": 1, "y": 2}, id="a dataclass and a dictionary"),
        pytest.param(["ab", "c"], ["a", "bc"], id="texts cut elsewhere"),
        pytest.param(Pair(1, 2), (1, 2), id="a named tuple and a tuple"),
        pytest.param(Pair(1, 2), Size(1, 2), id="named tuples of other types"),
        pytest.param({1}, frozenset({1}), id="sets of other types"),
        pytest.param(OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), id="ordered dictionaries in another order"),
        pytest.param(Model(shown=1, hidden=1), Model(shown=1, hidden=2), id="models with other excluded fields"),
        pytest.param(Model(shown=1).with_private(1), Model(shown=1).with_private(2), id="other private attributes"),
        pytest.param(Named([1], "a"), Named([1], "b"), id="lists with other attributes"),
        pytest.param(Point(1, 2), with_attribute(Point(1, 2)), id="dataclasses with other attributes"),
        pytest.param([adder(1)], [adder(2)], id="functions in a list"),
        pytest.param(Holder(adder(1)), Holder(adder(2)), id="functions in objects"),
        pytest.param(local_class(1)(), local_class(2)(), id="classes of one name"),
    ],
)
def test_different_values_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: adder(1), id="a function"),
        pytest.param(lambda: Holder(adder(1)), id="an object with a function"),
        pytest.param(lambda: Model(shown=1, hidden=2), id="a model"),
        pytest.param(lambda: local_class(1)(x=2), id="an object of a class inside of a function"),
        pytest.param(lambda: Scale(2).of, id="a method"),
    ],
)
def test_what_is_made_twice_alike_has_the_same_fingerprint(make):
    assert fingerprint(make()) == fingerprint(make())


def test_a_function_that_calls_itself_has_a_fingerprint():
    def outer():
        def count(n):
            return n and count(n - 1)

        return count

    assert fingerprint(outer()) == fingerprint(outer())


def test_a_value_that_contains_itself_has_no_fingerprint():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ResultError, match="contains itself"):
        fingerprint(loop)


def test_a_flow_in_a_flow_runs_again_if_its_parameters_have_no_fingerprint():
    attempts = []

    @flow(persist_result=True)
    def inner(lock, day):
        return day

    @flow(persist_result=True, retries=1)
    def outer():
        attempts.append(1)
        found = inner(threading.Lock(), len(attempts))
        if found == 1:
            raise ValueError("the first attempt")
        return found

    assert outer() == 2
