"""Tasks in this process: calls, futures, what depends on what, and how many at a time."""

import threading
import traceback
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from penstock import allow_failure, flow, runtime, tags, task, unmapped
from penstock.errors import (
    CancelledRunError,
    CrashedRunError,
    MappingLengthMismatchError,
    MappingMissingIterableError,
    OptionError,
    ParameterError,
    UpstreamFailedError,
)
from penstock.futures import Future, as_completed, wait
from penstock.states import Completed, Failed, State
from penstock.task_runners import ThreadPoolTaskRunner


@task
def add(x, y):
    return x + y


@task
def fail(message="broken"):
    raise ValueError(message)


@task
def same(x):
    return x


def in_flow(function):
    """Run a function as a flow and return its result."""
    return flow(function, name="scene")()


def test_a_task_can_be_called_outside_of_a_flow():
    assert add(1, 2) == 3


def test_a_task_can_be_submitted_outside_of_a_flow():
    assert add.submit(add.submit(1, 2), 3).result() == 6


def test_a_called_task_takes_futures():
    assert in_flow(lambda: add(add.submit(1, 2), 3)) == 6


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - the kind that has no annotations is a kind too


@dataclass
class Box:
    content: object


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        pytest.param(lambda f: [1, f], lambda v: v[1], id="a list"),
        pytest.param(lambda f: (1, f), lambda v: v[1], id="a tuple"),
        pytest.param(lambda f: {"a": {"b": f}}, lambda v: v["a"]["b"], id="dictionaries"),
        pytest.param(lambda f: Pair(1, f), lambda v: v.right, id="a named tuple"),
        pytest.param(lambda f: Box([f]), lambda v: v.content[0], id="a dataclass"),
    ],
)
def test_futures_inside_of_containers_become_results(wrap, unwrap):
    assert in_flow(lambda: unwrap(same.submit(wrap(add.submit(1, 2))).result())) == 3


def test_a_task_whose_upstream_failed_is_skipped():
    def scene():
        downstream = add.submit(fail.submit(), 1)
        downstream.wait()
        return downstream.state

    state = flow(scene, name="scene")(return_state=True)
    assert state.name == "Skipped"
    assert state.type == "SKIPPED"
    assert state.is_final()
    assert state.message.startswith("UpstreamFailed: task run 'fail-0' is Failed")


def test_the_result_of_a_skipped_task_says_which_upstream_failed_and_how():
    def scene():
        third = add.submit(add.submit(fail.submit(), 1), 2)
        with pytest.raises(UpstreamFailedError, match=r"add-0.*is Skipped") as caught:
            third.result()
        causes = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(type(error).__name__)
            error = error.__cause__
        return causes

    assert in_flow(scene) == ["UpstreamFailedError", "UpstreamFailedError", "ValueError"]


def test_a_long_chain_of_skipped_tasks_says_what_failed_first():
    def scene():
        last = fail.submit()
        for _ in range(1500):
            last = same.submit(last)
        return last

    with pytest.raises(UpstreamFailedError, match=r"^'same-1499' .*fail-0.*broken") as caught:
        in_flow(scene)
    assert len(str(caught.value)) < 300
    assert len("".join(traceback.format_exception(caught.value))) < 20_000


def test_a_called_task_does_not_run_on_a_failed_future():
    def scene():
        with pytest.raises(UpstreamFailedError):
            add(fail.submit(), 1)

    in_flow(scene)


def test_a_task_that_allows_failure_gets_the_exception():
    error = in_flow(lambda: same.submit(allow_failure(fail.submit("seen"))).result())
    assert isinstance(error, ValueError)
    assert str(error) == "seen"


def test_a_task_that_allows_failure_gets_the_result_if_there_is_one():
    assert in_flow(lambda: same.submit(allow_failure(add.submit(1, 2))).result()) == 3


