"""Every alert of the chart fires when it should and not when it should not, and has a page that says what to do."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from penstock.cli.parser import build_parser
from penstock_operator.metrics import Metrics
from tests.cluster import debian

pytestmark = pytest.mark.api

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "helm" / "penstock" / "files" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
ORDERS = {"namespace": "team", "flow": "orders"}
NIGHTLY = {"namespace": "team", "schedule": "nightly"}


class Case(NamedTuple):
    """Series, in promtool's notation with a sample a minute, and whether an alert fires at the end."""

    alert: str
    name: str
    at: str
    series: dict[str, str]
    fires: dict[str, str] | None
    """Its labels, besides the severity; None: it does not."""


def runs(state: str) -> str:
    return f'penstock_runs_total{{namespace="team",flow="orders",state="{state}"}}'


def requests(code: str) -> str:
    return f'penstock_api_requests_total{{verb="patch",resource="pods",code="{code}"}}'


def missed(reason: str) -> str:
    return f'penstock_schedule_missed_ticks_total{{namespace="team",schedule="nightly",reason="{reason}"}}'


LAST_SUCCESS = 'penstock_flow_last_success_timestamp_seconds{namespace="team",flow="orders"}'
EXPECTED = 'penstock_flow_expected_success_seconds{namespace="team",flow="orders"}'
NEXT_TICK = 'penstock_schedule_next_tick_timestamp_seconds{namespace="team",schedule="nightly"}'
OLDEST_RUN = 'penstock_oldest_run_seconds{namespace="team",flow="orders"}'


def ended_runs(runs_a_minute: float) -> dict[str, str]:
    """Return the history of a Flow whose runs take between 30 s and two minutes."""
    labels = 'namespace="team",flow="orders"'
    grown, none = f"0+{runs_a_minute:g}x120", "0x120"
    return {
        f'penstock_run_duration_seconds_bucket{{{labels},le="30.0"}}': none,
        f'penstock_run_duration_seconds_bucket{{{labels},le="120.0"}}': grown,
        f'penstock_run_duration_seconds_bucket{{{labels},le="+Inf"}}': grown,
        f"penstock_run_duration_seconds_count{{{labels}}}": grown,
    }


