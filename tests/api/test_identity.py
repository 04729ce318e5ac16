"""Objects that look like ours and are not: another tenant's, or the same tenant's that the operator did not make.

Each is tried without the chart's admission policy, where it must have no effect, and with it, where it is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.engine.timestamp import rfc3339
from tests.api.account import NAME as ACCOUNT
from tests.api.account import NAMESPACE as RELEASE_NAMESPACE
from tests.api.chart import identity_policy, render
from tests.api.impersonation import bind
from tests.api.scene import Scene, fake, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

RUNS = {"pod_outcome": "run"}
FORGED_OUTPUTS = '{"amount": 1000000}'
DEADLINE_S = 60
KEEP = "example.com/keep"


class Attacker:
    """A service account with the role `edit` in its own namespace, and at most `view` elsewhere.

    Args:
        client: acts as it.
        namespace: its own.
        is_refused: whether the policy is in force.
    """

    def __init__(self, client: kubernetes_client.ApiClient, namespace: str, *, is_refused: bool) -> None:
        self.namespace = namespace
        self._resources = dynamic.DynamicClient(client).resources
        self._is_refused = is_refused

    def forge(self, body: dict[str, Any], is_done: Callable[[Any], bool] | None = None) -> None:
        """Create an object, and wait until it is handled and so could have been taken for ours; or see it refused.

        Args:
            body: the object.
            is_done: whether it is; None: do not wait.
        """
        resource = self._resources.get(api_version=body["apiVersion"], kind=body["kind"])
        if self._is_refused:
            with pytest.raises(ApiException, match=r"operator of Penstock|only its operator") as refused:
                resource.create(body=body, namespace=self.namespace)
            assert refused.value.status == 403
            return
        resource.create(body=body, namespace=self.namespace)
        if is_done is None:
            return
        stream = resource.watch(namespace=self.namespace, name=body["metadata"]["name"], timeout=DEADLINE_S)
        assert any(event["type"] == "DELETED" or is_done(event["object"].status) for event in stream), body["metadata"]

    def release(self, run: str) -> None:
        """Remove the finalizer of a run, if it exists."""
        if not self._is_refused:
            resource = self._resources.get(api_version=names.API_VERSION, kind="FlowRun")
            patch = {"metadata": {"finalizers": None}}
            resource.patch(name=run, namespace=self.namespace, body=patch, content_type="application/merge-patch+json")


@pytest.fixture
def other(api: kubernetes_client.ApiClient, namespace: str) -> Iterator[str]:
    """A namespace of the attacker's."""
    core, name = kubernetes_client.CoreV1Api(api), f"{namespace}-attacker"
    core.create_namespace(kubernetes_client.V1Namespace(metadata=kubernetes_client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


@pytest.fixture(params=[False, True], ids=["without the policy", "with the policy"])
def has_policy(request, api: kubernetes_client.ApiClient, namespace: str, other: str) -> Iterator[bool]:
    """Whether the policy is in force in both namespaces."""
    if not request.param:
        yield False
        return
    values = {
        "fullnameOverride": ACCOUNT,
        "crds": {"enabled": False},
        "watchNamespaces": [namespace, other],
        "admissionPolicy": {"operator": {"enabled": False}},
    }
    with identity_policy(api, render(values, namespace=RELEASE_NAMESPACE), namespace):
        yield True


@pytest.fixture
def attacker(api: kubernetes_client.ApiClient, namespace: str, other: str, *, has_policy: bool) -> Attacker:
    """One of another namespace, who can read the victim's."""
    bind(api, f"{other}:attacker", "view", namespace=namespace)
    return Attacker(bind(api, f"{other}:attacker", "edit", namespace=other), other, is_refused=has_policy)


@pytest.fixture
def insider(api: kubernetes_client.ApiClient, namespace: str, *, has_policy: bool) -> Attacker:
    """One of the victim's own namespace."""
    return Attacker(bind(api, f"{namespace}:insider", "edit", namespace=namespace), namespace, is_refused=has_policy)


def pod_of(scene: Scene, task_name: str, *, name: str | None = None, owner: dict[str, Any] | None = None) -> Any:
    """Return a Pod that claims to be the first attempt of a task of the run, with outputs of the attacker."""
    run = scene.run()
    metadata: dict[str, Any] = {
        "name": name or "innocent",
        "labels": {
            names.LABEL_RUN: "run",
            names.LABEL_RUN_UID: run.metadata.uid,
            names.LABEL_TASK: task_name,
            names.LABEL_ATTEMPT: "1",
        },
        **fake(outputs=FORGED_OUTPUTS)["metadata"],
    }
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def owner_of(scene: Scene) -> dict[str, Any]:
    uid = scene.run().metadata.uid
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "run", "uid": uid, "controller": True}


def attempt_of(scene: Scene, task_name: str) -> str:
    """Return the name of the object that carries the first attempt of a task."""
    return pod_name("run", scene.run().metadata.uid, TaskInstanceKey(task_name), 1)


def has_succeeded(status: Any) -> bool:
    """Whether a Pod has."""
    return bool(status.phase == "Succeeded")


def settle(scene: Scene) -> None:
    """Have the operator handle a later object: it has handled all earlier ones then."""
    scene.start(task("later"), name="later")
    scene.reach("Completed", "later")


def test_a_pod_of_another_namespace_is_not_an_attempt_of_a_run(scene, attacker):
    scene.start(task("pay", **RUNS))
    scene.reach_task("Running", "pay")
    attacker.forge(pod_of(scene, "pay"), has_succeeded)
    settle(scene)
    assert scene.entry("pay")["state"] == "Running"


def test_a_pod_of_another_namespace_under_the_name_of_an_attempt_is_none_either(scene, attacker):
    scene.start(task("pay", **RUNS))
    scene.reach_task("Running", "pay")
    # The garbage collector deletes it: its owner is not in its namespace.
    attacker.forge(pod_of(scene, "pay", name=attempt_of(scene, "pay"), owner=owner_of(scene)), has_succeeded)
    settle(scene)
    assert scene.entry("pay")["state"] == "Running"


@pytest.mark.parametrize("has_owner", [False, True], ids=["with labels alone", "with labels and owner"])
def test_a_pod_of_another_name_is_not_an_attempt_of_a_run(scene, insider, has_owner):
    scene.start(task("pay", **RUNS))
    real = scene.running_pod("pay")
    scene.reach_task("Running", "pay")
    insider.forge(pod_of(scene, "pay", owner=owner_of(scene) if has_owner else None), has_succeeded)
    settle(scene)
    entry = scene.entry("pay")
    assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


def test_a_pod_approves_nothing_even_under_the_name_of_an_attempt(scene, insider):
    scene.start({"name": "sign-off", "approval": {"message": "?"}})
    scene.reach_task("Paused", "sign-off")
    insider.forge(pod_of(scene, "sign-off", name=attempt_of(scene, "sign-off"), owner=owner_of(scene)), has_succeeded)
    settle(scene)
    assert scene.entry("sign-off")["state"] == "Paused"


def test_a_pod_ends_no_child_run(scene, insider):
    scene.create("Flow", "inner", {"tasks": [task("work", **RUNS)]})
    scene.start({"name": "call", "flow": {"name": "inner"}})
    scene.reach_task("Running", "call")
    insider.forge(pod_of(scene, "call", name=attempt_of(scene, "call"), owner=owner_of(scene)), has_succeeded)
    settle(scene)
    assert scene.entry("call")["state"] == "Running"


def test_a_run_of_another_namespace_is_not_a_child_run(scene, attacker):
    scene.create("Flow", "inner", {"tasks": [task("work", **RUNS)]})
    scene.start({"name": "call", "flow": {"name": "inner"}})
    scene.reach_task("Running", "call")
    child = scene.now["flowruns"][attempt_of(scene, "call")]
    scene.reach("Running", child.metadata.name)
    stolen = {"tasks": [task("never", when="false")], "outputs": {"stolen": "forged"}}
    attacker.forge(
        {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {
                "name": child.metadata.name,
                "labels": dict(child.metadata.labels),
                "ownerReferences": [owner_of(scene)],
            },
            "spec": {"flowSpec": stolen},
        }
    )
    # The garbage collector deletes it, sooner or later.
    settle(scene)
    assert scene.entry("call")["state"] == "Running"
    assert scene.status(child.metadata.name)["state"] == "Running"


def test_a_job_that_is_not_ours_is_not_an_attempt_of_a_run(scene, insider):
    scene.start(task("pay", workload="Job", **RUNS))
    real = scene.running_pod("pay")
    scene.reach_task("Running", "pay")
    pod = pod_of(scene, "pay")
    template = {"metadata": {k: v for k, v in pod["metadata"].items() if k != "name"}, "spec": pod["spec"]}
    metadata = {"name": "innocent", "labels": pod["metadata"]["labels"]}
    insider.forge(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}},
        lambda status: bool(status.succeeded),
    )
    settle(scene)
    entry = scene.entry("pay")
    assert (entry["state"], entry["pod"]) == ("Running", real.metadata.name)


