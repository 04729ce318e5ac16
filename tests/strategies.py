"""Hypothesis strategies for what users write."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from penstock.api.flow import FlowSpec

# Names that are prefixes of each other, words of CEL's, and plain ones.
TASK_NAMES = ("a", "a-b", "a-b-c", "in", "true", "load", "load-2", "list-files", "x1", "null", "report", "z")
PARAMS: list[dict[str, Any]] = [
    {"name": "day", "default": "2026-11-22"},
    {"name": "flag", "type": "boolean", "default": True},
    {"name": "regions", "type": "array", "default": ["eu", "us"]},
    {"name": "in", "type": "integer", "default": 2},
]

json_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value."""


def _optional(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | values.map(lambda value: {key: value})


# Made once: Hypothesis examines each new strategy, which costs more than drawing from it.
retries = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.integers(0, 2),
        "infrastructure": st.integers(0, 2),
        "delay": st.sampled_from(["0s", "500ms", "10s"]),
        "factor": st.integers(1, 3),
        "maxDelay": st.sampled_from(["1s", "1m"]),
        "jitter": st.sampled_from(["0%", "20%", "100%"]),
        "when": st.sampled_from(["failure.attempt < 2", "failure.reason != 'ExitCode'", "failure.exitCode > 1"]),
        "nonRetryableExitCodes": st.sampled_from([[1], [2, 3]]),
        "nodeLostAfter": st.sampled_from(["1s", "10m", "Never"]),
    },
)
kinds = st.sampled_from(["container"] * 6 + ["flow", "approval"])
name_orders = st.permutations(TASK_NAMES)
finally_names = st.sampled_from([(), (), ("clean",), ("clean", "tell")])
given_out = st.sampled_from(["outputs", "state", "reason", "exitCode"])
rarely = st.sampled_from([False, False, True])
states = st.sampled_from([["Failed"], ["Completed", "Failed"], ["Skipped", "Cancelled"], ["TimedOut"]])
optional_retry = _optional("retry", retries)
optional_run_timeout = _optional("timeout", st.sampled_from(["20s", "5m", "2h"]))
optional_failure_policy = _optional("failurePolicy", st.sampled_from(["Stop", "Continue"]))
optional_finally_timeout = _optional("finallyTimeout", st.sampled_from(["10s", "1h"]))
optional_max_parallel = _optional("maxParallel", st.integers(1, 3))
optional_allowed_items = _optional("allowFailed", st.sampled_from([0, 1, "50%", "100%"]))
optional_allowed_task = _optional("allowFailed", st.integers(0, 1))
optional_approval_timeout = _optional("timeout", st.sampled_from(["5s", "1h"]))
optional_clocks = [
    _optional(clock, st.sampled_from(["1s", "30s", "1h"])) for clock in ("timeout", "queueTimeout", "deadline")
]


@st.composite
def flow_specs(draw: st.DrawFn, *, max_tasks: int = 8, max_items: int = 4) -> FlowSpec:
    """Draw a Flow spec that compiles.

    Its tasks wait for each other by dependsOn, outputs and state, in any order in the list; some have when, fan out,
    retry or time out; some are child flows or approvals. Every run can start with no params given. Items never depend
    on what a task gave out, but args and when do: outputs without `rows` are a case.
    """
    names = draw(name_orders)[:max_tasks]
    names = names[: draw(st.integers(1, len(names)))]
    tasks: list[dict[str, Any]] = []
    shapes: dict[str, bool] = {}
    for name in names:
        kind = draw(kinds)
        for_each = None if kind == "approval" else draw(_for_eaches(max_items))
        tasks.append(draw(_tasks(name, shapes, for_each, kind)))
        shapes[name] = for_each is not None
    outputs = {f"state_{index}": f"$(tasks.{name}.state)" for index, name in enumerate(shapes) if draw(st.booleans())}
    spec: dict[str, Any] = {
        "params": PARAMS,
        "defaults": {"image": "registry.example/etl:1", **draw(optional_retry)},
        "tasks": draw(st.permutations(tasks)),
        "outputs": outputs,
        **draw(optional_run_timeout),
        **draw(optional_failure_policy),
        **draw(_finally(shapes)),
    }
    return FlowSpec.model_validate(spec)