CASES = [
    Case("PenstockRunsFailing", "the first run fails", "20m", {runs("Failed"): "0x5 1x40"}, ORDERS),
    Case(
        "PenstockRunsFailing",
        "one of four fails",
        "20m",
        {runs("Failed"): "0x5 1x40", runs("Completed"): "0x5 3x40"},
        None,
    ),
    Case("PenstockRunsFailing", "a run is cancelled", "20m", {runs("Cancelled"): "0x5 1x40"}, None),
    Case("PenstockFlowWithoutSuccess", "none for 2 h", "2h", {LAST_SUCCESS: "0x200", EXPECTED: "3600x200"}, ORDERS),
    Case("PenstockFlowWithoutSuccess", "none for 30 min", "30m", {LAST_SUCCESS: "0x200", EXPECTED: "3600x200"}, None),
    Case("PenstockFlowWithoutSuccess", "nothing is expected", "2h", {LAST_SUCCESS: "0x200"}, None),
    Case("PenstockRunLongerThanUsual", "10 min", "2h", {OLDEST_RUN: "600x120", **ended_runs(1)}, ORDERS),
    Case("PenstockRunLongerThanUsual", "3 min", "2h", {OLDEST_RUN: "180x120", **ended_runs(1)}, None),
    Case("PenstockRunLongerThanUsual", "no history", "2h", {OLDEST_RUN: "600x120", **ended_runs(0.02)}, None),
    Case("PenstockScheduleLate", "by 10 min", "20m", {NEXT_TICK: "600x30"}, NIGHTLY),
    Case("PenstockScheduleLate", "due in 10 min", "20m", {NEXT_TICK: "1800x30"}, None),
    Case(
        "PenstockScheduleMissedTicks",
        "after an outage",
        "20m",
        {missed("TooLate"): "0x5 2x30"},
        {**NIGHTLY, "reason": "TooLate"},
    ),
    Case(
        "PenstockScheduleMissedTicks", "an earlier run is active", "20m", {missed("RunAlreadyActive"): "0x5 2x30"}, None
    ),
    Case("PenstockOperatorDown", "gone for 15 min", "20m", {"penstock_build_info": "1x5 stale"}, {}),
    Case("PenstockOperatorDown", "a replica answers", "20m", {"penstock_build_info": "1x30"}, None),
    Case("PenstockNoLeader", "two stand by", "10m", {'penstock_leader{pod="a"}': "0x20"}, {}),
    Case(
        "PenstockNoLeader",
        "one of two leads",
        "10m",
        {'penstock_leader{pod="a"}': "0x20", 'penstock_leader{pod="b"}': "1x20"},
        None,
    ),
    Case(
        "PenstockQueueNotDraining",
        "two minutes",
        "10m",
        {'penstock_queue_oldest_seconds{kind="FlowRun"}': "120x20"},
        {"kind": "FlowRun"},
    ),
    Case(
        "PenstockQueueNotDraining",
        "a peak",
        "10m",
        {'penstock_queue_oldest_seconds{kind="FlowRun"}': "0x6 120x2 0x20"},
        None,
    ),
    Case(
        "PenstockWatchStale",
        "five minutes",
        "10m",
        {'penstock_watch_silent_seconds{resource="pods"}': "300x20"},
        {"resource": "pods"},
    ),
    Case("PenstockWatchStale", "a minute", "10m", {'penstock_watch_silent_seconds{resource="pods"}': "60x20"}, None),
    Case("PenstockApiErrors", "a tenth", "30m", {requests("429"): "0+1x40", requests("200"): "0+9x40"}, {}),
    Case("PenstockApiErrors", "conflicts", "30m", {requests("409"): "0+1x40", requests("200"): "0+9x40"}, None),
    Case("PenstockApiErrors", "a hundredth", "30m", {requests("503"): "0+1x40", requests("200"): "0+99x40"}, None),
    Case(
        "PenstockObjectsParked",
        "one",
        "20m",
        {'penstock_parked_objects{kind="FlowRun"}': "1x30"},
        {"kind": "FlowRun"},
    ),
    Case("PenstockObjectsParked", "no more", "20m", {'penstock_parked_objects{kind="FlowRun"}': "1x5 0x30"}, None),
]


def as_test(case: Case) -> dict[str, Any]:
    """Return a case as promtool reads it."""
    labels = {"alertname": case.alert, "alertstate": "firing", **RULES[case.alert]["labels"], **(case.fires or {})}
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {
        "name": f"{case.alert}: {case.name}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
                "eval_time": case.at,
                "exp_samples": [] if case.fires is None else [{"labels": f"ALERTS{{{text}}}", "value": 1}],
            }
        ],
    }


def test_each_alert_fires_when_it_should_and_not_when_it_should_not(tmp_path):
    for name in RULES:
        fires = {case.fires is not None for case in CASES if case.alert == name}
        assert fires == {True, False}, f"{name} needs a case in which it fires, and one in which it does not"
    path = tmp_path / "tests.yaml"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [as_test(case) for case in CASES]}))

    done = subprocess.run([debian.promtool(), "test", "rules", path], text=True, capture_output=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_use_only_metrics_that_exist():
    known = {family.name for family in Metrics().families}
    for name, rule in RULES.items():
        for metric in re.findall(r"penstock_\w+", rule["expr"]):
            assert re.sub(r"_(bucket|count|sum)$", "", metric) in known, name


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_links_a_page_that_says_what_to_do(alert):
    assert RULES[alert]["annotations"]["runbook_url"] == f"RUNBOOKS/{alert}.md"
    page = (RUNBOOKS / f"{alert}.md").read_text()
    assert page.startswith(f"# {alert}\n")
    sections = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    assert sections[::2] == SECTIONS
    assert all(len(text.strip()) > 40 for text in sections[1::2])
    for command in re.findall(r"`penstock ([^`]+)`", page):
        build_parser().parse_args(shlex.split(command))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (RUNBOOKS / target).exists(), target


def test_there_is_no_page_of_an_alert_that_does_not_exist():
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(RULES)
    assert set(re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())) == set(RULES)
