"""What hooks, names and contexts read: the attributes of runs, flows and tasks that Prefect's have."""

import asyncio
import functools
import json
import logging
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from penstock import flow, get_run_logger, runtime, task
from penstock.client.schemas.objects import State, StateType
from penstock.context import FlowRunContext, TaskRunContext, get_run_context
from penstock.errors import FailedRunError, MissingContextError, NotOfferedError, OptionError
from penstock.futures import wait
from penstock.logging import disable_run_logger, get_logger
from penstock.states import AwaitingRetry, Cancelled, Cancelling, Completed, Failed, Late, Paused, Suspended
from penstock.task_runners import (
    ConcurrentTaskRunner,
    ProcessPoolTaskRunner,
    SequentialTaskRunner,
    ThreadPoolTaskRunner,
)


def test_a_hook_of_a_flow_reads_what_a_notification_needs():
    seen: dict[str, Any] = {}

    def notify(flow, run, state):
        seen.update({name: getattr(run, name) for name in dir(run) if not name.startswith("_")}, flow=flow)

    @flow(on_completion=[notify], version="2")
    def report(x: int = 1):
        return runtime.flow_run.id

    run_id = report()
    assert (seen["state_name"], seen["state_type"], str(seen["id"])) == ("Completed", StateType.COMPLETED, run_id)
    assert isinstance(seen["flow_id"], UUID)
    assert isinstance(seen["expected_start_time"], datetime)
    assert isinstance(seen["total_run_time"], timedelta)
    assert seen["end_time"] >= seen["start_time"]
    assert (seen["flow_version"], seen["job_variables"], seen["auto_scheduled"]) == ("2", {}, False)
    of_a_server = ("deployment_id", "work_pool_name", "idempotency_key", "ui_url", "parent_task_run_id")
    assert {seen[name] for name in of_a_server} == {None}
    assert seen["flow"].version == "2"
    assert (seen["labels"], seen["context"], seen["infrastructure_document_id"]) == ({}, {}, None)
    assert isinstance(seen["state_id"], UUID)
    assert seen["empirical_policy"].retries == 0


def test_a_hook_of_a_task_reads_what_a_notification_needs():
    seen: dict[str, Any] = {}

    def notify(task, run, state):
        seen.update({name: getattr(run, name) for name in dir(run) if not name.startswith("_")})

    @task(on_completion=[notify], version="3")
    def load(x): ...

    @flow
    def report():
        load(1)
        return runtime.flow_run.id

    run_id = report()
    assert (seen["state_name"], str(seen["flow_run_id"]), seen["dynamic_key"]) == ("Completed", run_id, "0")
    assert (seen["task_version"], seen["task_inputs"], seen["flow_run_run_count"]) == ("3", {"x": []}, 1)
    assert seen["task_key"].startswith("load|")
    assert seen["cache_key"] is None


def test_a_policy_says_how_a_task_is_retried():
    seen = []
    task(
        name="t",
        retries=2,
        retry_delay_seconds=3,
        on_completion=[lambda task, run, state: seen.append(run.empirical_policy)],
    )(lambda: 1)()
    assert (seen[0].retries, seen[0].retry_delay) == (2, 3)


def test_a_state_has_an_id_and_can_be_copied():
    state = Failed(message="no")
    copied = state.model_copy(update={"name": "Lost"})
    assert isinstance(state.id, UUID)
    assert state.id == state.id
    assert state.id != Failed().id
    assert (copied.type, copied.name, copied.message, state.name) == (StateType.FAILED, "Lost", "no", "Failed")
    fresh = state.fresh_copy()
    assert (fresh.type, fresh.name, fresh.message) == (StateType.FAILED, "Failed", "no")
    assert fresh.id != state.id
    assert fresh.timestamp >= state.timestamp


def test_a_state_has_the_details_of_prefect():
    details = Failed().state_details
    assert (details.pause_timeout, details.retriable, details.deferred) == (None, None, False)
    # All fields of StateDetails of Prefect 3.
    assert set(vars(details)) == {
        *("flow_run_id", "task_run_id", "child_flow_run_id", "scheduled_time", "cache_key", "cache_expiration"),
        *("deferred", "untrackable_result", "pause_timeout", "pause_reschedule", "pause_key", "run_input_keyset"),
        *("refresh_cache", "retriable", "transition_id", "task_parameters_id", "traceparent"),
    }


