"""Python flows become Flows: what calls become, and that the result is a Flow that the cluster would take."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import enum
import json
import math
import re
import threading
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import Field

from penstock import Flow, allow_failure, flow, pause_flow_run, runtime, task, transaction, unmapped
from penstock.artifacts import create_markdown_artifact
from penstock.authoring.compilation import CompileWarning, compile_flow, compile_flows, flow_name
from penstock.cache_policies import INPUTS, RUN_ID
from penstock.engine.validation.validation import check_flow, parse_flow
from penstock.errors import CompileError
from penstock.futures import as_completed, wait


@task
def load(day: str) -> int:
    return len(day)


@task
def take(value: Any) -> Any:
    return value


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def total(rows: list[int]) -> int:
    return sum(rows)


def compiled(made: Flow[..., Any], **options: Any) -> dict[str, Any]:
    """Compile a flow of a test's own, and have its Flow checked as the cluster would."""
    manifest = compile_flow(made, entrypoint="tests:flow", image="penstock:dev", **options)
    assert check_flow(parse_flow(manifest)) == []
    return manifest


def tasks(made: Flow[..., Any]) -> dict[str, Any]:
    return {each["name"]: each for each in compiled(made)["spec"]["tasks"]}


def values(compiled_task: dict[str, Any]) -> str:
    found: str = next(each["value"] for each in compiled_task["env"] if each["name"] == "PENSTOCK_VALUES")
    return found


def test_a_result_handed_on_is_a_dependency():
    @flow
    def etl(day: str):
        total.submit([load.submit(day)])

    made = tasks(etl)

    assert made["total"]["dependsOn"] == ["load"]
    assert values(made["total"]) == "$([tasks.load.outputs, run.name, run.uid])"


def test_calls_wait_for_each_other_and_submitted_tasks_do_not():
    @flow
    def etl():
        load("a")
        load.submit("b")
        load.submit("c")
        load("d")
        load("e")

    made = tasks(etl)

    waits = {name: each.get("dependsOn") for name, each in made.items()}
    assert waits == {"load": None, "load-2": ["load"], "load-3": ["load"], "load-4": ["load"], "load-5": ["load-4"]}


@pytest.mark.parametrize(
    "wait_for",
    [
        pytest.param(lambda f: f, id="one future"),
        pytest.param(lambda f: [f], id="a list"),
        pytest.param(lambda f: {"a": f}, id="a dictionary of futures"),
        pytest.param(lambda f: {"a": f}.values(), id="the values of a dictionary"),
        pytest.param(lambda f: (each for each in [f]), id="a generator"),
        pytest.param(lambda f: f.result(), id="a result"),
    ],
)
def test_what_a_task_waits_for_can_be_given_in_any_way(wait_for):
    @flow
    def etl():
        load.submit("b", wait_for=wait_for(load.submit("a")))

    assert tasks(etl)["load-2"]["dependsOn"] == ["load"]


def test_a_task_waits_for_the_futures_that_a_list_had_when_it_was_submitted():
    @flow
    def etl():
        futures: list[Any] = []
        for day in ("a", "b", "c"):
            futures.append(load.submit(day, wait_for=futures))

    waits = {name: each.get("dependsOn") for name, each in tasks(etl).items()}
    assert waits == {"load": None, "load-2": ["load"], "load-3": ["load", "load-2"]}


def test_map_over_a_param_over_results_and_over_the_items_of_another():
    @flow
    def etl(days: list[str]):
        rows = load.map(days)
        more = add.map(rows, unmapped(2))
        add.map(total.submit(more), [1, 2])

    made = tasks(etl)

    assert made["load"]["forEach"] == {"items": "$(params.days)"}
    assert made["add"]["forEach"] == {"count": "$(size(params.days))"}
    assert made["add-2"]["forEach"] == {"items": [1, 2]}


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (bool, "used as a condition"),
        (str, "converted to text"),
        (lambda rows: "%s" % rows, "use an f-string in the function of the flow"),  # noqa: UP031 - what is tested
        (len, "measured with len()"),
        (list, "iterated over"),
        (lambda rows: rows.real, "read for its attribute .real"),
        (lambda rows: {rows: 1}, "looked up in a dictionary"),
        (lambda rows: rows[0:1], "indexed by [slice"),
    ],
)
def test_what_depends_on_data_is_refused_with_its_line_and_what_to_do(use, message):
    @flow
    def etl():
        use(load("a"))

    with pytest.raises(
        CompileError, match=rf"test_compile_flows\.py:\d+: the result of 'load' is .*{re.escape(message)}.*run_as='pod'"
    ):
        compile_flow(etl, entrypoint="tests:flow")