def test_a_task_that_waits_for_a_failed_one_is_skipped():
    def scene():
        future = add.submit(1, 2, wait_for=[fail.submit()])
        future.wait()
        return future.state.name

    assert in_flow(scene) == "Skipped"


def test_a_task_that_waits_for_one_that_may_fail_runs():
    assert in_flow(lambda: add.submit(1, 2, wait_for=[allow_failure(fail.submit())]).result()) == 3


def test_a_task_starts_after_what_it_waits_for():
    order: list[str] = []

    @task
    def note(name):
        order.append(name)

    def scene():
        gate = threading.Event()
        first = note.submit("first", wait_for=[task(gate.wait, name="gate").submit()])
        note.submit("second", wait_for=[first])
        gate.set()

    in_flow(scene)
    assert order == ["first", "second"]


def test_a_task_waits_for_the_futures_that_a_list_had_when_it_was_submitted():
    def scene():
        futures: list[Future[int]] = []
        for n in range(3):
            futures.append(same.submit(n, wait_for=futures))
        return [future.result() for future in futures]

    assert in_flow(scene) == [0, 1, 2]


@pytest.mark.parametrize(
    ("wrap", "append"),
    [
        pytest.param(lambda f: [f], lambda v, f: v.append(f), id="a list"),
        pytest.param(lambda f: {"a": [f]}, lambda v, f: v["a"].append(f), id="a list in a dictionary"),
        pytest.param(lambda f: {"a": f}, lambda v, f: v.update(b=f), id="a dictionary"),
        pytest.param(lambda f: Box([f]), lambda v, f: v.content.append(f), id="a list in a dataclass"),
    ],
)
@pytest.mark.parametrize("call", [lambda t, v: t.submit(v), lambda t, v: t.submit(5, unused=v)])
def test_a_task_gets_the_futures_that_an_argument_had_when_it_was_submitted(wrap, append, call):
    @task
    def show(value, unused=None):
        return str(value if unused is None else unused)

    def scene():
        gate = threading.Event()
        held = task(lambda: gate.wait(30) and 1, name="held").submit()
        value = wrap(held)
        shown = call(show, value)
        append(value, same.submit(2))
        gate.set()
        return shown.result()

    assert in_flow(scene) == str(wrap(1))


def test_a_plain_list_is_passed_as_it_is():
    found: list[int] = []
    in_flow(lambda: task(lambda where: where.append(1), name="t").submit(found).result())
    assert found == [1]


@pytest.mark.parametrize(
    "wait_for",
    [
        pytest.param(lambda f: f, id="one future"),
        pytest.param(lambda f: {"a": f}, id="a dictionary of futures"),
        pytest.param(lambda f: {f: "a"}, id="a dictionary by futures"),
        pytest.param(lambda f: {"a": f}.values(), id="the values of a dictionary"),
        pytest.param(lambda f: (each for each in [f]), id="a generator"),
        pytest.param(lambda f: [[f]], id="a list in a list"),
        pytest.param(lambda f: {f}, id="a set"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda w: same.submit(1, wait_for=w, return_state=True), id="submitted"),
        pytest.param(lambda w: same(1, wait_for=w, return_state=True), id="called"),
        pytest.param(lambda w: same.map([1], wait_for=w, return_state=True)[0], id="mapped"),
        pytest.param(lambda w: flow(lambda: 1, name="inner")(wait_for=w, return_state=True), id="a flow"),
    ],
)
def test_what_a_run_waits_for_can_be_given_in_any_way(call, wait_for):
    states: list[State[Any]] = []
    in_flow(lambda: states.append(call(wait_for(fail.submit()))))
    assert states[0].is_skipped()


@pytest.mark.parametrize("value", [5, "text", {"a": 1}])
def test_a_plain_value_to_wait_for_is_there_already(value):
    assert in_flow(lambda: same.submit(1, wait_for=value).result()) == 1


def test_an_object_that_refers_to_itself_can_be_an_argument():
    def scene():
        box = Box(None)
        box.content = [box, same.submit(2)]
        return same.submit(box).result().content[1]

    assert in_flow(scene) == 2