@st.composite
def _finally(draw: st.DrawFn, main: dict[str, bool]) -> dict[str, Any]:
    """Draw finally tasks, which may refer to all others and to each other."""
    shapes = dict(main)
    tasks = []
    for name in draw(finally_names):
        task = draw(_tasks(name, shapes, None, "container"))
        task["args"].append("$(run.state)")
        tasks.append(task)
        shapes[name] = False
    if not tasks:
        return {}
    return {"finally": tasks, **draw(optional_finally_timeout)}


@cache
def _for_eaches(max_items: int) -> st.SearchStrategy[dict[str, Any] | None]:
    return st.none() | st.one_of(
        st.integers(0, max_items).map(lambda count: {"count": count}),
        st.just({"count": "$(params.in)"}),
        st.lists(st.integers(0, 9) | st.sampled_from(["$(params.day)", "x"]), max_size=max_items).map(
            lambda items: {"items": items}
        ),
        st.sampled_from(["$(params.regions)", "$(params.regions.map(r, r + '!'))"]).map(lambda items: {"items": items}),
        st.just({"matrix": {"region": "$(params.regions)", "n": [1, 2]}}),
    )


@st.composite
def _tasks(
    draw: st.DrawFn, name: str, earlier: dict[str, bool], for_each: dict[str, Any] | None, kind: str
) -> dict[str, Any]:
    """Draw a task that refers to earlier ones only, so that no cycle comes about."""
    some: st.SearchStrategy[list[str]] = st.just([])
    if earlier:
        some = st.lists(st.sampled_from(sorted(earlier)), max_size=2, unique=True)
    args = ["--day=$(params.day)", "$(HOME)", "$$(literal)"]
    args += [f"$(tasks.{other}.{draw(given_out)})" for other in draw(some)]
    args += [
        f"--rows=$(tasks.{other}.outputs.rows)" for other in draw(some) if not earlier[other] and draw(st.booleans())
    ]
    task: dict[str, Any] = {"name": name, "args": draw(st.lists(st.sampled_from(args), max_size=3, unique=True))}
    if draw(st.booleans()):
        task["dependsOn"] = draw(some)
    if draw(st.booleans()):
        task["when"] = draw(_conditions(draw(some), earlier))
    free = [other for other in draw(some) if f"{other}.outputs" not in str(task) and other not in str(task["args"])]
    free = [other for other in free if other not in task.get("dependsOn", ())]
    if draw(st.booleans()):
        chosen = draw(states)
        task["dependsOnStates"] = [{"task": other, "states": chosen} for other in free]
    if for_each is not None:
        task["forEach"] = for_each
        task["args"] += ["$(item)", "$(index)"]
        task |= draw(optional_max_parallel)
        task |= draw(optional_allowed_items)
    else:
        task |= draw(optional_allowed_task)
    # What the kubelet expands, and its escapes, are for containers alone.
    texts = [text for text in task["args"] if text not in ("$(HOME)", "$$(literal)")]
    if kind == "approval":
        del task["args"]
        task["approval"] = {"message": " ".join(texts), **draw(optional_approval_timeout)}
        return task
    for optional_clock in optional_clocks:
        task |= draw(optional_clock)
    task |= draw(optional_retry)
    if kind == "flow":
        del task["args"]
        task["flow"] = {"name": "child", "params": {f"p{place}": text for place, text in enumerate(texts)}}
    elif draw(rarely):
        task["cache"] = {"key": "$(params.day)" + ("$(index)" if for_each is not None else "")}
    return task


def _conditions(others: list[str], shapes: dict[str, bool]) -> st.SearchStrategy[str]:
    conditions = ["true", "false", "params.flag", "$(params.day == '2026-11-22')"]
    for other in others:
        conditions += [f"tasks.{other}.state != 'Completed'", f"$(tasks['{other}'].state == 'Completed')"]
        if not shapes[other]:
            conditions += [f"has(tasks.{other}.outputs.rows)", f"tasks.{other}.outputs.rows > 0"]
    return st.sampled_from(conditions)