def test_a_failure_that_is_allowed_neither_skips_what_follows_nor_fails_the_run():
    @flow
    def etl():
        total.submit(allow_failure(load.submit("a")))

    made = tasks(etl)

    assert made["load"]["allowFailed"] == 1
    assert made["total"]["dependsOnStates"] == [
        {"task": "load", "states": ["Completed", "Failed", "Cancelled", "Skipped"]}
    ]


def test_options_of_tasks_are_fields_of_the_manifest():
    @flow(image="flow:1", env={"A": "a"}, workspace={"size": "1Gi"}, timeout_seconds=60, version="7", name="My Flow")
    def etl(day: str):
        """Do it."""
        tuned(day)

    manifest = compiled(etl, storage=None)
    (made,) = manifest["spec"]["tasks"]

    assert manifest["metadata"]["name"] == "my-flow"
    assert manifest["metadata"]["annotations"]["penstock.dev/flow-version"] == "7"
    assert manifest["spec"]["timeout"] == "60s"
    assert manifest["spec"]["description"] == "Do it."
    assert manifest["spec"]["defaults"]["env"] == [
        {"name": "A", "value": "a"},
        {"name": "PENSTOCK_STORAGE", "value": "/workspace/.penstock"},
    ]
    assert made["retry"] == {
        "limit": 3, "nonRetryableExitCodes": [78], "delay": "1s", "factor": 10, "maxDelay": "60s", "jitter": "20%",
    }  # fmt: skip
    assert made["timeout"] == "1500ms"
    assert made["resources"] == {"limits": {"memory": "1Gi"}}
    assert made["cache"] == {"key": "$([params.day, run.uid])", "ttl": "3600s"}
    assert {"name": "B", "value": "$(params.day)"} in made["env"]


@task(
    retries=3, retry_delay_seconds=[1, 10, 60], retry_jitter_factor=0.2, timeout_seconds=1.5,
    cache_policy=INPUTS + RUN_ID, cache_expiration=3600, resources={"limits": {"memory": "1Gi"}},
    env={"B": "$(params.day)"},
)  # fmt: skip
def tuned(day: str) -> str:
    return day


@pytest.mark.parametrize(
    ("delays", "want"),
    [
        (5, {"delay": "5s"}),
        ([2, 4, 8], {"delay": "2s", "factor": 2, "maxDelay": "8s"}),
        ([1, 10, 60], {"delay": "1s", "factor": 10, "maxDelay": "60s"}),
        ([1, 3], {"delay": "1s", "factor": 3, "maxDelay": "3s"}),
        ([0.5, 7200], {"delay": "500ms", "factor": 100, "maxDelay": "7200s"}),
        (7200, {"delay": "7200s", "maxDelay": "7200s"}),
        ([1, 1, 10], None),
        ([10, 1], None),
        ([0, 1], None),
    ],
)
def test_delays_follow_the_rule_that_a_flow_has_or_are_refused(delays, want):
    @flow
    def etl():
        load.with_options(retries=3, retry_delay_seconds=delays)("a")

    if want is None or delays == [0.5, 7200]:
        with pytest.raises(CompileError, match=r"retry_delay_seconds=.* of task 'load' cannot be expressed in a Flow"):
            compile_flow(etl, entrypoint="tests:flow")
        return
    retry = tasks(etl)["load"]["retry"]
    assert {name: retry[name] for name in retry if name not in {"limit", "nonRetryableExitCodes"}} == want


class Methods:
    @task
    def method(self) -> int:
        return 1

    @staticmethod
    @task
    def static() -> int:
        return 1


def in_a_try():
    try:
        load("a")
    except ValueError:
        load("b")


def in_a_try_for_groups():
    try:
        load("a")
    except* ValueError:
        load("b")


def suppressed():
    with contextlib.suppress(ValueError):
        load("a")


def in_a_transaction():
    with transaction():
        load("a")


def in_a_loop():
    for future in load.map(["a", "b"]):
        future.result()


def loops_over_nothing():
    for day in list[str]():
        load(day)