def test_map_goes_item_by_item_and_repeats_what_is_unmapped():
    assert in_flow(lambda: add.map([1, 2, 3], unmapped(10)).result()) == [11, 12, 13]


def test_map_repeats_what_is_not_iterable():
    assert in_flow(lambda: add.map([1, 2], 5).result()) == [6, 7]


def test_map_refuses_iterables_of_different_lengths():
    with pytest.raises(MappingLengthMismatchError, match="x has 2, y has 3"):
        add.map([1, 2], [1, 2, 3])


def test_map_needs_an_iterable():
    with pytest.raises(MappingMissingIterableError, match="at least one iterable"):
        add.map(1, "text")


def test_map_takes_iterators_keywords_and_futures_of_lists():
    def scene():
        numbers = same.submit([1, 2, 3])
        return add.map(x=(n for n in (10, 20, 30)), y=numbers).result()

    assert in_flow(scene) == [11, 22, 33]


def test_map_takes_a_list_of_futures():
    assert in_flow(lambda: add.map(same.map([1, 2]), 3).result()) == [4, 5]


def test_map_skips_only_the_items_whose_own_upstream_failed():
    @task
    def odd(x):
        if x % 2 == 0:
            raise ValueError(x)
        return x

    def scene():
        futures = add.map(odd.map([1, 2, 3]), 10)
        futures.wait()
        return [future.state.name for future in futures]

    assert in_flow(scene) == ["Completed", "Skipped", "Completed"]


def test_the_result_of_a_list_of_futures_can_hold_exceptions():
    results = in_flow(lambda: fail.map(["a", "b"]).result(raise_on_failure=False))
    assert [str(result) for result in results] == ["a", "b"]


def test_submit_and_map_give_states_if_asked():
    def scene():
        return add.submit(1, 2, return_state=True).result(), [
            state.result() for state in add.map([1, 2], 3, return_state=True)
        ]

    assert in_flow(scene) == (3, [4, 5])


def test_arguments_that_a_task_does_not_take_are_refused_by_submit():
    with pytest.raises(ParameterError, match="missing a required argument: 'y'"):
        add.submit(1)


def test_result_stops_waiting_after_its_timeout():
    gate = threading.Event()

    def scene():
        future = task(gate.wait, name="blocked").submit()
        with pytest.raises(TimeoutError, match="did not finish"):
            future.result(timeout=0.01)
        gate.set()
        return future.result()

    assert in_flow(scene) is True


def test_wait_returns_what_is_done_and_what_is_not():
    gate = threading.Event()

    def scene():
        fast, slow = add.submit(1, 2), task(gate.wait, name="slow").submit()
        fast.wait()
        done, not_done = wait([fast, slow], timeout=0.01)
        gate.set()
        return done == {fast}, not_done == {slow}

    assert in_flow(scene) == (True, True)


def test_as_completed_yields_the_first_to_finish_first():
    gate = threading.Event()

    def scene():
        slow = task(lambda: gate.wait() and "slow", name="slow").submit()
        fast = same.submit("fast")
        results = []
        for future in as_completed([slow, fast]):
            results.append(future.result())
            gate.set()
        return results

    assert in_flow(scene) == ["fast", "slow"]


def test_as_completed_stops_waiting_after_its_timeout():
    gate = threading.Event()

    def scene():
        future = task(gate.wait, name="slow").submit()
        with pytest.raises(TimeoutError, match="1 of 1"):
            list(as_completed([future], timeout=0.01))
        gate.set()

    in_flow(scene)


def test_a_callback_is_called_once_however_late_it_is_added():
    def scene():
        future = add.submit(1, 2)
        called: list[object] = []
        future.wait()
        future.add_done_callback(called.append)
        return called == [future]

    assert in_flow(scene)


