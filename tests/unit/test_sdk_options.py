"""Options that are not offered or invalid, and names that exist in Prefect only."""

import importlib
from pathlib import Path

import pytest

import penstock
from penstock import flow, task
from penstock.authoring.options.options import FlowKeywords, FlowOptions, TaskKeywords, TaskOptions
from penstock.errors import NotOfferedError, OptionError, PenstockError
from penstock.task_runners import ThreadPoolTaskRunner

PREFECT = (
    "result_storage",
    "result_storage_key",
    "cache_result_in_memory",
    "viz_return_value",
    "asset_deps",
)
"""Options of Prefect 3 that are easily forgotten."""


def decorate(decorator, **options):
    """Decorate a function with options that type checkers refuse."""
    return decorator(**{"name": "load", **options})(lambda: None)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("asset_deps", "artifacts"),
        ("task_runner", "set it on the flow"),
        ("on_crashed", "set it on the flow"),
        ("retry_delay", "use retry_delay_seconds"),
        ("retrys", 'did you mean "retries"'),
    ],
)
def test_an_option_that_tasks_have_not_is_refused_with_what_to_do(option, message):
    with pytest.raises(OptionError, match=f"@task has no option '{option}'.*{message}"):
        decorate(task, **{option: 1})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tags", "with tags"),
        ("cache_policy", "persist_result=True on the flow"),
        ("retry_jitter_factor", "set it on the tasks"),
        ("task_run_name", "flow_run_name"),
        ("timeout", "use timeout_seconds"),
    ],
)
def test_an_option_that_flows_have_not_is_refused_with_what_to_do(option, message):
    with pytest.raises(OptionError, match=f"@flow has no option '{option}'.*{message}"):
        decorate(flow, **{option: 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"name": 5}, "must be str", id="a name that is a number"),
        pytest.param({"log_prints": "yes"}, "must be bool", id="a truth that is a text"),
        pytest.param({"retry_condition_fn": True}, "must be a function", id="a condition that is a truth"),
        pytest.param(
            {"tags": "nightly"}, r"must be a list of strings: tags=\['nightly'\]", id="tags that are one text"
        ),
        pytest.param({"on_failure": [1]}, "must be a list of functions", id="a hook that is a number"),
        pytest.param({"timeout_seconds": "1m"}, "must be a number", id="a time with its unit"),
        pytest.param({"task_run_name": "{day}"}, "unknown parameter 'day'", id="a name that is not a parameter"),
        pytest.param({"task_run_name": "{"}, "Single '{'", id="a name that can not be read"),
    ],
)
def test_a_value_that_can_not_be_is_refused_when_decorating(options, message):
    with pytest.raises(OptionError, match=message):
        decorate(task, **options)


def test_a_task_can_not_be_decorated_again():
    with pytest.raises(OptionError, match="is already a Task"):
        flow(task(name="t")(lambda: 1), name="f")


def test_a_pool_has_a_place_at_least():
    with pytest.raises(OptionError, match="must be 1 or more"):
        ThreadPoolTaskRunner(max_workers=0)


@pytest.mark.parametrize(("decorator", "kind"), [(task, "task"), (flow, "flow")])
def test_a_parameter_that_every_call_takes_for_itself_is_refused(decorator, kind):
    with pytest.raises(OptionError, match="'wait_for' of 'load' is reserved"):

        @decorator
        def load(wait_for): ...


def test_what_has_no_name_needs_one():
    with pytest.raises(OptionError, match="a lambda has no name"):
        task(lambda: 1)


def test_what_python_can_not_describe_can_not_be_decorated():
    with pytest.raises(OptionError, match="write a function that calls it"):
        task(name="m")(max)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aserve", "serve"),
        ("adeploy", "to_thread"),
        ("get_client", "kubectl"),
        ("rate_limit", "import it from"),
    ],
)
def test_a_name_that_only_prefect_has_is_refused_with_what_to_do(name, message):
    with pytest.raises(NotOfferedError, match=f"penstock has no '{name}'.*{message}"):
        getattr(penstock, name)


def test_importing_a_name_that_only_prefect_has_says_what_to_do():
    with pytest.raises(ImportError, match="there is no server"):
        from penstock import get_client  # type: ignore[attr-defined]  # noqa: F401, PLC0415 - that is the point


def test_an_unknown_module_is_an_ordinary_import_error():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'penstock\.nothing'"):
        importlib.import_module("penstock.nothing")


def test_an_unknown_name_is_an_ordinary_import_error():
    assert not hasattr(penstock, "nothing")


@pytest.mark.parametrize("name", ["aserve", "from_source", "visualize", "submit"])
def test_a_method_of_flows_that_only_prefect_has_is_refused_with_what_to_do(name):
    with pytest.raises(NotOfferedError, match=rf"flows have no {name}\(\)"):
        getattr(flow(name="f")(lambda: 1), name)


def test_an_option_of_a_call_that_only_prefect_has_is_refused_with_what_to_do():
    with pytest.raises(OptionError, match=r"use map\(\) in a flow"):
        task(name="t")(lambda x: x).map([1], deferred=True)


def test_background_tasks_are_refused_with_what_to_do():
    with pytest.raises(NotOfferedError, match="call the task in a flow"):
        task(name="t")(lambda: 1).delay()


def test_every_public_name_exists():
    assert set(penstock.__all__) <= set(dir(penstock))
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None


def test_every_error_is_one_of_penstocks():
    for error in (OptionError, NotOfferedError):
        assert issubclass(error, PenstockError)


@pytest.mark.parametrize(
    "option",
    sorted({*FlowKeywords.__annotations__, *TaskKeywords.__annotations__, *PREFECT}),
)
def test_every_option_of_ours_and_of_prefect_is_documented(option):
    documented = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    assert f"`{option}`" in documented


@pytest.mark.parametrize(
    ("keywords", "options", "renamed"),
    [
        pytest.param(
            FlowKeywords,
            FlowOptions,
            {
                "retry_delay_seconds": "retry_delays_s",
                "timeout_seconds": "timeout_s",
                "task_runner": "max_workers",
                "cache_result_in_memory": None,
            },
            id="flows",
        ),
        pytest.param(
            TaskKeywords,
            TaskOptions,
            {
                "retry_delay_seconds": "retry_delays_s",
                "timeout_seconds": "timeout_s",
                "retry_jitter_factor": "retry_jitter",
                "cache_expiration": "cache_expiration_s",
                "cache_result_in_memory": None,
                "viz_return_value": None,
            },
            id="tasks",
        ),
    ],
)
def test_every_keyword_becomes_an_option(keywords, options, renamed):
    # Of those that are named None, nothing depends.
    kept = {renamed.get(name, name) for name in keywords.__annotations__} - {None}
    assert kept == set(options.__dataclass_fields__)
