"""The series of Flows and Schedules: there from their creation, gone with them, never more than the cap."""

from __future__ import annotations

import pytest

from penstock.engine.keys import ObjectKey, TaskInstanceKey
from penstock.engine.machine.effects.effects import Conclusion, FailedAttempt
from penstock.engine.state import FINAL_RUN_STATES, TaskState
from penstock.kube.kinds.flow import Flow, FlowStatus
from penstock.kube.metadata import ObjectMeta
from penstock_operator.flow_metrics import FlowMetrics
from penstock_operator.flows.successes import Successes
from penstock_operator.metrics import Metrics
from penstock_operator.metrics_page import PAGE, metrics_page
from penstock_operator.runtime.workqueue import WorkQueue, expose_queue
from penstock_operator.schedules.metrics import ScheduleMetrics

ORDERS = ObjectKey("team", "orders")
CREATED_S = 1_793_491_200.0
CREATED = "2026-11-01T00:00:00Z"


def samples(metrics: Metrics, **labels: str) -> dict[str, float]:
    """Return the sums of the samples of Penstock that have these labels, by their name."""
    found: dict[str, float] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name.startswith("penstock_") and labels.items() <= sample.labels.items():
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_the_page_of_metrics_is_up_to_date():
    assert PAGE.read_text() == metrics_page(), "run `make crds`"


def test_a_flow_has_its_series_from_its_creation_and_they_vanish_with_it():
    metrics = Metrics()
    flows = FlowMetrics(metrics)
    flows.add_flow(ORDERS, succeeded_at=CREATED_S, expect_within_s=3600)

    found = samples(metrics, namespace="team", flow="orders")
    assert found.pop("penstock_flow_last_success_timestamp_seconds") == CREATED_S
    assert found.pop("penstock_flow_expected_success_seconds") == 3600
    assert set(found.values()) == {0.0}
    assert {"penstock_runs_total", "penstock_tasks_total", "penstock_retries_total"} < set(found)
    assert samples(metrics, namespace="team", flow="orders", state="Failed").keys() == {
        "penstock_runs_total",
        "penstock_tasks_total",
    }

    flows.remove_flow(ORDERS)
    assert samples(metrics, namespace="team") == {}


def test_a_flow_that_no_longer_expects_successes_has_no_series_that_says_so():
    metrics = Metrics()
    flows = FlowMetrics(metrics)
    flows.add_flow(ORDERS, succeeded_at=CREATED_S, expect_within_s=3600)
    flows.add_flow(ORDERS, succeeded_at=CREATED_S, expect_within_s=None)
    assert "penstock_flow_expected_success_seconds" not in samples(metrics, flow="orders")


def test_what_runs_of_a_flow_do_is_counted():
    metrics = Metrics()
    series = FlowMetrics(metrics).find("team", "orders")
    done = Conclusion(
        TaskInstanceKey("load"), TaskState.COMPLETED, 5.0, queued_at=10.0, created_at=11.0, started_at=13.0
    )
    series.count_task(done)
    series.count_failed_attempt(FailedAttempt("ExitCode", is_disruption=False, is_retried=True))
    series.count_failed_attempt(FailedAttempt("Evicted", is_disruption=True, is_retried=True))
    series.count_failed_attempt(FailedAttempt("ExitCode", is_disruption=False, is_retried=False))
    series.count_run("Failed", created_at=1.0, started_at=4.0, finished_at=24.0)

    found = samples(metrics, namespace="team")
    assert found["penstock_task_duration_seconds_sum"] == 5
    assert found["penstock_task_queue_wait_seconds_sum"] == 3
    assert found["penstock_pod_start_seconds_sum"] == 2
    assert found["penstock_run_duration_seconds_sum"] == 20
    assert found["penstock_run_queue_wait_seconds_sum"] == 3
    assert samples(metrics, budget="task")["penstock_retries_total"] == 1
    assert samples(metrics, budget="infrastructure")["penstock_retries_total"] == 1
    assert samples(metrics, reason="ExitCode")["penstock_failed_attempts_total"] == 2
    assert samples(metrics, flow="orders", state="Failed")["penstock_runs_total"] == 1


def test_flows_beyond_the_cap_count_together():
    metrics = Metrics()
    flows = FlowMetrics(metrics, most=2)
    for name in ("a", "b", "c", "d"):
        flows.add_flow(ObjectKey("team", name), succeeded_at=CREATED_S, expect_within_s=60)
        flows.find("team", name).count_run("Completed", created_at=0, started_at=1, finished_at=2)

    assert samples(metrics, flow="a")["penstock_runs_total"] == 1
    assert samples(metrics, flow="c") == {}
    assert samples(metrics, flow="(other)")["penstock_runs_total"] == 2
    assert samples(metrics)["penstock_flows"] == 4
    assert samples(metrics)["penstock_flows_unlabelled"] == 2


def test_a_flow_beyond_the_cap_gets_its_series_when_another_is_gone():
    metrics = Metrics()
    flows = FlowMetrics(metrics, most=2)
    for name in ("a", "b", "c"):
        flows.add_flow(ObjectKey("team", name), succeeded_at=CREATED_S, expect_within_s=60)
        flows.find("team", name)
    flows.remove_flow(ObjectKey("team", "a"))
    flows.add_flow(ObjectKey("team", "c"), succeeded_at=CREATED_S, expect_within_s=60)

    assert samples(metrics, flow="c")["penstock_flow_expected_success_seconds"] == 60
    assert samples(metrics)["penstock_flows_unlabelled"] == 0


