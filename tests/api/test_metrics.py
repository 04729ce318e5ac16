"""A load on a real operator moves every metric, and a real Prometheus has data for every panel of the dashboards."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock_operator.metrics import Metrics
from penstock_operator.schedules.identity import run_name
from tests.api.faulty_replica import FaultyReplica
from tests.api.replica import Replica, free_port
from tests.api.scene import Scene, task
from tests.cluster import debian
from tests.prometheus import Prometheus, scraping

pytestmark = pytest.mark.api

DASHBOARDS = sorted((Path(__file__).parents[2] / "helm" / "penstock" / "files" / "dashboards").glob("*.json"))
# Tests of the units show these: what waits in a queue is gone before it is scraped, and the cap takes 500 Flows.
MOVED_ELSEWHERE = {"penstock_queue_depth", "penstock_queue_oldest_seconds", "penstock_flows_unlabelled"}

MOVED_WITHIN_S = 120
PATIENT = ("--lease-duration", "120s", "--lease-renew-deadline", "100s")
"""A machine that is busy with other tests costs nothing but time: what is counted since a restart would be lost."""


@pytest.fixture
def operator(kubeconfig: Path, scene: Scene, tmp_path: Path) -> Iterator[Replica]:
    """An operator with a bug: it cannot carry out the run `broken-step`."""
    bugs = tmp_path / "bugs"
    bugs.touch()
    with FaultyReplica(kubeconfig, tmp_path, bugs=bugs, scene=scene, options=PATIENT) as replica:
        yield replica
        replica.kill()


@pytest.fixture
def prometheus(operator: Replica, tmp_path: Path) -> Iterator[Prometheus]:
    with scraping([f"127.0.0.1:{operator.port}"], tmp_path, port=free_port()) as server:
        yield server


def load(scene: Scene, prometheus: Prometheus) -> None:
    """Have runs that complete, fail, wait and hang, of Flows, of a Schedule and inline."""
    quick = {"pod_start_after": "100ms", "pod_run_for": "1200ms"}
    scene.create(
        "Flow",
        "orders",
        {
            "tasks": [task("a", **quick), task("b", dependsOn=["a"], **quick)],
            "expectSuccessWithin": "1h",
            "podRetention": {"completed": "0s"},
        },
    )
    flaky = task(pod_exit_code="1", retry={"limit": 1, "delay": "100ms"})
    scene.create("Flow", "flaky", {"tasks": [flaky]})
    stuck = task(pod_outcome="pend", pod_waiting_reason="ImagePullBackOff")
    scene.create("Flow", "narrow", {"tasks": [stuck], "concurrency": {"limit": 1}})
    scene.create("Flow", "cached", {"tasks": [task("c", cache={"key": "same"}, pod_outputs='{"rows": 3}')]})
    # A counter has to be scraped at 0 before something is counted: only then does its increase show.
    assert prometheus.settles_at_least("count(count by (flow) (penstock_runs_total))", 4)
    tick = next_minute()
    # A run that is not of the Schedule has the name of its run: a missed tick.
    scene.start_of("orders", run_name("taken", tick))
    for name in ("tick", "taken"):
        times = [each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (tick, tick + dt.timedelta(days=9))]
        scene.create("Schedule", name, {"at": times, "runTemplate": {"spec": {"flow": {"name": "narrow"}}}})
    for flow, name in (("orders", "good"), ("flaky", "bad"), ("narrow", "hung"), ("narrow", "queued"), ("cached", "c")):
        scene.start_of(flow, name)
    scene.start(task(pod_outcome="run"), name="inline")
    scene.start(task(), name="broken-step")
    scene.reach("Completed", "good", within_s=MOVED_WITHIN_S)
    scene.reach("Failed", "bad", within_s=MOVED_WITHIN_S)
    scene.reach("Completed", "c", within_s=MOVED_WITHIN_S)

    def has_begun() -> bool:
        return any("startTime" in scene.status(name) for name in ("hung", "queued"))

    scene.until(has_begun, "the status of a run of narrow to say that it began", MOVED_WITHIN_S)


def next_minute() -> dt.datetime:
    """Return the next minute that does not begin before its Schedules can be read."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=65)).replace(second=0, microsecond=0)


def moved(operator: Replica) -> set[str]:
    """Return the metrics of which some value is not 0."""
    return {
        sample.name.removesuffix("_count")
        for family in text_string_to_metric_families(operator.metrics())
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_sum"))
    }


def test_a_load_moves_every_metric_and_every_panel_has_data(scene, operator, prometheus):
    load(scene, prometheus)
    expected = {family.name for family in Metrics().families} - MOVED_ELSEWHERE
    ends_at = time.monotonic() + MOVED_WITHIN_S
    while missing := expected - moved(operator):
        assert time.monotonic() < ends_at, f"not moved: {missing}"
    status = scene.now["flows"]["orders"].status
    assert "lastSuccessTime" in status, "a success is stored"

    lint = [str(debian.promtool()), "check", "metrics"]
    checked = subprocess.run(lint, input=operator.metrics(), text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    # What was counted last has to be scraped before its increase can be seen.
    for counter in ("schedule_lateness_seconds_count", "schedule_missed_ticks_total", "runs_total"):
        assert prometheus.settles_at_least(f"sum(increase(penstock_{counter}[5m]))", 0.1)
    without = [
        f"{dashboard.stem}: {panel['title']}: {query}"
        for dashboard in DASHBOARDS
        for panel in json.loads(dashboard.read_text())["panels"]
        for query in queries(panel, scene.namespace)
        if not any(math.isfinite(float(each["value"][1])) for each in prometheus.query(query))
    ]
    assert without == []


def queries(panel: dict[str, Any], namespace: str) -> Iterator[str]:
    """Return what a panel asks for, for the Flow that completes or, where only another has it, for another."""
    flow = {"Retries": "flaky", "Why runs and tasks wait": "narrow", "Runs active": "narrow", "Tasks active": "narrow"}
    shown = "narrow" if panel["title"].startswith("Age of the oldest") else flow.get(panel["title"], "orders")
    for target in panel["targets"]:
        yield (
            target["expr"]
            .replace("$__rate_interval", "5m")
            .replace("$__range", "15m")
            .replace("$namespace", namespace)
            .replace("$flow", shown)
        )
