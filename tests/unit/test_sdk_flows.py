"""Flows in this process: results, states, parameters and flows inside of flows."""

import datetime as dt
import threading
from typing import Any, NamedTuple

import pydantic
import pytest

from penstock import flow, get_run_logger, runtime, task
from penstock.errors import MissingContextError, ParameterError, UpstreamFailedError
from penstock.futures import Future
from penstock.states import Cancelled, Completed, Failed
from penstock.task_runners import ThreadPoolTaskRunner


class Pair(NamedTuple):
    good: Any
    bad: Any


@task
def add(x, y):
    return x + y


@task
def fail(message="broken"):
    raise ValueError(message)


def test_a_flow_returns_what_its_function_returns():
    @flow
    def total(numbers):
        return sum(numbers)

    assert total([1, 2]) == 3


def test_a_flow_raises_what_its_function_raises():
    @flow
    def broken():
        raise ValueError("no such day")

    with pytest.raises(ValueError, match="no such day"):
        broken()


def test_with_return_state_a_failed_flow_is_a_state():
    @flow
    def broken():
        raise ValueError("no such day")

    state = broken(return_state=True)
    assert (state.type, state.name) == ("FAILED", "Failed")
    assert "no such day" in state.message
    assert isinstance(state.result(raise_on_failure=False), ValueError)


def test_a_failed_task_that_is_called_fails_the_flow_with_its_exception():
    @flow
    def calls():
        fail("seen")
        return "not reached"

    with pytest.raises(ValueError, match="seen"):
        calls()


