"""Timeouts of flows and tasks, in threads, on event loops and in the main thread."""

import asyncio
import signal
import threading
import time
import weakref

import pytest

from penstock import flow, runtime, task
from penstock.authoring.runs import futures
from penstock.errors import OptionError

LIMIT_S = 0.05


def spin():
    """Work without end, in steps that can be interrupted."""
    while True:
        time.sleep(0.001)


def test_a_task_that_takes_too_long_is_timed_out():
    state = task(spin, timeout_seconds=LIMIT_S)(return_state=True)
    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert "exceeded timeout of 0.05 second(s)" in state.message
    with pytest.raises(TimeoutError, match="exceeded timeout"):
        state.result()


def test_a_flow_that_takes_too_long_is_timed_out():
    state = flow(spin, timeout_seconds=LIMIT_S)(return_state=True)
    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert "Flow run exceeded timeout of 0.05 second(s)" in state.message


def test_a_timeout_uses_up_a_retry():
    @task(timeout_seconds=LIMIT_S, retries=1)
    def slow_once():
        if runtime.task_run.run_count == 1:
            spin()
        return runtime.task_run.run_count

    @flow
    def both():
        return slow_once(), slow_once.submit().result()

    assert both() == (2, 2)


def test_a_submitted_task_is_timed_out_in_time_even_if_it_waits_in_a_call_that_cannot_be_stopped():
    gate = threading.Event()

    @flow
    def scene():
        future = task(gate.wait, name="stuck", timeout_seconds=LIMIT_S).submit()
        future.wait()
        name = future.state.name
        gate.set()
        return name

    assert scene() == "TimedOut"


def test_the_next_attempt_begins_when_the_one_that_took_too_long_has_really_ended():
    gate, order = threading.Event(), []

    def open_gate(task, task_run, state):
        if task_run.run_count == 2:
            gate.set()

    @task(timeout_seconds=LIMIT_S, retries=1, on_running=[open_gate])
    def stuck():
        if runtime.task_run.run_count == 2:
            order.append("second begins")
            return
        try:
            gate.wait()
        finally:
            order.append("first ends")

    @flow
    def scene():
        stuck.submit().result()

    scene()
    assert order == ["first ends", "second begins"]


def test_a_blocking_call_in_the_main_thread_is_interrupted():
    gate = threading.Event()
    state = task(gate.wait, name="blocked", timeout_seconds=LIMIT_S)(return_state=True)
    assert state.name == "TimedOut"


def test_code_that_catches_every_exception_is_stopped_all_the_same():
    @task(timeout_seconds=LIMIT_S)
    def stubborn():
        while True:
            try:
                spin()
            except Exception:  # noqa: BLE001 - that is the point
                continue

    assert stubborn(return_state=True).name == "TimedOut"


def test_the_timeout_of_a_flow_ends_a_task_that_has_a_longer_one():
    runs = []

    @task(timeout_seconds=100, retries=5)
    def inner():
        spin()

    @flow(timeout_seconds=LIMIT_S, on_failure=[lambda flow, run, state: runs.append(run)])
    def outer():
        inner()

    assert outer(return_state=True).name == "TimedOut"
    assert runs[0].run_count == 1


def test_the_timeout_of_a_task_is_not_that_of_its_flow():
    @flow(timeout_seconds=100)
    def outer():
        return task(spin, timeout_seconds=LIMIT_S)(return_state=True).name

    assert outer() == "TimedOut"


def test_a_flow_that_is_timed_out_stops_what_it_submitted():
    started = threading.Event()
    futures = []

    @task
    def endless():
        started.set()
        spin()

    @flow(timeout_seconds=1)
    def outer():
        futures.append(endless.submit())
        started.wait()
        spin()

    assert outer.with_options(timeout_seconds=0.2)(return_state=True).name == "TimedOut"
    assert futures[0].state.name == "Cancelled"


def test_a_coroutine_that_takes_too_long_is_timed_out():
    @task(timeout_seconds=LIMIT_S)
    async def slow():
        await asyncio.Event().wait()

    @flow
    async def outer():
        direct = await slow(return_state=True)
        submitted = slow.submit()
        submitted.wait()
        return direct.name, submitted.state.name

    assert asyncio.run(outer()) == ("TimedOut", "TimedOut")


def test_a_flow_of_coroutines_that_takes_too_long_is_timed_out():
    @flow(timeout_seconds=LIMIT_S)
    async def slow():
        await asyncio.Event().wait()

    assert asyncio.run(slow(return_state=True)).name == "TimedOut"


def test_a_timeout_error_of_the_tasks_own_is_a_failure():
    @task(timeout_seconds=100)
    async def own():
        raise TimeoutError("of a socket")

    state = asyncio.run(own(return_state=True))
    assert (state.name, str(state.data)) == ("Failed", "of a socket")


def test_the_alarm_of_a_program_is_given_back_to_it():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    old = signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        task(spin, timeout_seconds=LIMIT_S)(return_state=True)
        assert 990 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
        signal.raise_signal(signal.SIGALRM)
        assert rang == [1]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *old)


def test_a_negative_time_is_refused():
    with pytest.raises(OptionError, match="timeout_seconds=-1"):
        task(timeout_seconds=-1)(spin)


def test_an_alarm_that_strikes_where_python_ignores_exceptions_rings_again():
    class Thing:
        pass

    def callback(_):
        spin()

    @flow(timeout_seconds=LIMIT_S)
    def outer():
        thing = Thing()
        reference = weakref.ref(thing, callback)
        del thing
        spin()
        return reference

    assert outer(return_state=True).name == "TimedOut"


def test_threads_block_in_slices_so_that_a_signal_that_came_before_is_noticed(monkeypatch):
    wait, slices = threading.Event.wait, []

    def note(event, timeout=None):
        slices.append(timeout)
        return wait(event, timeout)

    @flow
    def outer():
        future = task(threading.Event().wait, name="waits", timeout_seconds=3 * futures.SLICE_S).submit()
        monkeypatch.setattr(threading.Event, "wait", note)
        future.wait()

    outer(return_state=True)
    assert len(slices) >= 3
    assert None not in slices


def block():
    """Block the event loop for longer than the limit."""
    time.sleep(2 * LIMIT_S)


async def caught():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "late"


@pytest.mark.parametrize(
    "late", [pytest.param(lambda: asyncio.sleep(0, block()), id="blocks"), pytest.param(caught, id="catches")]
)
def test_a_coroutine_whose_result_comes_too_late_is_timed_out(late):
    async def body():
        return await late()

    async def scene():
        called = await task(body, name="late", timeout_seconds=LIMIT_S)(return_state=True)
        submitted = task(body, name="late", timeout_seconds=LIMIT_S).submit()
        await submitted.wait_async()
        return called.name, submitted.state.name

    state = asyncio.run(flow(body, name="late", timeout_seconds=LIMIT_S)(return_state=True))
    assert asyncio.run(flow(name="scene")(scene)()) == ("TimedOut", "TimedOut")
    assert state.name == "TimedOut"


def test_a_function_whose_result_comes_too_late_is_timed_out():
    def stubborn():
        try:
            spin()
        except BaseException:  # noqa: BLE001 - that is the point
            return "late"

    @flow
    def scene():
        called = task(stubborn, timeout_seconds=LIMIT_S)(return_state=True)
        submitted = task(stubborn, timeout_seconds=LIMIT_S).submit()
        submitted.wait()
        return called.name, submitted.state.name

    assert flow(stubborn, timeout_seconds=LIMIT_S)(return_state=True).name == "TimedOut"
    assert scene() == ("TimedOut", "TimedOut")