def test_a_run_of_another_namespace_does_not_hold_up_a_schedule(scene, attacker):
    scene.create("Flow", "flow", {"tasks": [task()]})
    schedule = scene.create(
        "Schedule",
        "every-minute",
        {
            "cron": ["* * * * *"],
            "onOverlap": "Skip",
            "suspend": True,
            "runTemplate": {"spec": {"flow": {"name": "flow"}}},
        },
    )
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "Schedule",
        "name": "every-minute",
        "uid": schedule["metadata"]["uid"],
        "controller": True,
    }
    forged = "every-minute-29932606"
    # The garbage collector deletes it, because its owner is not in its namespace; the finalizer keeps it.
    attacker.forge(
        {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {
                "name": forged,
                "labels": {names.LABEL_SCHEDULE: "every-minute"},
                "ownerReferences": [owner],
                "finalizers": [KEEP],
            },
            "spec": {"flow": {"name": "missing"}},
        }
    )
    try:
        settle(scene)
        scene.until(
            lambda: scene.now["schedules"]["every-minute"].status.get("timing"), "the Schedule to be reconciled"
        )
        # It has missed ticks: the latest one gets a run at once.
        then = rfc3339(time.time() - 600)
        status = {"timingSince": then, "decidedTickTime": then}
        scene.patch("Schedule", "every-minute", {"status": status}, is_status=True)
        scene.patch("Schedule", "every-minute", {"spec": {"suspend": False}})
        scene.until(
            lambda: [run for run in scene.now["flowruns"] if run.startswith("every-minute-")], "a run of the Schedule"
        )
    finally:
        attacker.release(forged)


def test_a_run_finds_no_revision_of_another_namespace(scene, api, connection, other):
    scene.create("Flow", "orders", {"tasks": [task(args=["confidential"])]})
    scene.start_of("orders")
    scene.finish()
    rules = [{"apiGroups": [names.GROUP], "resources": ["*"], "verbs": ["*"]}]
    role: Any = {"metadata": {"name": "owner"}, "rules": rules}
    kubernetes_client.RbacAuthorizationV1Api(api).create_namespaced_role(other, role)
    with Scene(api, connection, other) as theirs:
        # Who may write statuses in the own namespace lets a run say that it had the other's revision.
        theirs.act_as(bind(api, f"{other}:owner", "owner", namespace=other, kind="Role"))
        theirs.create("Flow", "orders", {"tasks": [task(pod_exit_code="1")]})
        theirs.start_of("orders")
        assert theirs.finish()["state"] == "Failed"
        theirs.patch("FlowRun", "run", {"status": {"revision": scene.status()["revision"]}}, is_status=True)
        theirs.create("FlowRun", "again", {"retryOf": {"name": "run"}})

        status = theirs.finish("again")
        assert (status["state"], "does not exist any more" in status.get("message", "")) == ("Failed", True)
        assert theirs.ever_attempts("again") == []