def makes_a_task():
    task(lambda: 1, name="inner")()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (in_a_try, "'load' is called inside the `try` of line"),
        (in_a_try_for_groups, "'load' is called inside the `try` of line"),
        (suppressed, "'load' is called inside the `with suppress()` of line"),
        (in_a_transaction, "'load' is called inside `with transaction()`"),
        (in_a_loop, "get all results with futures.result()"),
        (makes_a_task, "is defined inside of a function"),
        (lambda: Methods().method(), "task 'method' is a method"),
        (lambda: load.submit("a").result(timeout=3), "set timeout_seconds on the task instead"),
        (lambda: load.submit("a").result(raise_on_failure=False), "pass allow_failure(future) to the task"),
        (lambda: take("-".join([take("a")])), "that is known only when the flow runs (sequence item 0"),
        (lambda: take(json.dumps(take("a"))), "(Object of type ResultSymbol is not JSON serializable)"),
        (lambda: [take(each) for each in take("a")], "known only when the flow runs: use .map()"),
        (lambda: load("a", return_state=True).is_failed(), ".is_failed of the state of 'load'"),
        (lambda: load.submit("a").done(), "done() of the future of 'load'"),
        (lambda: list(as_completed([load.submit("a")])), "add_done_callback() of the future"),
        (lambda: load.submit(*["a", "b"]), "invalid arguments for 'load': too many positional arguments"),
        (load.map, "missing a required argument"),
        (lambda: load.map("abc"), "has no list or other iterable to map over"),
        (lambda: add.map([1, 2], [1]), "needs lists of one length; got [1, 2]"),
        (lambda: load.map(take("a")["rows"]), "return that part from a task"),
        (lambda: take(object), None),
        (lambda: take(threading.Lock()), "cannot be written to a manifest"),
        (lambda: load.with_options(cache_key_fn=lambda *_: "x")("a"), "use a cache_policy"),
        (lambda: load.with_options(refresh_cache=True)("a"), "refresh_cache=True of task 'load'"),
        (lambda: load.with_options(on_failure=[print])("a"), "set by with_options, which has no effect in the Pod"),
        (lambda: take(runtime.flow_run.id), "the id of the run is converted to text"),
        (lambda: take(runtime.flow_run.name), None),
        (lambda: pause_flow_run(str), "make the value a param of the flow"),
        (lambda: [load("a"), create_markdown_artifact("x")], "create it in a task"),
        (loops_over_nothing, "calls no task, so there is nothing to run"),
        (Methods.static, None),
    ],
)  # fmt: skip
def test_what_a_flow_does_not_support_is_refused_and_named(body, message):
    @flow
    def etl():
        body()

    if message is None:
        assert compiled(etl)
        return
    with pytest.raises(CompileError, match=rf"^\S*test_compile_flows\.py:\d+: .*{re.escape(message)}"):
        compile_flow(etl, entrypoint="tests:flow")


class Mode(enum.Enum):
    FULL = "full"
    PART = "part"


def test_params_have_the_types_defaults_and_choices_of_the_signature():
    @flow
    def etl(
        day: dt.date, rows: list[int], options: dict[str, Any], mode: Mode = Mode.PART, ratio: float = 0.5, n=3,
        since: dt.date = dt.date(2026, 11, 22), most: int | None = None, until: dt.date | None = None,
        kind: Literal["a", "b"] = "a",
    ):  # fmt: skip
        take(day)

    assert compiled(etl)["spec"]["params"] == [
        {"name": "day", "type": "string"},
        {"name": "rows", "type": "array"},
        {"name": "options", "type": "object"},
        {"name": "mode", "type": "string", "enum": ["full", "part"], "default": "part"},
        {"name": "ratio", "type": "number", "default": 0.5},
        {"name": "n", "type": "integer", "default": 3},
        {"name": "since", "type": "string", "default": "2026-11-22"},
        {"name": "most", "type": "integer", "required": False},
        {"name": "until", "type": "string", "required": False},
        {"name": "kind", "type": "string", "enum": ["a", "b"], "default": "a"},
    ]