def test_a_task_has_its_source_code():
    @task
    def load():
        return 1

    assert load.source_code is not None
    assert load.source_code.strip().startswith("@task")
    assert task(name="t")(len).source_code is None


def test_a_run_has_no_attributes_that_prefect_has_not():
    found = []
    flow(name="f", on_completion=[lambda flow, run, state: found.append(hasattr(run, "nothing"))])(lambda: 1)()
    assert found == [False]


@pytest.mark.parametrize(
    ("made", "want"),
    [
        (
            task(name="t", retries=2, retry_delay_seconds=[1, 2.5], tags=["a"], timeout_seconds=5)(len),
            {"retries": 2, "retry_delay_seconds": [1, 2.5], "tags": {"a"}, "timeout_seconds": 5, "isasync": False},
        ),
        (
            task(name="t", cache_expiration=timedelta(days=1), refresh_cache=True, retry_jitter_factor=0.5)(len),
            {
                "cache_expiration": timedelta(days=1),
                "refresh_cache": True,
                "retry_jitter_factor": 0.5,
                "asset_deps": [],
            },
        ),
        (
            flow(name="f", version="1", log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=3))(lambda: 1),
            {"version": "1", "log_prints": True, "task_runner": ThreadPoolTaskRunner(3), "isgenerator": False},
        ),
        (flow(name="f")(lambda: 1), {"retries": 0, "timeout_seconds": None, "on_failure_hooks": [], "description": ""}),
    ],
)
def test_options_are_attributes_of_flows_and_tasks(made, want):
    assert {name: getattr(made, name) for name in want} == want
    assert not hasattr(made, "nothing")


def test_name_functions_read_the_run_that_they_name():
    def of_flow():
        return f"{runtime.flow_run.flow_name}-for-{runtime.flow_run.parameters['who']}"

    def of_task():
        return f"{runtime.flow_run.parameters['who']}-{runtime.task_run.parameters['n']}-{runtime.task_run.task_name}"

    @task(task_run_name=of_task)
    def step(n):
        return runtime.task_run.name

    @flow(flow_run_name=of_flow)
    def report(who):
        return runtime.flow_run.name, step(1), step.submit(2).result(), child("inner")

    @flow(flow_run_name=of_flow)
    def child(who):
        return runtime.flow_run.name

    assert report("ada") == ("report-for-ada", "ada-1-step", "ada-2-step", "child-for-inner")
    assert runtime.flow_run.name is None


def test_a_name_function_that_fails_says_which():
    with pytest.raises(OptionError, match="flow_run_name failed: KeyError: 'nobody'"):
        flow(name="f", flow_run_name=lambda: runtime.flow_run.parameters["nobody"])(lambda: 1)()


def test_the_contexts_of_the_current_runs():
    @task
    def step(x):
        context, around = get_run_context(), FlowRunContext.get()
        assert isinstance(context, TaskRunContext)
        assert around is not None
        return context.task.name, context.parameters, around.flow.name, TaskRunContext.get() is not None

    @flow
    def report(y):
        context = get_run_context()
        assert isinstance(context, FlowRunContext)
        get_run_logger(context).info("by its context")
        return context.flow_run.flow_name, context.parameters, TaskRunContext.get(), step(1)

    assert report(2) == ("report", {"y": 2}, None, ("step", {"x": 1}, "report", True))
    assert FlowRunContext.get() is None
    with pytest.raises(MissingContextError):
        get_run_context()


def test_what_only_a_server_knows_is_none():
    @flow
    def report():
        deployment, run = runtime.deployment, runtime.flow_run
        return deployment.name, deployment.id, deployment.parameters, deployment.flow_run_id == run.id, run.ui_url

    assert report() == (None, None, {}, True, None)


def test_the_function_of_a_task_is_tested_without_a_run(caplog):
    @task
    def load():
        get_run_logger().info("loading")
        return 1

    with caplog.at_level(logging.INFO), disable_run_logger():
        assert load.fn() == 1
    assert "loading" not in caplog.text
    with pytest.raises(MissingContextError):
        load.fn()


def test_other_loggers_are_below_ours():
    names = [get_logger(name).name for name in (None, "mine", "penstock.x")]
    assert names == ["penstock", "penstock.mine", "penstock.x"]


