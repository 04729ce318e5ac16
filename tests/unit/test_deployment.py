"""Deployments as data: what `to_deployment` was given, and the Schedules that become of it."""

from datetime import UTC, datetime, timedelta

import pytest

from penstock import flow, pause_flow_run, run_deployment, task
from penstock.authoring.compilation import compile_flow
from penstock.cli.deployment.origin import check_origin
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import CommandError, OptionError
from penstock.schedules import Cron, Interval, RRule


@flow
def etl(day: str = "today", count: int = 1) -> None:
    """Load a day."""


def specs(**keywords):
    """The Schedules without their common fields, after validation by the operator."""
    bodies = etl.to_deployment(**keywords).schedules()
    for body in bodies:
        assert check_schedule(parse_schedule(body)) == []
    return {body["metadata"]["name"]: body["spec"] for body in bodies}


RUN = {"spec": {"flow": {"name": "etl"}}}


@pytest.mark.parametrize(
    ("keywords", "want"),
    [
        pytest.param({"cron": "30 2 * * *"}, {"etl": {"cron": ["30 2 * * *"]}}, id="one expression"),
        pytest.param(
            {"cron": ["@daily", "@hourly"], "rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"},
            {"etl": {"cron": ["@daily", "@hourly"], "rrule": ["FREQ=DAILY"], "timeZone": "Europe/Berlin"}},
            id="what has the same zone is one Schedule",
        ),
        pytest.param(
            {"interval": [900, timedelta(hours=2)]},
            {"etl": {"interval": {"every": "15m"}}, "etl-2": {"interval": {"every": "120m"}}},
            id="each interval is one of its own, since a Schedule has at most one",
        ),
        pytest.param(
            {"schedule": Interval(3600, datetime(2026, 1, 1, 0, 15, tzinfo=UTC))},
            {"etl": {"interval": {"every": "60m", "anchor": "2026-01-01T00:15:00+00:00"}}},
            id="an anchor",
        ),
        pytest.param(
            {"schedules": [Cron("@daily", "Asia/Tokyo", slug="tokyo"), RRule("FREQ=WEEKLY")]},
            {"etl-tokyo": {"cron": ["@daily"], "timeZone": "Asia/Tokyo"}, "etl-2": {"rrule": ["FREQ=WEEKLY"]}},
            id="other zones are other Schedules",
        ),
        pytest.param(
            {"schedules": [Cron("@daily"), Cron("@hourly", active=False)]},
            {"etl": {"cron": ["@daily"]}},
            id="what is not active is left out",
        ),
        pytest.param(
            {"cron": "@daily", "on_missed": "All", "on_overlap": "Queue", "paused": True},
            {"etl": {"cron": ["@daily"], "onMissed": {"policy": "All"}, "onOverlap": "Queue", "suspend": True}},
            id="policies",
        ),
        pytest.param({}, {}, id="never due"),
    ],
)
def test_schedules_say_what_a_deployment_was_given(keywords, want):
    assert specs(**keywords) == {name: spec | {"runTemplate": RUN} for name, spec in want.items()}


def test_parameters_of_a_schedule_go_before_those_of_the_deployment():
    found = specs(
        name="nightly",
        schedules=[Cron("@daily", parameters={"count": 5}), Cron("@hourly")],
        parameters={"day": "$(tick.date)", "count": 2},
    )
    assert {name: spec["runTemplate"]["spec"] for name, spec in found.items()} == {
        "nightly": {"flow": {"name": "nightly"}, "params": {"day": "$(tick.date)", "count": 5}},
        "nightly-2": {"flow": {"name": "nightly"}, "params": {"day": "$(tick.date)", "count": 2}},
    }


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"cronn": "@daily"}, "no option 'cronn'.*did you mean \"cron\""),
        ({"work_pool_name": "k8s"}, "no option 'work_pool_name': there are no work pools"),
        ({"interval": 90}, r"interval=90: must be whole minutes"),
        ({"interval": True}, "must be whole minutes"),
        ({"cron": 5}, "cron=5: must be a string"),
        ({"on_overlap": "skip"}, "on_overlap='skip'.*must be one of Allow, Skip, Queue, Replace"),
        ({"on_missed": "Never"}, "on_missed='Never'.*must be one of"),
        ({"limit": 0}, "limit=0: must be a whole number"),
        ({"schedule": "@daily"}, "must be a Cron, Interval or RRule"),
        ({"timezone": "Europe/Berlin"}, "set cron, interval or rrule as well"),
        ({"parameters": {"dya": 1}}, "has no parameter 'dya'.*did you mean \"day\""),
    ],
)
def test_what_a_deployment_can_not_be_is_refused(keywords, message):
    with pytest.raises(OptionError, match=message):
        etl.to_deployment(**keywords)


@task
def load() -> None:
    """Load."""


@flow
def child() -> None:
    load()


@pytest.mark.parametrize("called", [load, child, pause_flow_run, lambda: None])
def test_the_flow_of_another_python_flow_is_not_replaced(called):
    @flow(name="etl")
    def made():
        called()

    def compiled(source):
        return compile_flow(made, entrypoint=source, image="i")

    check_origin(compiled("orders:etl"), compiled("orders:etl"))
    with pytest.raises(CommandError, match=r"Flow etl exists and is that of sales:etl: give orders:etl another name"):
        check_origin(compiled("orders:etl"), compiled("sales:etl"))
    check_origin(compiled("orders:etl"), {"metadata": {"name": "etl"}, "spec": {}})


def test_run_deployment_without_a_server_and_a_cluster_says_both(home, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(
        CommandError, match="no process on this machine serves 'other', and no cluster configured"
    ) as raised:
        run_deployment("etl/other")
    assert raised.value.__suppress_context__