def test_no_more_tasks_run_at_a_time_than_the_flow_allows():
    lock, running, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(3)

    @task
    def meet():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(timeout=10)
        with lock:
            running -= 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def many():
        return [meet.submit() for _ in range(12)]

    many()
    assert most == 3


def test_a_task_that_waits_for_tasks_gives_its_place_away():
    @task
    def fibonacci(n):
        if n < 2:
            return n
        return sum(future.result() for future in [fibonacci.submit(n - 1), fibonacci.submit(n - 2)])

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def tree():
        return fibonacci.submit(8).result()

    assert tree() == 21


def test_a_chain_of_tasks_does_not_deadlock_in_any_order_of_submission():
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def chain():
        future = same.submit(0)
        for _ in range(200):
            future = add.submit(future, 1)
        return future

    assert chain() == 200


@pytest.mark.parametrize(
    ("returned", "want"),
    [
        pytest.param(Failed(message="m"), "FAILED", id="failed"),
        pytest.param(Completed(data=5), "COMPLETED", id="completed"),
    ],
)
def test_a_state_that_a_task_returns_is_the_tasks_own(returned, want):
    assert task(lambda: returned, name="states")(return_state=True).type == want


def test_a_failed_state_that_a_task_returns_is_tried_again():
    calls = []

    @task(retries=2)
    def gives_up():
        calls.append(1)
        return Failed(message="no use")

    assert gives_up(return_state=True).message == "no use"
    assert len(calls) == 3


def test_a_future_that_a_task_returns_is_a_value_like_others():
    @task
    def submits():
        return add.submit(1, 2)

    assert in_flow(lambda: submits().result()) == 3


def test_what_a_worker_does_to_end_the_process_crashes_only_its_task():
    @task(retries=3)
    def exits():
        raise SystemExit(3)

    def scene():
        future = exits.submit()
        with pytest.raises(CrashedRunError, match="SystemExit: 3"):
            future.result()
        return future.state.name, future.task_run.run_count

    assert in_flow(scene) == ("Crashed", 1)


def test_a_task_knows_its_run():
    @task(name="load", tags=["nightly"])
    def about():
        return (
            runtime.task_run.name,
            runtime.task_run.task_name,
            runtime.task_run.tags,
            runtime.task_run.run_count,
            runtime.task_run.parameters,
            runtime.flow_run.flow_name,
        )

    def scene():
        with tags("urgent"):
            return about(), about.submit().result()

    first, second = in_flow(scene)
    assert first == ("load-0", "load", ["nightly", "urgent"], 1, {}, "scene")
    assert second[0] == "load-1"


def test_outside_of_runs_there_is_nothing_to_know():
    assert (runtime.flow_run.name, runtime.flow_run.tags, runtime.task_run.id) == (None, [], None)


def test_a_task_runs_name_is_made_of_parameters():
    @task(task_run_name="{x} and {y}")
    def named(x, y=2):
        return runtime.task_run.name

    assert named(1) == "1 and 2"


def test_a_task_runs_name_has_results_in_the_place_of_futures():
    @task(task_run_name="of {x}")
    def named(x):
        return runtime.task_run.name

    assert in_flow(lambda: named.submit(add.submit(1, 2)).result()) == "of 3"


def test_a_name_that_can_not_be_made_fails_the_task():
    @task(task_run_name=lambda: str(1 / 0))
    def named():
        return 1

    assert "task_run_name failed: ZeroDivisionError" in named(return_state=True).message


async def named_later():
    return "later"


@pytest.mark.parametrize(
    ("name", "kind"), [(named_later, "coroutine"), (lambda: 5, "int"), (lambda parameters: None, "NoneType")]
)
def test_a_function_that_names_runs_returns_a_string(name, kind):
    named_task = task(name="named", task_run_name=name)(lambda: 1)
    named_flow = flow(name="named", flow_run_name=name)(lambda: 1)
    message = f"the function returned a {kind}, but a string is required"
    assert f"task_run_name failed: {message}" in str(named_task(return_state=True).message)
    with pytest.raises(OptionError, match=f"flow_run_name failed: {message}"):
        named_flow()