@pytest.mark.parametrize(
    ("state", "want"),
    [
        (State(type=StateType.FAILED), ("Failed", "FAILED")),
        (State(type="COMPLETED", name="Done"), ("Done", "COMPLETED")),
        (AwaitingRetry(), ("AwaitingRetry", "SCHEDULED")),
        (Cancelling(), ("Cancelling", "CANCELLING")),
        (Suspended(), ("Suspended", "PAUSED")),
        (Late(), ("Late", "SCHEDULED")),
    ],
)
def test_states_are_made_as_in_prefect(state, want):
    assert (state.name, state.type) == want


@pytest.mark.parametrize(
    ("returned", "want"),
    [
        ((Cancelled(), Completed(), Failed()), ("CANCELLED", "1/3 states cancelled.")),
        ([Completed(), Failed(), Failed()], ("FAILED", "2/3 states failed.")),
        ((Paused(), Completed()), ("FAILED", "1/2 states are not final.")),
        ([Paused(), Failed(), Completed()], ("FAILED", "1/3 states failed.")),
        ((Paused(), Cancelled()), ("CANCELLED", "1/2 states cancelled.")),
        ([Completed(), Completed()], ("COMPLETED", "All states completed.")),
    ],
)
def test_a_flow_that_returns_several_states_is_cancelled_if_one_of_them_is(returned, want):
    state = flow(name="f")(lambda: returned)(return_state=True)
    assert (state.type, state.message) == want


def test_a_task_that_returns_a_state_gives_it_to_its_caller():
    made = {"failed": Failed(message="no rows"), "done": Completed(message="nothing new", data=0)}

    @task
    def load(which):
        return made[which]

    @task
    async def load_async(which):
        return made[which]

    @flow
    async def scene():
        return {"got": (load("failed"), load("done"), await load_async("failed"), await load_async("done"))}

    assert asyncio.run(scene())["got"] == (made["failed"], made["done"]) * 2


def test_the_future_of_a_task_that_returns_failed_raises():
    @task
    def load():
        return Failed(message="no rows")

    @flow
    def scene():
        with pytest.raises(FailedRunError, match="no rows"):
            load.submit().result()

    scene()


def test_a_child_flow_that_completed_does_not_run_again_when_its_caller_is_retried(home):
    calls = []
    attempts = []

    @flow(persist_result=True)
    def child(x):
        calls.append(x)
        return len(calls)

    @flow
    def forgetful(x):
        calls.append(x)

    @flow(retries=1)
    def outer():
        got = [child("a"), child("a"), child("b")]
        forgetful("again")
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("first")
        return got

    assert outer() == [1, 2, 3]
    assert calls == ["a", "a", "b", "again", "again"]
    assert outer() == [6, 7, 8]


def test_task_runners_are_objects_or_classes():
    for runner in (ThreadPoolTaskRunner, ConcurrentTaskRunner(), ThreadPoolTaskRunner(max_workers=2), None):
        made = flow(name="f", task_runner=runner)(lambda: 1)
        assert made() == 1
    with pytest.raises(OptionError, match="must be a ThreadPoolTaskRunner; for other machines, map"):
        flow(name="f", task_runner=functools.partial)(lambda: 1)  # type: ignore[arg-type]  # that is the point


def test_a_sequential_runner_runs_one_task_after_the_other():
    running: list[int] = []
    seen: list[list[int]] = []

    @task
    def step(number):
        running.append(number)
        seen.append(list(running))
        running.remove(number)

    @flow(task_runner=SequentialTaskRunner())
    def main():
        wait([step.submit(number) for number in range(20)])

    main()
    assert seen == [[number] for number in range(20)]


def test_a_pool_of_processes_says_that_it_is_none():
    with pytest.warns(UserWarning, match="runs tasks in threads of this process"):
        runner = ProcessPoolTaskRunner(max_workers=2)
    assert flow(name="f", task_runner=runner)(lambda: 1)() == 1


