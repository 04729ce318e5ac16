"""How soon work continues after the API server was away, or the leader has gone.

The times are those that are promised, with much to spare for a busy machine; `python -m bench.recovery` measures them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.api.faults import Seen
from tests.api.scene import DEADLINE_S, Scene, task
from tests.api.test_operator_faults import QUICK_LEASE, anything, wait_for_leader

pytestmark = pytest.mark.api

TO_SPARE_S = 40.0
"""For a machine that does other things at the same time."""


def is_lease_read(seen: Seen) -> bool:
    return seen.method == "GET" and "/leases" in seen.path


def first_pod_comes(scene: Scene, run: str, within_s: float) -> None:
    """Create a run, and wait so long for its Pod."""
    scene.start(task(), name=run)
    scene.until(lambda: scene.ever_attempts(run), f"the first Pod of {run}", within_s)


def finished(scene: Scene, *runs: str) -> None:
    for run in runs:
        assert scene.finish(run)["state"] == "Completed"


def test_work_continues_at_once_when_the_api_server_returns_after_the_leader_has_given_up(scene, replica, proxy):
    with replica(proxy.kubeconfig, options=QUICK_LEASE) as leader:
        first_pod_comes(scene, "before", DEADLINE_S)
        away = proxy.fail(anything, cut=True)
        proxy.cut_streams()
        assert leader.wait() == 1
    # As a kubelet does; it begins without an API server.
    with replica(proxy.kubeconfig, options=QUICK_LEASE):
        # By then it pauses as long as it ever will.
        proxy.wait_for_requests(is_lease_read, proxy.seen(is_lease_read) + 8)
        away.times = 0
        first_pod_comes(scene, "after", 3 + TO_SPARE_S)
        finished(scene, "before", "after")


@pytest.mark.parametrize(
    ("end", "within_s"),
    [
        pytest.param(lambda leader: leader.kill(), 20, id="killed"),
        pytest.param(lambda leader: leader.signal_end(), 3, id="terminated"),
    ],
)
def test_the_standby_leads_in_time_after_the_leader_was(scene, replica, api, end: Callable[..., None], within_s: float):
    with replica(identity="one") as leader:
        wait_for_leader(api, scene.namespace, "one".__eq__)
        with replica(identity="two"):
            first_pod_comes(scene, "before", DEADLINE_S)
            end(leader)
            ended_at = time.monotonic()
            first_pod_comes(scene, "after", within_s + TO_SPARE_S)
            print(f"the first Pod came after {time.monotonic() - ended_at:.2f} s")
            finished(scene, "before", "after")
