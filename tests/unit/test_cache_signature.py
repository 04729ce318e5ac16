"""What of a task decides whether cached outputs are its own."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan

DEFAULTS: dict[str, Any] = {"image": "etl:1", "env": [{"name": "A", "value": "1"}]}
TASK: dict[str, Any] = {
    "command": ["load"],
    "args": ["--day", "$(params.day)"],
    "env": [{"name": "B", "value": "1"}],
    "cache": {"key": "$(params.day)"},
}


def signature(defaults: dict[str, Any] | None = None, **task: Any) -> str:
    spec = {
        "params": [{"name": "day"}],
        "defaults": DEFAULTS | (defaults or {}),
        "tasks": [{"name": "load", **TASK, **task}],
    }
    cache = compile_plan(FlowSpec.model_validate(spec)).tasks[0].cache
    assert cache is not None
    return cache.signature


@pytest.mark.parametrize(
    ("defaults", "task"),
    [
        pytest.param({}, {"image": "etl:2"}, id="its image"),
        pytest.param({"image": "etl:2"}, {}, id="the image of the defaults"),
        pytest.param({}, {"command": ["store"]}, id="its command"),
        pytest.param({}, {"args": ["$(params.day)"]}, id="its arguments, as written"),
        pytest.param({}, {"command": None, "script": "echo"}, id="a script"),
        pytest.param({}, {"env": [{"name": "B", "value": "2"}]}, id="its environment"),
        pytest.param({"env": [{"name": "A", "value": "2"}]}, {}, id="the environment that the defaults add"),
        pytest.param({"podTemplate": {"metadata": {"labels": {"a": "b"}}}}, {}, id="the podTemplate of the defaults"),
        pytest.param({}, {"serviceAccountName": "etl"}, id="its service account"),
    ],
)
def test_what_makes_it_another_task(defaults, task):
    assert signature(defaults, **task) != signature()


@pytest.mark.parametrize(
    ("defaults", "task"),
    [
        pytest.param({}, {"retry": {"limit": 3}, "timeout": "1h"}, id="how often and how long it is tried"),
        pytest.param({}, {"resources": {"requests": {"cpu": "2"}}}, id="what it may use"),
        pytest.param({}, {"description": "loads"}, id="what is said of it"),
        pytest.param({"retry": {"limit": 3}}, {}, id="how often others are tried"),
    ],
)
def test_what_does_not(defaults, task):
    assert signature(defaults, **task) == signature()


def test_a_default_image_that_the_task_does_not_use_does_not_count():
    assert signature({"image": "etl:1"}, image="own:1") == signature({"image": "etl:2"}, image="own:1")
