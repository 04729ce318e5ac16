"""The chart's policy about the operator's own account: what it may do with its token, and that flows need no more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Self

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from tests.api.account import NAME as ACCOUNT
from tests.api.account import NAMESPACE as RELEASE_NAMESPACE
from tests.api.chart import POLICY_KINDS, render
from tests.api.impersonation import bind
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

UID = "11111111-2222-3333-4444-555555555555"
OURS = {"app.kubernetes.io/managed-by": "penstock"}
OWNER = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "r", "uid": UID, "controller": True}
REFUSED_IN = r"may create, change and delete nothing in the namespaces"


class Policy:
    """The policy in force, for the account that operators of the tests have."""

    def __init__(
        self, api: kubernetes_client.ApiClient, name: str = ACCOUNT, *, release: str = RELEASE_NAMESPACE, **values: Any
    ) -> None:
        self._api = api
        self._admin = dynamic.DynamicClient(api)
        impersonating = kubernetes_client.ApiClient(api.configuration)
        impersonating.set_default_header("Impersonate-User", f"system:serviceaccount:{release}:{ACCOUNT}")
        self._operator = dynamic.DynamicClient(impersonating)
        settings = {
            "fullnameOverride": name,
            "serviceAccount": {"name": ACCOUNT},
            "crds": {"enabled": False},
            "admissionPolicy": {"operator": values},
        }
        found = [each for each in render(settings, namespace=release) if each["kind"] in POLICY_KINDS]
        self.objects = [each for each in found if each["metadata"]["name"] == f"{name}-operator"]

    def __enter__(self) -> Self:
        for body in self.objects:
            self._resource(self._admin, body).create(body=body)
        return self

    def wait_until_in_force(self, namespace: str, probe: dict[str, Any], message: str) -> None:
        """Wait until the API server applies it, which takes it about a second."""
        for _ in range(10_000):
            try:
                self.create(probe, namespace, dry_run="All")
            except ApiException as refused:
                if message in str(refused.body):
                    return
                if "cannot create resource" not in str(refused.body):  # its role is not in force yet
                    raise
        pytest.fail("the policy is not in force")

    def wait_until_gone(self, namespace: str, probe: dict[str, Any]) -> None:
        """Wait until the API server does not apply it any more, which takes it about a second too."""
        for _ in range(10_000):
            try:
                self.create(probe, namespace, dry_run="All")
            except ApiException as refused:
                if self.objects[0]["metadata"]["name"] not in str(refused.body):
                    raise
            else:
                return
        pytest.fail("the policy is still in force")

    def __exit__(self, *_: object) -> None:
        for body in self.objects:
            self._resource(self._admin, body).delete(name=body["metadata"]["name"])

    def create(self, body: dict[str, Any], namespace: str, **options: Any) -> Any:
        return self._resource(self._operator, body).create(body=body, namespace=namespace, **options)

    def create_as_admin(self, body: dict[str, Any], namespace: str) -> Any:
        return self._resource(self._admin, body).create(body=body, namespace=namespace)

    def remove_as_admin(self, body: dict[str, Any], namespace: str) -> None:
        """Delete an object for good, whatever holds it."""
        resource, name = self._resource(self._admin, body), body["metadata"]["name"]
        no_finalizers = {"metadata": {"finalizers": None}}
        resource.patch(name=name, namespace=namespace, body=no_finalizers, content_type="application/merge-patch+json")
        resource.delete(name=name, namespace=namespace, grace_period_seconds=0)

    def patch(self, body: dict[str, Any], namespace: str, patch: dict[str, Any]) -> Any:
        return self._resource(self._operator, body).patch(
            name=body["metadata"]["name"],
            namespace=namespace,
            body=patch,
            content_type="application/strategic-merge-patch+json",
        )

    def delete(self, body: dict[str, Any], namespace: str) -> Any:
        return self._resource(self._operator, body).delete(name=body["metadata"]["name"], namespace=namespace)

    def _resource(self, client: dynamic.DynamicClient, body: dict[str, Any]) -> Any:
        return client.resources.get(api_version=body["apiVersion"], kind=body["kind"])


def pod(name: str, *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    body = {"containers": [{"name": "main", "image": "none"}], **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": body}


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {}}


def claim(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, **metadata}, "spec": spec}


def job(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {**pod("x")["spec"], "restartPolicy": "Never"}
    body = {"template": {"metadata": {}, "spec": spec}, "suspend": True}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": body}


ATTEMPT: dict[str, Any] = {"labels": OURS, "ownerReferences": [OWNER]}


@pytest.fixture(scope="module")
def policy(api) -> Iterator[Policy]:
    with Policy(api) as policy:
        policy.wait_until_in_force("kube-system", pod("probe", **ATTEMPT), "operator of Penstock")
        yield policy


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
@pytest.mark.parametrize("make", [pod, job, config_map, claim])
def test_the_operators_token_creates_nothing_in_system_namespaces(policy, namespace, make):
    with pytest.raises(ApiException, match=REFUSED_IN) as refused:
        policy.create(make("x", **ATTEMPT), namespace, dry_run="All")
    assert refused.value.status == 403


def test_the_operators_token_creates_nothing_in_its_own_namespace_unless_that_is_allowed(api, namespace):
    bind(api, f"{namespace}:{ACCOUNT}", "edit", namespace=namespace)
    with Policy(api, f"{ACCOUNT}-own", release=namespace) as own:
        own.wait_until_in_force(namespace, pod("x", **ATTEMPT), "may create, change and delete nothing")
    own.wait_until_gone(namespace, pod("x", **ATTEMPT))
    with Policy(api, f"{ACCOUNT}-allowed", release=namespace, allowReleaseNamespace=True) as allowed:
        allowed.wait_until_in_force(namespace, pod("x"), "may create only objects of runs")
        allowed.create(pod("x", **ATTEMPT), namespace, dry_run="All")


def test_the_operators_token_changes_and_deletes_nothing_in_system_namespaces(policy):
    body = config_map(f"penstock-{uuid.uuid4().hex[:8]}", labels=OURS)
    policy.create_as_admin(body, "kube-system")
    with pytest.raises(ApiException, match=REFUSED_IN):
        policy.patch(body, "kube-system", {"data": {"a": "b"}})
    with pytest.raises(ApiException, match=REFUSED_IN):
        policy.delete(body, "kube-system")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pod("x"), id="a Pod"),
        pytest.param(pod("x", labels=OURS), id="a Pod of no run"),
        pytest.param(pod("x", ownerReferences=[OWNER]), id="a Pod without the label"),
        pytest.param(job("x", labels=OURS), id="a Job of no run"),
        pytest.param(claim("x", labels=OURS), id="a claim of no run"),
        pytest.param(config_map("x", labels=OURS), id="a ConfigMap that is neither a revision nor a cached output"),
        pytest.param(config_map("x", labels={"penstock.dev/cache": "lock"}), id="a ConfigMap without the label"),
    ],
)
def test_the_operators_token_does_not_create(policy, namespace, body):
    with pytest.raises(ApiException, match="may create only objects of runs"):
        policy.create(body, namespace, dry_run="All")


def test_the_operators_token_does_not_change_or_delete_what_belongs_to_others(policy, core, namespace):
    for body in (pod("theirs"), config_map("theirs")):
        policy.create_as_admin(body, namespace)
        with pytest.raises(ApiException, match="may change and delete only objects labelled"):
            policy.patch(body, namespace, {"metadata": {"labels": OURS}})
        with pytest.raises(ApiException, match="may change and delete only objects labelled"):
            policy.delete(body, namespace)
    assert core.read_namespaced_pod("theirs", namespace).metadata.deletion_timestamp is None


def test_the_operators_token_does_not_change_the_image_of_a_pod(policy, namespace):
    # The garbage collector deletes it, as there is no such run; the finalizer keeps it.
    body = pod("ours", **ATTEMPT, finalizers=[names.FINALIZER])
    policy.create(body, namespace)
    with pytest.raises(ApiException, match="may not change the image"):
        policy.patch(body, namespace, {"spec": {"containers": [{"name": "main", "image": "evil"}]}})
    policy.patch(body, namespace, {"spec": {"activeDeadlineSeconds": 1}})
    policy.patch(body, namespace, {"metadata": {"$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}})


def test_the_operators_token_takes_its_finalizer_off_a_pod_in_a_namespace_that_was_forbidden_later(policy):
    body = pod(
        f"penstock-{uuid.uuid4().hex[:8]}",
        spec={"schedulingGates": [{"name": "example.com/never"}]},
        labels=OURS,
        finalizers=[names.FINALIZER, "example.com/keep"],
    )
    policy.create_as_admin(body, "kube-public")
    release = {"metadata": {"$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
    try:
        for patch in (
            {"metadata": {"$deleteFromPrimitiveList/finalizers": [names.FINALIZER, "example.com/keep"]}},
            {"metadata": {**release["metadata"], "labels": {"a": "b"}}},
            {**release, "spec": {"activeDeadlineSeconds": 1}},
        ):
            with pytest.raises(ApiException, match=REFUSED_IN):
                policy.patch(body, "kube-public", patch)
        assert policy.patch(body, "kube-public", release).metadata.finalizers == ["example.com/keep"]
        policy.patch(body, "kube-public", release)
    finally:
        policy.remove_as_admin(body, "kube-public")


def test_other_users_are_not_limited_by_it(policy, namespace):
    policy.create_as_admin(pod("x"), namespace)


PRIVILEGED: dict[str, dict[str, Any]] = {
    "the network of the node": {"hostNetwork": True},
    "the processes of the node": {"hostPID": True},
    "the files of the node": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    "a privileged container": {
        "containers": [{"name": "main", "image": "none", "securityContext": {"privileged": True}}]
    },
    "a privileged init container": {
        "initContainers": [{"name": "i", "image": "none", "securityContext": {"privileged": True}}]
    },
}


def test_tasks_can_be_kept_from_privileges(api, namespace):
    with Policy(api, f"{ACCOUNT}-strict", allowPrivilegedPods=False) as strict:
        for spec in PRIVILEGED.values():
            strict.wait_until_in_force(namespace, pod("x", spec=spec, **ATTEMPT), "allowPrivilegedPods")
        strict.create(pod("x", spec={"volumes": [{"name": "v", "emptyDir": {}}]}, **ATTEMPT), namespace, dry_run="All")


@pytest.mark.usefixtures("policy")
def test_with_the_policy_runs_have_all_that_they_need(kubeconfig, scene: Scene, volume, tmp_path):
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace) as operator:
        scene.create("Flow", "inner", {"tasks": [task("inner", script="echo")], "podRetention": {"completed": "0s"}})
        scene.create("Flow", "outer", {
            "podRetention": {"completed": "0s"},
            "tasks": [
                task("pods", forEach={"count": 3}, script="echo $(index)"),
                task("retried", retry={"limit": 1}, pod_exit_code="1,0"),
                task("job", workload="Job"),
                task("cached", cache={"key": "k", "ttl": "1h"}, pod_outputs='{"x": 1}'),
                {"name": "child", "flow": {"name": "inner"}},
                {"name": "last", "dependsOn": ["pods", "retried", "job", "cached", "child"], "image": "busybox"},
            ],
        })  # fmt: skip
        scene.until(lambda: is_ready(scene, "outer"), "the Flow to be Ready: its Pods pass a dry run")
        scene.start_of("outer")
        assert scene.finish()["state"] == "Completed"
        scene.start_of("outer", "again")
        assert scene.finish("again")["state"] == "Completed"
        assert scene.entry("cached", "again")["state"] == "Cached"
        scene.until(lambda: not scene.now["pods"] or all_gone(scene), "Pods that are not retained to be deleted")
        workspace = {"size": "1Gi", "storageClassName": volume, "accessMode": "ReadWriteOnce"}
        scene.start(task("write"), name="shared", workspace=workspace)
        assert scene.finish("shared")["state"] == "Completed"
        scene.start(task(pod_outcome="run"), name="stopped")
        scene.running_pod()
        scene.patch("FlowRun", "stopped", {"spec": {"shutdown": "Terminate"}})
        assert scene.finish("stopped")["state"] == "Cancelled"
        assert "of Penstock may" not in operator.log


def is_ready(scene: Scene, flow: str) -> bool:
    found = scene.now["flows"].get(flow)
    conditions = (found.status.get("conditions") or []) if found else []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def all_gone(scene: Scene) -> bool:
    return all(each.status.get("phase") != "Succeeded" for each in scene.now["pods"].values())
