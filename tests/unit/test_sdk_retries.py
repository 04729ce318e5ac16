"""Retries of flows and tasks: how often, after how long, and when not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import flow, runtime, task
from penstock.authoring.options.retry_delays import retry_delay_s
from penstock.engine.backoff import attempt_digest, jittered_s
from penstock.errors import OptionError
from penstock.task_runners import ThreadPoolTaskRunner
from penstock.tasks import exponential_backoff

delays = st.lists(st.floats(0, 1e6), min_size=1, max_size=6).map(tuple)


def names(run):
    return [state.name for state in run.history]


def run_in_flow(function):
    """Run a task in a flow, submitted, and return its run."""

    @flow
    def scene():
        future = function.submit()
        future.wait()
        return future.task_run if future.state else None

    return scene()


@pytest.fixture
def always_fails():
    @task(retries=2, retry_delay_seconds=[0.1, 0.3])
    def fails():
        raise ValueError("no")

    return fails


def test_a_task_that_always_fails_is_tried_as_often_as_it_says(always_fails, sleeps):
    run = run_in_flow(always_fails)
    assert run.run_count == 3
    assert names(run) == ["Pending", "Running", "Retrying", "Running", "Retrying", "Running", "Failed"]
    assert sleeps == [0.1, 0.3]


def test_a_list_of_delays_repeats_its_last_one(always_fails, sleeps):
    run_in_flow(always_fails.with_options(retries=4))
    assert sleeps == [0.1, 0.3, 0.3, 0.3]


def test_a_called_task_waits_as_a_submitted_one(always_fails, sleeps):
    state = always_fails(return_state=True)
    assert state.is_failed()
    assert sleeps == [0.1, 0.3]


def test_a_task_that_succeeds_at_last_is_completed(sleeps):
    @task(retries=3)
    def third_time():
        if runtime.task_run.run_count < 3:
            raise ValueError("not yet")
        return runtime.task_run.run_count

    run = run_in_flow(third_time)
    assert run.state.is_completed()
    assert run.run_count == run.state.result() == 3
    assert sleeps == [0.0, 0.0]


def test_a_task_is_not_tried_again_if_its_condition_says_no(sleeps):
    seen = []

    def is_passing(task, task_run, state):
        seen.append((task.name, task_run.run_count, state.name))
        return False

    @task(retries=3, retry_condition_fn=is_passing)
    def fails():
        raise ValueError("no")

    assert run_in_flow(fails).run_count == 1
    assert seen == [("fails", 1, "Failed")]


def test_a_task_is_not_tried_again_if_its_condition_raises(sleeps, caplog):
    def broken(*_):
        raise KeyError("k")

    @task(retries=3, retry_condition_fn=broken)
    def fails():
        raise ValueError("no")

    run = run_in_flow(fails)
    assert (run.run_count, run.state.name) == (1, "Failed")
    assert "retry_condition_fn raised KeyError" in caplog.text


def test_a_condition_can_be_a_coroutine_function(sleeps):
    async def is_passing(task, task_run, state):
        return task_run.run_count < 2

    @task(retries=5, retry_condition_fn=is_passing)
    def fails():
        raise ValueError("no")

    assert run_in_flow(fails).run_count == 2


def test_each_attempt_of_a_flow_gives_its_tasks_their_whole_budget(sleeps):
    attempts, ids, flow_runs = [], set(), []

    @task(retries=2)
    def fails():
        attempts.append(1)
        ids.add(runtime.task_run.id)
        raise ValueError("no")

    @flow(retries=1, on_failure=[lambda flow, run, state: flow_runs.append(run)])
    def outer():
        fails()

    outer(return_state=True)
    assert len(attempts) == 6
    assert len(ids) == 2
    assert names(flow_runs[0]) == ["Pending", "Running", "Retrying", "Running", "Failed"]


@pytest.mark.parametrize(("persist_result", "calls"), [(True, 1), (False, 2)])
def test_a_flow_that_is_tried_again_keeps_the_results_that_were_persisted(persist_result, calls, sleeps):
    called = []

    @task(persist_result=persist_result)
    def once(x):
        called.append(x)
        return x

    @flow(retries=1)
    def outer():
        assert once(1) == 1
        if runtime.flow_run.run_count == 1:
            raise ValueError("no")
        return "done"

    assert outer() == "done"
    assert len(called) == calls


def test_memory_errors_are_tried_again(sleeps):
    @task(retries=1)
    def greedy():
        raise MemoryError

    run = run_in_flow(greedy)
    assert (run.run_count, run.state.name) == (2, "Failed")


def test_a_task_that_waits_for_its_next_attempt_takes_no_place(monkeypatch):
    waiting = []
    monkeypatch.setattr("penstock.local.threads.timer.TIMER.call_later", lambda delay_s, resume: waiting.append(resume))

    @task(retries=1, retry_delay_seconds=100)
    def fails_once():
        if runtime.task_run.run_count == 1:
            raise ValueError("no")
        return "at last"

    @task
    def other():
        waiting.pop()()
        return "meanwhile"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def both():
        first = fails_once.submit()
        return other.submit().result(), first.result()

    assert both() == ("meanwhile", "at last")


def test_delays_can_be_made_by_a_function():
    @task(retries=4, retry_delay_seconds=exponential_backoff(backoff_factor=3))
    def doubles(): ...

    assert doubles.options.retry_delays_s == (3, 6, 12, 24)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"retries": -1}, id="a negative number of retries"),
        pytest.param({"retries": 1.5}, id="half a retry"),
        pytest.param({"retry_delay_seconds": -1}, id="a negative delay"),
        pytest.param({"retry_delay_seconds": [1, "2"]}, id="a delay that is a text"),
        pytest.param({"retry_delay_seconds": [1] * 51}, id="too many delays"),
        pytest.param({"retry_jitter_factor": -0.1}, id="a negative jitter"),
        pytest.param({"retry_delay_seconds": float("inf")}, id="infinity"),
    ],
)
def test_what_can_be_no_retry_is_refused_when_decorating(options):
    with pytest.raises(OptionError, match="@task"):
        task(name="load", **options)(lambda: None)


@given(delays, st.integers(1, 20), st.text(max_size=5), st.integers(0, 9))
def test_without_jitter_the_delay_is_that_of_the_list(given_delays, attempt, name, index):
    delay_s = retry_delay_s(given_delays, jitter=0, run_id="r", name=name, index=index, attempt=attempt)
    assert delay_s == given_delays[min(attempt, len(given_delays)) - 1]


@given(delays, st.floats(0, 3), st.integers(1, 20), st.integers(0, 9))
def test_jitter_stays_in_its_range_and_is_the_same_in_every_process(given_delays, jitter, attempt, index):
    def delay_s():
        return retry_delay_s(given_delays, jitter=jitter, run_id="r", name="t", index=index, attempt=attempt)

    base_s = given_delays[min(attempt, len(given_delays)) - 1]
    assert max(0, base_s * (1 - jitter)) * 0.999999 <= delay_s() <= base_s * (1 + jitter) * 1.000001
    assert delay_s() == delay_s()


@given(st.floats(0.1, 1e3), st.floats(0.01, 1), st.integers(1, 5))
def test_jitter_is_that_of_the_engine(base_s, jitter, attempt):
    ours = retry_delay_s((base_s,), jitter=jitter, run_id="r", name="t", index=3, attempt=attempt)
    assert ours == jittered_s(base_s, jitter=jitter, digest=attempt_digest("r", "t", 3, attempt))


def test_jitter_sends_items_that_failed_together_back_apart():
    waits = {retry_delay_s((10.0,), jitter=0.5, run_id="r", name="t", index=index, attempt=1) for index in range(50)}
    assert len(waits) == 50