def test_a_failed_future_that_is_not_read_leaves_the_flow_completed_with_a_warning(caplog):
    @flow
    def careless():
        fail.submit()
        return 1

    state = careless(return_state=True)
    assert state.is_completed()
    [warning] = [record for record in caplog.records if "did not check" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert "fail-0" in warning.getMessage()


def test_a_failed_future_whose_state_was_read_causes_no_warning(caplog):
    @flow
    def careful():
        future = fail.submit()
        future.wait()
        return "failed" if future.state.is_failed() else "fine"

    assert careful() == "failed"
    assert not [record for record in caplog.records if "did not check" in record.getMessage()]


def test_a_flow_that_returns_futures_fails_if_one_of_them_failed():
    @flow
    def both():
        return [add.submit(1, 2), fail.submit()]

    state = both(return_state=True)
    assert state.is_failed()
    assert state.message == "1/2 states failed."


def test_a_flow_that_returns_a_list_of_futures_gives_their_states():
    @flow
    def both():
        return [add.submit(1, 2), add.submit(3, 4)]

    states = both()
    assert [state.result() for state in states] == [3, 7]


@pytest.mark.parametrize(
    ("collect", "want"),
    [
        pytest.param(lambda good, bad: (good, bad), "1/2 states failed.", id="a tuple"),
        pytest.param(lambda good, bad: {"good": good, "bad": bad}, "1/2 states failed.", id="a dictionary"),
        pytest.param(lambda good, bad: {"good": [good], "bad": bad}, "1/2 states failed.", id="a list in a dictionary"),
        pytest.param(lambda good, bad: [[good], (good, bad)], "1/3 states failed.", id="collections in a list"),
        pytest.param(Pair, "1/2 states failed.", id="a named tuple"),
        pytest.param(lambda good, bad: bad, "Task run encountered an exception: ValueError: broken", id="one future"),
    ],
)
def test_futures_in_what_a_flow_returns_decide_about_it(collect, want):
    @flow
    def both():
        return collect(add.submit(1, 2), fail.submit())

    assert both(return_state=True).message == want


def test_a_failed_future_among_other_values_leaves_the_flow_completed_with_a_loud_warning(caplog):
    @flow
    def mixed():
        return [fail.submit(), 5]

    assert mixed(return_state=True).is_completed()
    assert "did not check: fail-0" in caplog.text


def test_a_flow_that_returns_a_dictionary_of_futures_gives_their_states():
    @flow
    def one():
        return {"a": add.submit(1, 2)}

    assert one()["a"].result() == 3


def test_states_replace_futures_wherever_they_are():
    @flow
    def nested():
        return {"a": [add.submit(1, 2)], "b": Pair(add.submit(3, 4), (add.submit(5, 6),))}

    found = nested()
    assert [found["a"][0].result(), found["b"].good.result(), found["b"].bad[0].result()] == [3, 7, 11]


def test_a_list_that_is_in_itself_is_returned_as_it_is():
    @flow
    def endless():
        found: list[Any] = [1]
        found.append(found)
        return found

    found = endless()
    assert found[1] is found


def test_a_flow_that_returns_a_future_gives_its_result():
    @flow
    def one():
        return add.submit(1, 2)

    assert one() == 3


@pytest.mark.parametrize(
    ("returned", "want"),
    [
        pytest.param(Failed(message="m"), ("FAILED", "Failed", "m"), id="a failed state with its message"),
        pytest.param(Completed(name="Skipped"), ("COMPLETED", "Skipped", None), id="a completed state by another name"),
        pytest.param(Cancelled(), ("CANCELLED", "Cancelled", None), id="a cancelled state"),
    ],
)
def test_a_state_that_a_flow_returns_is_the_flows_own(returned, want):
    @flow
    def states():
        return returned

    state = states(return_state=True)
    assert (state.type, state.name, state.message) == want


def test_a_flow_inside_fails_the_one_around_it():
    @flow
    def inner():
        raise ValueError("inner")

    @flow
    def outer():
        inner()

    with pytest.raises(ValueError, match="inner"):
        outer()


def test_a_flow_that_requests_the_state_of_an_inner_flow_continues():
    @flow
    def inner():
        raise ValueError("inner")

    @flow
    def outer():
        return "on" if inner(return_state=True).is_failed() else "off"

    assert outer() == "on"


def test_a_flow_inside_knows_the_one_around_it():
    @flow
    def inner():
        return runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id

    @flow
    def outer():
        return runtime.flow_run.id, *inner()

    own, parent, root = outer()
    assert own == parent == root


def test_a_flow_runs_inside_of_a_task():
    @flow
    def inner(x):
        return add.submit(x, 1).result()

    @task
    def call(x):
        return inner(x)

    @flow
    def outer():
        return call.map([1, 2, 3]).result()

    assert outer() == [2, 3, 4]


def test_a_parameter_is_converted_to_its_annotation():
    @flow
    def typed(x: int):
        return x

    assert typed("5") == 5


def test_a_parameter_of_the_wrong_type_fails_the_flow_before_its_body():
    called = []

    @flow
    def typed(x: int):
        called.append(x)

    state = typed("abc", return_state=True)
    assert state.is_failed()
    assert state.message.startswith("Flow run received invalid parameters: ")
    assert "x: " in state.message
    assert not called


def test_all_wrong_parameters_are_reported_together():
    @flow
    def typed(x: int, *ys: float, **zs: bool):
        return x, ys, zs

    with pytest.raises(ParameterError, match=r"x: .*ys\.1: .*zs\.b: "):
        typed("a", 1, "b", a=True, b="perhaps")


def test_parameters_of_any_type_pass_where_their_type_is_a_class_of_the_user():
    class Connection:
        pass

    connection = Connection()

    @flow
    def uses(connection: Connection, options: dict[str, int]):
        return connection, options

    assert uses(connection, {"a": "1"}) == (connection, {"a": 1})


def test_parameters_are_left_as_they_are_if_the_flow_says_so():
    @flow(validate_parameters=False)
    def typed(x: int):
        return x

    assert typed("5") == "5"


def test_a_model_of_pydantic_is_made_of_a_dictionary():
    class Day(pydantic.BaseModel):
        month: int
        day: int

    @flow
    def on(day: Day):
        return day.month

    assert on({"month": "2", "day": 3}) == 2


def test_arguments_that_a_flow_does_not_take_are_refused_before_there_is_a_run():
    @flow
    def none():
        return 1

    with pytest.raises(ParameterError, match="too many positional"):
        none(1, return_state=True)


def test_a_flow_takes_futures_for_parameters():
    @flow
    def inner(x: int):
        return x + 1

    @flow
    def outer():
        return inner(add.submit(1, 2))

    assert outer() == 4


def test_a_flow_does_not_start_on_a_failed_future():
    @flow
    def inner(x):
        return x

    @flow
    def outer():
        return inner(fail.submit())

    with pytest.raises(UpstreamFailedError, match=r"fail-0.*ValueError: broken"):
        outer()


def test_a_flow_waits_for_all_that_it_submitted():
    done = []

    @task
    def note(x):
        done.append(x)

    @flow
    def submits():
        note.map(list(range(100)))

    submits()
    assert sorted(done) == list(range(100))


def test_tasks_that_have_not_started_do_not_start_after_the_flow_failed(caplog):
    started, begun, gate = [], threading.Event(), threading.Event()

    @task
    def first():
        started.append("first")
        begun.set()
        gate.wait()

    @task
    def second():
        started.append("second")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def fails():
        running = first.submit()
        waiting = second.submit()
        waiting.add_done_callback(lambda _: gate.set())
        states.extend([running, waiting])
        begun.wait()
        raise ValueError("over")

    states: list[Future[object]] = []
    with pytest.raises(ValueError, match="over"):
        fails()
    assert started == ["first"]
    assert [future.state.name for future in states] == ["Completed", "Cancelled"]


def test_a_flows_name_is_that_of_its_function_with_dashes():
    @flow
    def load_orders():
        """Load a day."""

    assert load_orders.name == "load-orders"
    assert load_orders.options.description == "Load a day."


def test_a_runs_name_is_made_of_parameters():
    @flow(flow_run_name="orders of {day}")
    def orders(day):
        return runtime.flow_run.name

    assert orders("monday") == "orders of monday"


def test_a_runs_name_is_made_of_parameters_as_they_are_validated():
    @flow(flow_run_name="orders of {day:%Y}")
    def orders(day: dt.date):
        return runtime.flow_run.name

    assert orders("2026-11-22") == "orders of 2026"
    with pytest.raises(ParameterError, match="invalid parameters: day: "):
        orders("monday")


def test_a_flow_changes_its_own_list_and_not_that_of_its_caller_or_its_default():
    @flow
    def grow(rows: list = [], more: list[int] = [], seen={}):  # noqa: B006 - what is tested
        rows.append(1)
        more.append(2)
        seen["a"] = len(seen)
        return rows, more

    mine = [0]
    assert grow() == grow() == ([1], [2])
    assert grow(mine, mine) == ([0, 1], [0, 2])
    assert mine == [0]


def test_a_runs_name_is_made_by_a_function():
    @flow(flow_run_name=lambda: "mine")
    def orders():
        return runtime.flow_run.name

    assert orders() == "mine"


def test_the_log_of_a_run_names_it(caplog):
    @flow(flow_run_name="tuesday")
    def logs():
        get_run_logger().info("row %d", 5)

    logs()
    [record] = [record for record in caplog.records if record.getMessage() == "row 5"]
    assert record.run_name == "tuesday"
    assert record.flow_name == "logs"


def test_the_log_of_a_run_needs_a_run():
    with pytest.raises(MissingContextError, match="outside of a flow or task"):
        get_run_logger()


def test_prints_are_logged_where_the_flow_says_so(caplog, capsys):
    @task
    def inherits():
        print("from", "task", sep=" a ")

    @task(log_prints=False)
    def refuses():
        print("plain")

    @flow(log_prints=True)
    def prints():
        print("from flow")
        inherits()
        refuses()

    prints()
    messages = [record.getMessage() for record in caplog.records]
    assert "from flow" in messages
    assert "from a task" in messages
    assert capsys.readouterr().out == "plain\n"


def test_a_parameter_whose_default_is_none_may_be_none_whatever_its_annotation():
    @flow
    def etl(day: dt.date = None, n: int = None):  # type: ignore[assignment]  # noqa: RUF013 - what is tested
        return day, n

    assert etl() == (None, None)
    assert etl(None, n=None) == (None, None)
    assert etl("2026-01-02", "3") == (dt.date(2026, 1, 2), 3)
    with pytest.raises(ParameterError):
        etl("never")