def test_the_default_of_a_param_may_be_a_field_of_pydantic():
    @flow
    def report(
        rows: int = Field(default=5, ge=1), where: str = Field("eu", description="a region"), most: int = Field(gt=3),
        names: list[str] = Field(default_factory=lambda: ["a"]),  # noqa: B008 - pydantic's way
        since: dt.date | None = Field(default=None),  # noqa: B008
        day: dt.date = Field(default_factory=lambda: dt.date(2026, 11, 30)),  # noqa: B008
    ):  # fmt: skip
        take(f"{rows} {where}")
        for name in names:
            take(name)

    with pytest.warns(CompileWarning) as warned:
        made = compiled(report)["spec"]
    assert [
        re.findall(r"param '(\w+)'.* is (always|the result of `\S*<lambda>`)", str(each.message)) for each in warned
    ] == [
        [("names", "always")],
        [("day", "the result of `test_the_default_of_a_param_may_be_a_field_of_pydantic.<locals>.<lambda>`")],
    ]
    assert made["params"] == [
        {"name": "rows", "type": "integer", "minimum": 1, "default": 5},
        {"name": "where", "type": "string", "default": "eu"},
        {"name": "most", "type": "integer"},
        {"name": "since", "type": "string", "required": False},
        {"name": "day", "type": "string", "default": "2026-11-30"},
    ]
    assert len(made["tasks"]) == 2

    @flow
    def outer():
        report(most=4)

    assert tasks(outer)["report"]["flow"]["params"] == {"most": 4}


def no_annotation(x):
    take(x)


def two_types(x: int | str):
    take(x)


def many(*x: str):
    take(x)


def many_named(**x: str):
    take(x)


@pytest.mark.parametrize(
    ("kind", "default", "message"),
    [
        (float, math.nan, "is or contains nan, which JSON does not have: use None, and make the number in a task"),
        (float, -math.inf, "is or contains -inf, which JSON does not have: use None"),
        (list[float], [math.nan], "is or contains nan"),
        (dict[str, Any], {"a": [math.inf]}, "is or contains inf"),
        (list[int], (1, 2), "is or contains a tuple, which JSON does not have: use a list"),
        (int, 10**30, f"is or contains {10**30}, which does not fit into 64 bits: use a text"),
        (list[int], [10**30], f"is or contains {10**30}, which does not fit into 64 bits: use a text"),
        (str, "\ud800", "has half of a surrogate pair, which a manifest cannot contain: make the text in a task"),
        (dict, {1: 2}, "has the key 1, but keys in JSON are texts: use texts as keys"),
        (str, 5, "is 5, but its annotation is of the type string: change the default, or the annotation"),
        (int, True, "is True, but its annotation is of the type integer"),
        (Annotated[int, Field(ge=3)], "x", "is 'x', but its annotation is of the type integer"),
    ],
)
def test_a_default_that_a_manifest_cannot_have_is_refused_with_line_and_way_out(kind, default, message):
    def etl(x=default):
        take(x)

    etl.__annotations__["x"] = kind
    line = etl.__code__.co_firstlineno
    with pytest.raises(CompileError, match=rf"test_compile_flows\.py:{line}: .*{re.escape(message)}"):
        compile_flow(flow(etl), entrypoint="tests:flow")


@pytest.mark.parametrize("default", [2.0, True, [1.5, None, {"a": "b"}], {}, "ü"])
def test_a_default_of_plain_values_is_kept(default):
    def etl(x=default):
        take(x)

    etl.__annotations__["x"] = type(default)
    assert compiled(flow(etl))["spec"]["params"][0]["default"] == default


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (no_annotation, "'x' of flow 'no-annotation' has no annotation: add its type: x: str"),
        (two_types, "has several types, but a param has one: annotate it with one type"),
        (many, ": *x of flow 'many' cannot be a param: name each parameter, or use one list"),
        (many_named, ": **x of flow 'many-named' cannot be a param: name each parameter, or use one dictionary"),
    ],
)
def test_parameters_that_can_be_no_params_are_refused(fn, message):
    with pytest.raises(CompileError, match=re.escape(message)):
        compile_flow(flow(fn), entrypoint="tests:flow")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": 1}, "retries=1 of flow 'etl' is not supported, because its function does not run in a Pod"),
        (
            {"on_running": [print]},
            "on_running of flow 'etl' is not supported, because its function does not run in a Pod",
        ),
        ({"flow_run_name": "x"}, "flow_run_name of flow 'etl' is not supported, because the run has its name before"),
    ],
)
def test_options_that_only_a_running_function_has_are_refused(options, message):
    @flow(**options)
    def etl():
        load("a")

    with pytest.raises(CompileError, match=re.escape(message)):
        compile_flow(etl, entrypoint="tests:flow")


@task
async def fetch(day: str) -> int:
    return len(day)


