"""Which Pods of ended attempts go, and when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api import names
from penstock.api.flow import PodRetention
from penstock.engine.keys import ObjectKey, RunUid, TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.kube.metadata import OwnerReference
from penstock.kube.resources import JOBS, PODS
from penstock_operator.retention.kept_pods import UNTRACKED_GRACE_S, KeptPod, KeptPods, WorkloadUid, read_kept_pod
from penstock_operator.workloads.metadata import WorkloadMeta
from penstock_operator.workloads.pod import ContainerState, ContainerStatus, Pod, PodSpec, PodStatus, Terminated
from penstock_operator.workloads.retention_annotations import retention_annotations

NOW = 1_800_000_000.0
RUN = OwnerReference(api_version="penstock.dev/v1alpha1", kind="FlowRun", name="run", uid="run-uid", controller=True)
KEEP = names.ANNOTATION_KEEP_COMPLETED
NAME = pod_name("run", "run-uid", TaskInstanceKey("load"), 1)
JOB = OwnerReference(api_version="batch/v1", kind="Job", name=NAME, uid="job-uid", controller=True)


def kept(
    uid: str,
    *,
    namespace: str = "lab",
    run: str = "a",
    ended: float = 0.0,
    due: float | None = None,
    completed: bool = True,
) -> KeptPod:
    return KeptPod(
        resource=PODS,
        key=ObjectKey(namespace, uid),
        workload=WorkloadUid(namespace, uid),
        run=RunUid(namespace, run),
        is_completed=completed,
        ended_at=ended,
        due_at=due,
        not_before=0.0,
        was_tracked=True,
    )


def gone(pods: KeptPods, now: float) -> list[str]:
    return [pod.uid for pod in pods.pop_due(now)]


def test_a_pod_goes_when_its_time_has_come_and_not_before():
    pods = KeptPods()
    pods.add_pod(kept("a", due=10.0))

    assert gone(pods, 9.9) == []
    assert pods.next_due_at == pytest.approx(10.0)
    assert gone(pods, 10.0) == ["a"]
    assert gone(pods, 100.0) == []
    assert not len(pods)
    assert pods.next_due_at is None


def test_without_a_policy_a_pod_stays_and_nothing_is_to_be_done():
    pods = KeptPods()
    pods.add_pod(kept("a"))

    assert pods.next_due_at is None
    assert gone(pods, 1e12) == []


def test_of_too_many_the_oldest_that_succeeded_go_first_then_the_oldest_that_failed():
    pods = KeptPods(per_run=2, surplus_grace_s=0.0)
    for number, completed in enumerate([False, True, False, True, False]):
        pods.add_pod(kept(f"pod-{number}", ended=number, completed=completed))

    assert gone(pods, 0.0) == ["pod-1", "pod-3", "pod-0"]


def test_each_run_has_its_own_allowance_within_that_of_all():
    pods = KeptPods(per_run=2, total=3, surplus_grace_s=0.0)
    for number, run in enumerate(["a", "a", "b", "b", "b"]):
        pods.add_pod(kept(f"pod-{number:02}", run=run, ended=number))

    assert gone(pods, 0.0) == ["pod-00", "pod-02"]
    assert len(pods) == 3


def test_a_pod_that_is_too_many_for_its_run_stays_a_moment_unless_too_many_wait_for_that():
    pods = KeptPods(per_run=1, total=2, surplus_grace_s=30.0)
    for number in range(4):
        pods.add_pod(kept(f"pod-{number}", ended=number))

    assert gone(pods, 4.0) == ["pod-2"], "two wait already"
    assert gone(pods, 30.0) == ["pod-0"]
    assert gone(pods, 31.0) == ["pod-1"]


def test_a_pod_that_is_reported_twice_counts_once():
    pods = KeptPods(per_run=1)
    pods.add_pod(kept("a", due=5.0))
    pods.add_pod(kept("a", due=1.0))

    assert gone(pods, 4.0) == []
    assert gone(pods, 5.0) == ["a"]


def test_pods_of_another_namespace_do_not_count_though_they_claim_the_same_run_or_job():
    # A label and an owner reference can say anything.
    pods = KeptPods(per_run=2, surplus_grace_s=0.0)
    for number in range(3):
        pods.add_pod(kept(f"pod-{number}", namespace="attacker", ended=number))
    pods.add_pod(kept("job", namespace="attacker", due=1.0))
    pods.add_pod(kept("job", due=5.0))

    assert sorted(pod.key for pod in pods.pop_due(2.0)) == [
        ObjectKey("attacker", "job"),
        ObjectKey("attacker", "pod-0"),
    ]
    assert [pod.key for pod in pods.pop_due(5.0)] == [ObjectKey("lab", "job")]


def test_a_pod_that_may_not_go_yet_counts_no_more_but_waits():
    pods = KeptPods(per_run=0, surplus_grace_s=0.0)
    pods.add_pod(kept("a")._replace(not_before=7.0))

    assert (len(pods), pods.next_due_at) == (0, 7.0)
    assert gone(pods, 6.0) == []
    assert gone(pods, 7.0) == ["a"]


@st.composite
def histories(draw: Any) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    number = 0
    for _ in range(draw(st.integers(1, 60))):
        what = draw(st.sampled_from(["add", "add", "add", "discard", "tick"]))
        if what == "add":
            due = draw(st.none() | st.floats(0, 50))
            run, ended, completed = draw(st.sampled_from("ab")), draw(st.floats(0, 50)), draw(st.booleans())
            steps.append((what, kept(f"pod-{number:02}", run=run, ended=ended, due=due, completed=completed)))
            number += 1
        elif what == "discard":
            steps.append((what, f"pod-{draw(st.integers(0, max(number, 1))):02}"))
        else:
            steps.append((what, draw(st.floats(0, 60))))
    return steps


@given(histories(), st.integers(1, 4), st.integers(1, 6))
def test_it_does_what_a_plain_list_would(steps, per_run, total):
    pods, now = KeptPods(per_run=per_run, total=total, surplus_grace_s=0.0), 0.0
    model: dict[str, KeptPod] = {}
    expected: list[str] = []

    def evict(among: list[KeptPod]) -> None:
        first = min(among, key=lambda pod: (not pod.is_completed, pod.ended_at, pod.uid))
        expected.append(first.uid)
        del model[first.uid]

    for what, argument in steps:
        if what == "add":
            pods.add_pod(argument)
            model[argument.uid] = argument
            of_run = [pod for pod in model.values() if pod.run == argument.run]
            if len(of_run) > per_run:
                evict(of_run)
            elif len(model) > total:
                evict(list(model.values()))
        elif what == "discard":
            pods.discard_pod(WorkloadUid("lab", argument))
            model.pop(argument, None)
            expected = [uid for uid in expected if uid != argument]
        else:
            now = max(now, argument)
            due = sorted(
                (pod.due_at, uid) for uid, pod in model.items() if pod.due_at is not None and pod.due_at <= now
            )
            expected += [uid for _, uid in due]
            for _, uid in due:
                del model[uid]
            assert sorted(gone(pods, now)) == sorted(expected)
            expected = []
        assert len(pods) == len(model)


# What a Pod says


def a_pod(*, phase: Any = "Succeeded", exit_code: int = 0, message: str = "", **metadata: Any) -> Pod:
    fields: dict[str, Any] = {
        "name": NAME,
        "namespace": "lab",
        "uid": "pod-uid",
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_RUN: "run",
            names.LABEL_RUN_UID: "run-uid",
            names.LABEL_TASK: "load",
            names.LABEL_ATTEMPT: "1",
        },
        "annotations": {names.ANNOTATION_KEEP_COMPLETED: "10m", names.ANNOTATION_KEEP_FAILED: "2h"},
        "creation_timestamp": "2027-01-15T07:00:00Z",
        "owner_references": (RUN,),
    }
    terminated = Terminated(exit_code=exit_code, message=message, finished_at="2027-01-15T07:30:00Z")
    status = ContainerStatus("main", ContainerState(terminated=terminated))
    return Pod(WorkloadMeta(**fields | metadata), status=PodStatus(phase=phase, container_statuses=(status,)))


ENDED_AT = NOW - 1800.0


@pytest.mark.parametrize(
    ("existing", "want"),
    [
        # OnPodCompletion and OnPodSuccess, by how the Pod ended
        pytest.param(a_pod(), ENDED_AT + 600, id="one that ended well"),
        pytest.param(a_pod(phase="Failed", exit_code=1), ENDED_AT + 7200, id="one that failed"),
        pytest.param(a_pod(message="no JSON"), ENDED_AT + 7200, id="one that ended well, with invalid outputs"),
        pytest.param(a_pod(annotations={}), None, id="one without a policy"),
        pytest.param(a_pod(annotations={names.ANNOTATION_KEEP_FAILED: "0s"}), None, id="one that no policy is for"),
        pytest.param(a_pod(annotations={KEEP: "soon"}), None, id="one whose policy is not a duration"),
    ],
)  # fmt: skip
def test_how_long_a_pod_is_kept(existing, want):
    found = read_kept_pod(existing, was_tracked=True, now=NOW)

    assert found is not None
    assert found.due_at == want
    assert (found.resource, found.key, found.uid) == (PODS, ObjectKey("lab", NAME), "pod-uid")


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(a_pod(phase="Running"), id="one that runs"),
        pytest.param(a_pod(finalizers=(names.FINALIZER,)), id="one whose outcome is not stored"),
        pytest.param(a_pod(deletion_timestamp="2027-01-15T07:31:00Z"), id="one that goes already"),
        pytest.param(a_pod(owner_references=()), id="one that belongs to no run"),
        pytest.param(
            a_pod(owner_references=(msgspec.structs.replace(RUN, api_version="example.com/v1"),)),
            id="one that belongs to another's FlowRun",
        ),
        pytest.param(
            a_pod(
                owner_references=(
                    OwnerReference(
                        api_version="penstock.dev/v1alpha1", kind="FlowRun", name="run", uid="other", controller=True
                    ),
                )
            ),
            id="one of another run than its labels say",
        ),
        pytest.param(a_pod(labels={names.LABEL_RUN_UID: "run-uid"}), id="one that we did not make"),
        pytest.param(a_pod(name="another"), id="one whose name is not that of its attempt"),
        pytest.param(
            a_pod(
                owner_references=(
                    OwnerReference(api_version="batch/v1", kind="Job", name="backup", uid="job-uid", controller=True),
                )
            ),
            id="one of a Job whose name is not that of its attempt",
        ),
    ],
)
def test_what_is_never_deleted(existing):
    assert read_kept_pod(existing, was_tracked=True, now=NOW) is None


def test_a_pod_that_was_stopped_is_kept_as_one_that_failed_even_if_it_exited_with_0():
    policy = {KEEP: "10m", names.ANNOTATION_KEEP_FAILED: "2h"}
    stopped = a_pod(annotations=policy | {names.ANNOTATION_STOP_TIME: "2027-01-15T07:29:59Z"}, phase="Failed")
    found = read_kept_pod(
        msgspec.structs.replace(stopped, spec=PodSpec(active_deadline_seconds=1)), was_tracked=True, now=NOW
    )

    assert found is not None
    assert (found.is_completed, found.due_at) == (False, ENDED_AT + 7200)


def test_of_a_job_the_job_goes():
    found = read_kept_pod(a_pod(name="any-x7k2p", owner_references=(JOB,)), was_tracked=True, now=NOW)

    assert found is not None
    assert (found.resource, found.key, found.uid) == (JOBS, ObjectKey("lab", NAME), "job-uid")


def test_a_pod_that_never_had_our_finalizer_stays_for_a_while_in_any_case():
    found = read_kept_pod(a_pod(), was_tracked=False, now=NOW)

    assert found is not None
    assert found.not_before == NOW + UNTRACKED_GRACE_S


def test_a_clock_of_a_node_that_is_wrong_neither_shortens_nor_lengthens_much():
    early = read_kept_pod(a_pod(creation_timestamp="2027-01-15T07:45:00Z"), was_tracked=True, now=NOW)
    late = read_kept_pod(a_pod(), was_tracked=True, now=ENDED_AT - 60)

    assert early is not None
    assert late is not None
    assert early.ended_at == NOW - 900
    assert late.ended_at == ENDED_AT - 60


def test_a_policy_is_written_on_the_pod_as_it_stands_in_the_flow():
    policy = PodRetention.model_validate({"completed": "10m", "failed": "24h"})

    assert retention_annotations(policy) == {
        names.ANNOTATION_KEEP_COMPLETED: "10m",
        names.ANNOTATION_KEEP_FAILED: "24h",
    }
    assert retention_annotations(PodRetention()) == retention_annotations(None) == {}


def test_a_namespace_with_many_pods_does_not_push_out_those_of_another():
    pods = KeptPods(per_run=100, total=10)
    for number in range(3):
        pods.add_pod(kept(f"small-{number}", run=f"small-{number}", ended=float(number), namespace="small"))

    for number in range(50):
        pods.add_pod(kept(f"large-{number}", run=f"large-{number}", ended=100.0 + number, namespace="large"))

    removed = gone(pods, 1000.0)
    assert len(removed) == 43
    assert removed == [f"large-{number}" for number in range(43)]
