"""Which Pods can be stopped without being deleted, and until when they should have ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock_operator.workloads.pod import Pod
from penstock_operator.workloads.pod_stop import can_end_in_place, end_due_at, end_patch

ASKED_AT = 1_000_000.25
ASKED = "1970-01-12T13:46:40.250Z"


def pod(spec: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **status: Any) -> Pod:
    body = {"metadata": {"uid": "u", "annotations": annotations or {}}, "spec": spec or {}, "status": status}
    return msgspec.convert(body, Pod)


def ready(status: str) -> list[dict[str, str]]:
    return [{"type": "PodReadyToStartContainers", "status": status}]


@pytest.mark.parametrize(
    ("existing", "want"),
    [
        pytest.param(pod(phase="Pending"), False, id="it waits for a node"),
        pytest.param(pod({"nodeName": "n"}, phase="Pending"), False, id="its node has not accepted it"),
        pytest.param(
            pod({"nodeName": "n"}, phase="Pending", startTime=ASKED, conditions=ready("False")),
            False,
            id="it waits for a volume",
        ),
        pytest.param(
            pod({"nodeName": "n"}, phase="Pending", startTime=ASKED, conditions=ready("True")),
            True,
            id="it waits for its image, or an init container runs",
        ),
        pytest.param(pod({"nodeName": "n"}, phase="Running", conditions=ready("True")), True, id="it runs"),
        pytest.param(
            pod({"nodeName": "n"}, phase="Running", startTime=ASKED), True, id="its kubelet reports no such condition"
        ),
        pytest.param(pod({"nodeName": "n"}, phase="Succeeded", conditions=ready("True")), False, id="it has ended"),
    ],
)
def test_a_pod_can_be_ended_in_place_once_its_node_has_prepared_it(existing, want):
    assert can_end_in_place(existing) is want


@pytest.mark.parametrize(
    ("spec", "stop_time", "want"),
    [
        pytest.param({"activeDeadlineSeconds": 1}, ASKED, ASKED_AT + 30, id="with the grace that is the default"),
        pytest.param(
            {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 5},
            ASKED,
            ASKED_AT + 5,
            id="with its own grace",
        ),
        pytest.param(
            {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0}, ASKED, ASKED_AT, id="with no grace"
        ),
        pytest.param({"activeDeadlineSeconds": 3600}, ASKED, None, id="it was not asked to end"),
        pytest.param({"activeDeadlineSeconds": 1}, None, None, id="main had ended, and only the others were"),
        pytest.param({"activeDeadlineSeconds": 1}, "soon", None, id="somebody wrote nonsense"),
        pytest.param(
            {"activeDeadlineSeconds": 1}, "9999-01-01T00:00:00Z", ASKED_AT + 130, id="somebody wrote a later time"
        ),
    ],
)
def test_when_a_pod_that_was_asked_to_end_should_have_ended(spec, stop_time, want):
    existing = pod(spec, {} if stop_time is None else {"penstock.dev/stop-time": stop_time})
    assert end_due_at(existing, now=ASKED_AT + 100) == want


def test_the_patch_says_when_it_was_asked_for_and_touches_no_other_pod():
    assert msgspec.json.decode(end_patch("u", asked_at=ASKED_AT)) == {
        "metadata": {"uid": "u", "annotations": {"penstock.dev/stop-time": ASKED}},
        "spec": {"activeDeadlineSeconds": 1},
    }