def test_coroutines_that_are_gathered_run_side_by_side():
    @flow
    async def etl():
        one, two = await asyncio.gather(fetch("a"), fetch("b"))
        await fetch(await take.submit(one))
        return [one, two]

    waits = {name: each.get("dependsOn") for name, each in tasks(etl).items()}

    assert waits == {
        "fetch": None, "fetch-2": None, "take": ["fetch", "fetch-2"], "fetch-3": ["take"],
    }  # fmt: skip


@flow
def child(rows: int, words: list[str]) -> int:
    return add(rows, len("words"))


@flow(run_as="pod")
def whole(rows: int) -> int:
    return rows


def test_flows_in_flows_are_children_or_pods():
    @flow
    def etl(n: int):
        rows = load("a")
        made = child(rows, ["$(x)"])
        return whole(made), child(n, [])

    made = tasks(etl)

    assert made["child"]["flow"] == {
        "name": "child", "params": {"rows": "$(tasks.load.outputs.?result.orValue(null))", "words": ["$$(x)"]},
    }  # fmt: skip
    assert made["whole"]["args"][0].endswith(":whole")
    assert "\"plain_for\":\"the param 'rows' of flow 'child'\"" in made["load"]["env"][0]["value"]


def test_a_pause_is_an_approval():
    @flow
    def etl():
        load("a")
        pause_flow_run(key="go_on", message="Publish $(x)?", timeout=60)
        load("b")

    made = tasks(etl)

    assert made["go-on"] == {
        "name": "go-on", "dependsOn": ["load"], "approval": {"message": "Publish $$(x)?", "timeout": "60s"},
    }  # fmt: skip
    assert made["load-2"]["dependsOn"] == ["go-on"]


def test_more_values_than_one_expression_holds_are_spread():
    @flow
    def etl():
        total([load.submit("x") for _ in range(200)])

    env = [each["name"] for each in tasks(etl)["total"]["env"]]

    assert env == ["PENSTOCK_CALL", "PENSTOCK_VALUES", "PENSTOCK_VALUES_1"]


@flow
def ping(n: int):
    take(n)
    pong(n)


@flow
def pong(n: int):
    ping(n)
    ping(n)


@flow(name="ping")
def other_ping(n: int):
    take(n)


def test_each_flow_is_compiled_once_however_often_it_is_called():
    manifests = compile_flows(ping, image="x", entrypoint="tests:ping")

    assert [each["metadata"]["name"] for each in manifests] == ["pong", "ping"]


def test_two_flows_of_one_name_are_refused():
    @flow
    def etl():
        ping(1)
        other_ping(2)

    with pytest.raises(CompileError, match="two flows become the Flow 'ping': 'ping': rename one of them"):
        compile_flows(etl, entrypoint="tests:flow")


def test_results_that_go_with_a_run_are_not_cached_for_others():
    @flow(workspace={"size": "1Gi"})
    def etl():
        load.with_options(cache_policy=INPUTS)("a")

    assert compile_flow(etl, entrypoint="tests:flow", storage="s3://bucket")
    with pytest.raises(CompileError, match="set a permanent storage on the flow, or add RUN_ID to the policy"):
        compile_flow(etl, entrypoint="tests:flow")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task_run_name": "x"}, "task_run_name of task 'load' was set by with_options"),
        ({"retry_condition_fn": print}, "retry_condition_fn of task 'load' was set by with_options"),
    ],
)
def test_options_that_a_pod_would_not_see_are_refused(options, message):
    @flow
    def etl():
        load.with_options(**options)("a")

    with pytest.raises(CompileError, match=message):
        compile_flow(etl, entrypoint="tests:flow")


def test_a_flow_in_one_pod_can_not_be_varied_inside_of_another():
    @flow
    def etl():
        whole.with_options(retries=3)(1)

    with pytest.raises(CompileError, match="retries of flow 'whole' was set by with_options"):
        compile_flow(etl, entrypoint="tests:flow")


def test_waiting_for_futures_waits_for_their_end():
    @flow
    def etl():
        wait(load.map(["a", "b"]))
        wait([add.submit(1, 2)])
        load("c")

    made = tasks(etl)

    waits = [each["task"] for each in made["load-2"]["dependsOnStates"]]
    assert waits == ["add"]
    assert made["add"]["dependsOnStates"][0]["task"] == "load"
    assert made["load"]["allowFailed"] == "100%"


