"""The operator is killed among Jobs: nothing is lost and nothing is done twice."""

from __future__ import annotations

import pytest

from tests.api.jobs import hold_pods, job_task, suspend, the_job

pytestmark = pytest.mark.api


WORK = (
    job_task("first", pod_run_for="300ms", pod_outputs='{"n": 8}'),
    job_task("each", forEach={"count": "$(tasks.first.outputs.n)"}, maxParallel=4, retry={"limit": 1},
             pod_exit_code="1,0", pod_run_for="300ms"),
)  # fmt: skip
"""1 + 8 * 2 Pods."""


@pytest.mark.parametrize(
    "points", [pytest.param((1,), id="a Job is made"), pytest.param((1, 3, 6, 10, 17), id="again and again")]
)
def test_an_operator_that_is_killed_among_jobs_loses_nothing_and_does_nothing_twice(scene, replica, points):
    # Killed when so many Jobs were seen, mostly before the status knows of them.
    for number in (0, *points):
        with replica() as operator:
            if not number:
                scene.start(*WORK)
            else:
                scene.until(lambda number=number: len(scene.ever["jobs"]) >= number, f"{number} Jobs")
            operator.kill()
    with replica():
        status = scene.finish()
    assert (status["state"], status["progress"]) == ("Completed", "2/2")
    assert len(scene.ever["jobs"]) == 17
    assert len(scene.ever_attempts()) == 17


def test_a_job_that_waits_is_adopted_by_the_next_operator(scene, replica, batch):
    hold_pods(scene, pods="0")
    with replica() as operator:
        scene.start(job_task())
        suspend(batch, the_job(scene), is_suspended=True)
        scene.until(lambda: scene.entry().get("reason") == "AdmissionQueue", "the task to wait for its queue")
        operator.kill()
    scene.core.delete_namespaced_resource_quota("q", scene.namespace)
    with replica():
        suspend(batch, the_job(scene), is_suspended=False)
        assert scene.finish()["state"] == "Completed"
    assert len(scene.ever["jobs"]) == 1


def test_what_becomes_of_a_jobs_pod_while_no_operator_runs_is_not_lost(scene, replica):
    with replica() as operator:
        scene.start(job_task(pod_outcome="run"), name="other")
        scene.reach_task("Running", run="other")
        scene.start(job_task("a", pod_run_for="2s", pod_outputs='{"x": 1}'), outputs={"x": "$(tasks.a.outputs.x)"})
        scene.running_pod("a")
        operator.kill()
    ended = scene.until(lambda: scene.pod("a").status.get("phase") == "Succeeded" and scene.pod("a"), "the Pod to end")
    scene.delete_pod(ended)
    scene.delete_pod(scene.pod())

    with replica():
        scene.until(lambda: scene.status().get("outputs") == {"x": 1}, "the outputs to be stored")
        scene.running_pod(attempt=2)
        scene.until(lambda: scene.entry(run="other").get("disruptions") == 1, "the disruption to be counted")
    assert len(scene.ever_attempts()) == 1