def test_zero_seconds_mean_no_limit():
    assert task(name="unlimited", timeout_seconds=0)(lambda: 1)() == 1
    assert flow(name="unlimited", timeout_seconds=0)(lambda: 1)() == 1


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_a_task_that_returns_states_has_the_state_that_follows_from_them(kind):
    def returning(*states):
        return task(name="returning")(lambda: kind(states))(return_state=True)

    assert returning(Completed(), Failed(message="no")).name == "Failed"
    assert returning(Completed(), Failed(message="no")).message == "1/2 states failed."
    assert returning(Completed(), Completed()).message == "All states completed."
    assert returning().name == "Completed"


def test_an_exception_whose_str_fails_is_a_failure_like_others():
    class Mute(Exception):  # noqa: N818 - the user's name
        def __str__(self):
            raise KeyError

    @task
    def fails():
        raise Mute

    assert fails(return_state=True).message.endswith("Mute: (str() of the exception failed)")


def test_callbacks_have_been_called_when_the_flow_has_finished():
    called: list[object] = []

    def scene():
        for future in same.map(list(range(200))):
            future.add_done_callback(called.append)

    in_flow(scene)
    assert len(called) == 200


def test_a_callback_that_raises_is_logged_and_blocks_no_waiter(caplog):
    def broken(_):
        raise KeyError("k")

    def scene():
        gate = threading.Event()
        future = task(gate.wait, name="waits").submit()
        future.add_done_callback(broken)
        gate.set()
        return future.result()

    assert in_flow(scene)
    assert "A callback of Future('waits-0', Completed) raised" in caplog.text


def test_a_task_runs_name_is_made_by_a_function_of_parameters():
    @task(task_run_name=lambda parameters: f"of {parameters['x']}")
    def named(x):
        return runtime.task_run.name

    assert named(1) == "of 1"


def test_with_options_changes_a_copy():
    changed = add.with_options(name="plus", retries=2)
    assert (changed.name, changed.options.retries, changed(1, 2)) == ("plus", 2, 3)
    assert (add.name, add.options.retries) == ("add", 0)


def test_a_task_can_be_a_method():
    class Loader:
        def __init__(self, base):
            self.base = base

        @task
        def load(self, x):
            return self.base + x

    loader = Loader(10)

    def scene():
        return loader.load(1), loader.load.submit(2).result(), loader.load.map([3, 4]).result(), Loader.load(loader, 5)

    assert in_flow(scene) == (11, 12, [13, 14], 15)


def test_a_task_can_be_a_class_method_or_a_static_method_either_way_round():
    class Loader:
        base = 10

        @task
        @classmethod
        def inside(cls, x):
            return cls.base + x

        @classmethod
        @task
        def outside(cls, x):
            return cls.base + x

        @task
        @staticmethod
        def plain(x):
            return x

        @staticmethod
        @task
        def outer_plain(x):
            return x

    class Other(Loader):
        base = 20

    assert [Loader.inside(1), Other.inside(1), Other().inside(1)] == [11, 21, 21]
    assert Other.outside(1) == 21
    assert [Loader.plain(1), Loader().plain(1), Loader.outer_plain(2), Loader().outer_plain(2)] == [1, 1, 2, 2]


def test_a_flow_can_be_a_method():
    class Pipeline:
        @flow
        def run(self, x):
            return add(x, 1)

    assert Pipeline().run(1) == 2


def test_the_result_of_a_cancelled_task_raises():
    begun, gate = threading.Event(), threading.Event()
    futures = []

    @task
    def first():
        begun.set()
        gate.wait()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def fails():
        futures.append(first.submit())
        futures.append(add.submit(1, 2))
        futures[1].add_done_callback(lambda _: gate.set())
        begun.wait()
        raise ValueError("over")

    fails(return_state=True)
    with pytest.raises(CancelledRunError, match="is ending"):
        futures[1].result()