def test_a_failure_that_was_waited_for_fails_the_run_if_what_the_flow_needs_is_built_on_it():
    @flow
    def etl():
        future = take.submit("a")
        wait([future])
        return total([load.submit(future)])

    @flow
    def other():
        future = take.submit("a")
        wait([future])
        load.submit(future)

    with_use, without = tasks(etl), tasks(other)

    assert "allowFailed" not in with_use["take"]
    assert without["take"]["allowFailed"] == 1


def test_long_chains_of_submitted_tasks_are_compiled():
    @flow
    def etl():
        future = take.submit(0)
        for _ in range(1500):
            future = take.submit(future)
        return future.result()

    made = compile_flow(etl, entrypoint="tests:flow")

    assert len(made["spec"]["tasks"]) == 1501


@flow
def asks_a_param(x: str | None = None):
    if x is None:
        load("a")


@flow
def asks_a_result(x: str):
    rows = take(x)
    if isinstance(rows, list):
        load("a")


@flow
def asks_itself(x: str):
    name = None
    load(x if name is None else "a")


@pytest.mark.parametrize(
    ("asking", "line", "message"),
    [(asks_a_param, 2, "the identity or type of 'x' is"), (asks_a_result, 3, "the identity or type of 'rows' is")],
)
def test_what_a_symbol_can_not_notice_is_found_in_the_source(asking, line, message):
    number = asking.fn.__code__.co_firstlineno + line

    with pytest.raises(
        CompileError, match=rf"test_compile_flows\.py:{number}: {message} known only when the flow runs"
    ):
        compile_flow(asking, entrypoint="tests:flow")
    assert compiled(asks_itself)


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (["load_orders", "Load Orders"], ["load-orders", "load-orders"]),
        (["7 days"], ["task-7-days"]),
        (["цех", "завод"], [r"task-[0-9a-f]{8}", r"task-[0-9a-f]{8}"]),
        (["Zürich", "zurich"], [r"zurich-[0-9a-f]{8}", "zurich"]),
        (["a" * 70, "a" * 71], [r"a{54}-[0-9a-f]{8}", r"a{54}-[0-9a-f]{8}"]),
    ],
)
def test_names_that_a_label_cannot_hold_stay_apart(names, want):
    labels = [flow_name(flow(lambda: None, name=name)) for name in names]
    assert all(re.fullmatch(pattern, label) for pattern, label in zip(want, labels, strict=True)), labels
    if any("[0-9a-f]" in pattern for pattern in want):
        assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 63


@flow(name="load_all")
def one_load():
    load("a")


@flow(name="load-all")
def other_load():
    load("b")


def test_flows_that_would_be_one_flow_are_refused():
    @flow
    def etl():
        one_load()
        other_load()

    with pytest.raises(CompileError, match="two flows become the Flow"):
        compile_flows(etl, entrypoint="tests:flow")


class Holder(pydantic.BaseModel):
    x: Any


@pytest.mark.parametrize("wrap", [lambda x: Holder(x=x), lambda x: {x: 1}])
def test_a_future_in_an_argument_that_is_pickled_is_refused_with_a_way_out(wrap):
    @flow
    def etl():
        take(wrap(load.submit("a")))

    with pytest.raises(
        CompileError,
        match=r"the run of 'load' is inside of an argument that is pickled.*: pass it as an argument of its own",
    ):
        compile_flow(etl, entrypoint="tests:flow")


@flow(name="AB")
def capital():
    load("a")


@flow(name="ab")
def small():
    load("b")


def test_flows_that_differ_by_capitals_only_are_named():
    @flow
    def etl():
        capital()
        small()

    with pytest.raises(CompileError, match="two flows become the Flow 'ab': 'AB' and 'ab': rename one of them"):
        compile_flows(etl, entrypoint="tests:flow")


def test_names_without_letters_and_digits_stay_apart():
    labels = {flow_name(flow(lambda: None, name=name)) for name in ("-", "_", "task", "!")}
    assert len(labels) == 4


@pytest.mark.parametrize("value", ["\ud83d", ["\ud83d"], {"\ud83d": 1}])
def test_a_text_that_no_manifest_can_contain_is_refused_with_its_line(value):
    @flow
    def etl():
        take(value)

    number = etl.fn.__code__.co_firstlineno + 2
    with pytest.raises(CompileError, match=rf"test_compile_flows\.py:{number}: a text .* half of a surrogate pair"):
        compile_flow(etl, entrypoint="tests:flow")