def test_a_run_that_outlives_the_last_flow_of_its_namespace_exposes_nothing():
    metrics = Metrics()
    flows = FlowMetrics(metrics)
    flows.add_flow(ORDERS, succeeded_at=CREATED_S, expect_within_s=None)
    of_run = flows.find(*ORDERS)
    flows.remove_flow(ORDERS)
    of_run.count_failed_attempt(FailedAttempt("ExitCode", is_disruption=False, is_retried=True))

    assert samples(metrics, namespace="team") == {}


def test_runs_without_a_flow_make_room_for_flows():
    metrics = Metrics()
    flows = FlowMetrics(metrics, most=1)
    flows.find("team", None).count_run("Completed", created_at=0, started_at=1, finished_at=2)
    assert samples(metrics, namespace="team", flow="")["penstock_runs_total"] == 1

    flows.add_flow(ORDERS, succeeded_at=CREATED_S, expect_within_s=None)
    assert samples(metrics, namespace="team", flow="") == {}
    assert samples(metrics, flow="orders")["penstock_runs_total"] == 0


def test_two_hundred_flows_stay_below_a_megabyte():
    from prometheus_client import generate_latest  # noqa: PLC0415 - this test alone reads text

    metrics = Metrics()
    flows = FlowMetrics(metrics)
    for number in range(200):
        key = ObjectKey(f"team-{number % 20}", f"flow-{number}")
        flows.add_flow(key, succeeded_at=CREATED_S, expect_within_s=3600)
    assert len(FINAL_RUN_STATES) == 6
    assert len(generate_latest(metrics.registry)) < 1_000_000


def test_a_schedule_has_its_series_from_its_creation_and_they_vanish_with_it():
    metrics = Metrics()
    schedules = ScheduleMetrics(metrics, most=1)
    nightly, hourly = ObjectKey("team", "nightly"), ObjectKey("team", "hourly")
    for key in (nightly, hourly):
        schedules.add_schedule(key)
        schedules.set_next_tick(key, CREATED_S)
        schedules.count_missed(key, "TooLate", 3)

    found = samples(metrics, namespace="team", schedule="nightly")
    assert found == {
        "penstock_schedule_missed_ticks_total": 3,
        "penstock_schedule_next_tick_timestamp_seconds": CREATED_S,
    }
    assert samples(metrics, schedule="hourly") == {}
    assert samples(metrics, schedule="(other)") == {"penstock_schedule_missed_ticks_total": 3}
    schedules.remove_schedule(nightly)
    assert samples(metrics, schedule="nightly") == {}


def test_a_queue_says_how_many_wait_and_since_when():
    now = 100.0
    queue: WorkQueue[str] = WorkQueue(clock=lambda: now)
    metrics = Metrics()
    expose_queue(metrics, queue, "FlowRun")
    assert samples(metrics, kind="FlowRun") == {"penstock_queue_depth": 0, "penstock_queue_oldest_seconds": 0}
    queue.add("first")
    now = 103.0
    queue.add("second")
    queue.add("first")
    assert samples(metrics, kind="FlowRun") == {"penstock_queue_depth": 2, "penstock_queue_oldest_seconds": 3}
    queue.forget_key("first")
    assert samples(metrics, kind="FlowRun") == {"penstock_queue_depth": 1, "penstock_queue_oldest_seconds": 0}


class FlowsThatSucceed:
    """A Flow, and what is known of its successes."""

    def __init__(self, last_success_time: str | None = None) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.successes = Successes(FlowMetrics(self.metrics), clock=lambda: self.now)
        metadata = ObjectMeta(namespace="team", name="orders", creation_timestamp=CREATED)
        self.successes.add_flow(
            ORDERS, Flow(metadata, {"expectSuccessWithin": "1h"}, FlowStatus(last_success_time=last_success_time))
        )

    @property
    def exposed(self) -> float:
        return samples(self.metrics, flow="orders")["penstock_flow_last_success_timestamp_seconds"]


def test_until_its_first_success_a_flow_counts_from_its_creation():
    flows = FlowsThatSucceed()
    assert flows.exposed == CREATED_S
    assert samples(flows.metrics, flow="orders")["penstock_flow_expected_success_seconds"] == 3600


def test_a_restarted_operator_knows_the_last_success_and_takes_no_earlier_one():
    flows = FlowsThatSucceed(last_success_time="2026-11-01T01:00:00Z")
    flows.successes.record_success(ORDERS, CREATED_S + 60)
    assert flows.exposed == CREATED_S + 3600


@pytest.mark.parametrize(("after_s", "depth"), [(9.0, 0), (10.0, 1)])
def test_a_second_success_is_exposed_at_once_and_stored_after_a_pause(after_s, depth, monkeypatch):
    flows = FlowsThatSucceed()
    monkeypatch.setattr(flows.successes.to_store, "_arm", lambda: None)  # timers need a loop
    flows.successes.record_success(ORDERS, CREATED_S + 1)
    assert flows.successes.to_store.depth == 1
    flows.successes.to_store.forget_key(ORDERS)
    assert flows.successes.take_success(ORDERS) == CREATED_S + 1

    flows.now = after_s
    flows.successes.record_success(ORDERS, CREATED_S + 2)
    assert flows.exposed == CREATED_S + 2
    assert flows.successes.to_store.depth == depth


def test_a_success_before_the_flow_is_read_counts_when_it_is():
    metrics = Metrics()
    successes = Successes(FlowMetrics(metrics))
    successes.record_success(ORDERS, CREATED_S + 60)
    assert samples(metrics, flow="orders") == {}

    metadata = ObjectMeta(namespace="team", name="orders", creation_timestamp=CREATED)
    successes.add_flow(ORDERS, Flow(metadata, {}, FlowStatus()))
    assert samples(metrics, flow="orders")["penstock_flow_last_success_timestamp_seconds"] == CREATED_S + 60
    assert successes.to_store.depth == 1
