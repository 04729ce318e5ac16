"""When the operator reads the Events of Pods: only of those that do not start, again and again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.api.replica import Replica
from tests.api.scene import task
from tests.api.test_obstacles import report, shows

pytestmark = pytest.mark.api


@pytest.fixture
def operator(kubeconfig, scene, tmp_path) -> Iterator[Replica]:
    """An operator that has nothing else to do."""
    lease = f"obstacles-{uuid.uuid4().hex[:8]}"
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=lease) as replica:
        yield replica
        assert "Traceback" not in replica.log


def test_what_the_kubelet_says_much_later_is_shown_as_soon(scene, operator):
    scene.start(task(pod_outcome="pend"))
    pod = scene.pod()
    operator.until_metric(1, "penstock_api_requests_total", verb="list", resource="events")

    report(scene, pod, "FailedMount", 'configmap "late" not found')

    shows(scene, "MountFailed", 'configmap "late" not found')


def test_runs_whose_pods_start_promptly_read_no_events_and_record_none(scene, operator):
    scene.start(task(forEach={"count": 20}))
    scene.finish()

    assert operator.metric("penstock_api_requests_total", verb="list", resource="events") == 0
    assert scene.core.list_namespaced_event(scene.namespace, field_selector="reason=TaskWaiting").items == []