def test_hooks_dump_and_copy_runs_and_states():
    seen: dict[str, Any] = {}

    @task(tags=["b", "a"], on_completion=[lambda task, run, state: seen.update(task=run)])
    def load(x):
        return x

    @flow(on_completion=[lambda flow, run, state: seen.update(flow=run, state=state)])
    def report(day: date):
        return load(1)

    report(date(2026, 11, 30))
    dumped = seen["flow"].model_dump()
    assert (dumped["parameters"], dumped["state"]["type"]) == ({"day": date(2026, 11, 30)}, StateType.COMPLETED)
    assert isinstance(dumped["total_run_time"], timedelta)
    as_json = json.loads(seen["flow"].model_dump_json())
    assert as_json == seen["flow"].model_dump(mode="json")
    assert (as_json["parameters"], as_json["state"]["data"]) == ({"day": "2026-11-30"}, 1)
    assert as_json["deployment_id"] is None
    assert (as_json["empirical_policy"]["retries"], type(as_json["total_run_time"])) == (0, float)
    assert seen["task"].model_dump(include={"name", "tags", "cache_key"}, exclude_none=True) == {
        "name": "load-0",
        "tags": ["a", "b"],
    }
    assert "state" not in seen["task"].dict(exclude={"state"})
    assert json.loads(seen["state"].json())["name"] == "Completed"
    copied = seen["flow"].model_copy(update={"name": "other"})
    assert (copied.name, copied.state_name, seen["flow"].name == "other") == ("other", "Completed", False)
    with pytest.raises(OptionError, match="a FlowRun has no attribute of this name that can be set"):
        seen["flow"].model_copy(update={"state_name": "Lost"})


def test_a_run_with_values_that_json_has_not_is_dumped():
    state = Failed(message="no", data=ValueError("no"))
    assert json.loads(state.model_dump_json())["data"] == "no"


class Region(BaseModel):
    name: str


def test_the_parameters_of_a_flow_are_a_json_schema():
    class Unknown: ...

    @flow
    def report(
        day: date, rows: int = 5, region: Region | None = None, most: int = Field(default=9, gt=3),
        other: Any = Unknown, **rest: str,
    ): ...  # fmt: skip

    made = report.parameters
    assert made.required == ["day"]
    assert made.properties["day"] == {"type": "string", "format": "date", "title": "day", "position": 0}
    assert made.properties["rows"] == {"type": "integer", "default": 5, "title": "rows", "position": 1}
    assert (made.properties["most"]["exclusiveMinimum"], made.properties["most"]["default"]) == (3, 9)
    assert made.properties["region"]["anyOf"][0] == {"$ref": "#/definitions/Region"}
    assert made.definitions["Region"]["properties"]["name"]["type"] == "string"
    assert list(made.model_dump()) == ["title", "type", "properties", "required", "definitions"]


def test_contexts_have_the_options_that_apply(tmp_path):
    seen: list[Any] = []

    def read():
        context = get_run_context()
        store = context.result_store
        seen.append((context.log_prints, context.persist_result, store.serializer.type, store.result_storage.basepath))
        return context

    @task
    def plain():
        read()

    @task(log_prints=False, persist_result=False, result_serializer="json")
    def own():
        read()

    @flow
    def inner():
        read()
        plain()
        own()

    runner = ThreadPoolTaskRunner(max_workers=3)

    @flow(log_prints=True, persist_result=True, result_storage=tmp_path, task_runner=runner)
    def outer():
        context = read()
        assert isinstance(context, FlowRunContext)
        assert context.task_runner == runner
        inner()
        for name in ("read", "awrite"):
            with pytest.raises(NotOfferedError, match=rf"result stores have no {name}\(\): .* call state.result\(\)"):
                getattr(context.result_store, name)
        with pytest.raises(NotOfferedError, match="contexts have no client: there is no server"):
            context.client  # noqa: B018 - that it is asked for

    outer()
    inherited = (True, True, "pickle", str(tmp_path))
    assert seen == [inherited, inherited, inherited, (False, False, "json", str(tmp_path))]


def test_the_logger_of_a_run_has_the_names_that_prefects_records_have():
    @task
    def step():
        return dict(get_run_logger().extra or {})

    @flow(flow_run_name="monday")
    def report():
        return dict(get_run_logger().extra or {}), step()

    of_flow, of_task = report()
    around = {"flow_run_name": "monday", "flow_name": "report"}
    assert around.items() <= of_flow.items()
    assert {**around, "task_run_name": "step-0", "task_name": "step"}.items() <= of_task.items()
