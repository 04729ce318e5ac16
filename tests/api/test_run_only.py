"""Running Flows without writing them: the policy that runs name Flows, the role, and the ServiceAccounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from tests.api.account import NAME as ACCOUNT
from tests.api.audit_scene import People, policies, rendered_release
from tests.api.chart import render
from tests.api.impersonation import bind
from tests.api.scene import Scene, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

INLINE = {"flowSpec": {"tasks": [{"name": "a", "image": "busybox"}]}}
MUST_NAME = "runs in this namespace must name a Flow"
LABEL = "penstock.dev/require-flows"
ALLOWED = "penstock.dev/service-accounts"


@pytest.fixture
def people(kubeconfig, namespace) -> People:
    return People(kubeconfig, namespace)


@pytest.fixture
def runner(api: kubernetes_client.ApiClient, namespace: str) -> Iterator[kubernetes_client.ApiClient]:
    """A ServiceAccount with the chart's role for those who only run Flows."""
    role = next(each for each in render({}, namespace=namespace) if each["metadata"]["name"].endswith("-run"))
    role["metadata"] = {"name": f"run-{namespace}"}
    roles: Any = kubernetes_client.RbacAuthorizationV1Api(api)
    roles.create_cluster_role(role)
    yield bind(api, f"{namespace}:runner", role["metadata"]["name"], namespace=namespace)
    roles.delete_cluster_role(role["metadata"]["name"])


def label(core: Any, namespace: str) -> None:
    core.patch_namespace(namespace, {"metadata": {"labels": {LABEL: "true"}}})


def until_required(scene: Scene) -> None:
    """Wait until the policy is in force, which takes the API server about a second."""
    for _ in range(10_000):
        try:
            scene.custom.create_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                scene.namespace,
                "flowruns",
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "FlowRun",
                    "metadata": {"name": "probe"},
                    "spec": INLINE,
                },
                dry_run="All",
            )
        except ApiException as refused:
            if MUST_NAME in str(refused.body):
                return
            raise
    pytest.fail("the policy is not in force")


def test_whoever_has_only_the_role_runs_flows_and_nothing_of_their_own(api, core, runner, replica, scene):
    label(core, scene.namespace)
    scene.create("Flow", "theirs", {"tasks": [task()]})
    with policies(api, rendered_release(scene.namespace), "-flows"), replica():
        scene.act_as(runner)
        until_required(scene)
        scene.start_of("theirs")
        assert scene.finish()["state"] == "Completed"
        with pytest.raises(ApiException, match=MUST_NAME) as refused:
            scene.start(task(), name="mine")
        assert refused.value.status == 403
        for kind, spec in (
            ("Flow", {"tasks": [task()]}),
            ("Schedule", {"cron": ["@daily"], "runTemplate": {"spec": INLINE}}),
        ):
            with pytest.raises(ApiException, match="cannot create resource"):
                scene.create(kind, "mine", spec)
        with pytest.raises(ApiException, match="cannot patch resource"):
            scene.patch("FlowRun", "run", {"spec": {"suspend": True}})


def test_templates_of_schedules_name_flows_too_and_earlier_schedules_create_no_runs(api, core, replica, scene):
    yearly = {"cron": ["@yearly"], "runTemplate": {"spec": INLINE}}
    scene.create("Schedule", "earlier", yearly)
    label(core, scene.namespace)
    with policies(api, rendered_release(scene.namespace), "-flows"), replica():
        until_required(scene)
        with pytest.raises(ApiException, match=f"runTemplate.spec.flowSpec: {MUST_NAME}"):
            scene.create("Schedule", "mine", yearly)
        scene.patch("Schedule", "earlier", {"spec": {"suspend": True}})
        span = {"from": "2023-12-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"}
        scene.create("Backfill", "past", {"schedule": {"name": "earlier"}, **span})
        assert MUST_NAME in scene.event("FailedCreate", "past").message
        assert not scene.ever["flowruns"]


def test_other_namespaces_are_not_affected_unless_the_installation_demands_it(api, scene, people):
    with policies(api, rendered_release(scene.namespace), "-flows"):
        scene.start(task(), name="inline")
    required = rendered_release(scene.namespace, admissionPolicy={"requireFlows": True, "operator": {"enabled": False}})
    with policies(api, required, "-flows"):
        until_required(scene)


# ServiceAccounts


@pytest.mark.parametrize(
    ("values", "annotation", "why"),
    [
        pytest.param({"serviceAccounts": ["loader"]}, None, "only loader (admissionPolicy.operator", id="the chart"),
        pytest.param({}, "loader, other", "only loader, other (annotation penstock.dev", id="the namespace"),
    ],
)
def test_tasks_use_only_the_service_accounts_that_are_allowed(api, core, replica, scene, values, annotation, why):
    if annotation:
        core.patch_namespace(scene.namespace, {"metadata": {"annotations": {ALLOWED: annotation}}})
    for name in ("loader", "admin"):
        core.create_namespaced_service_account(scene.namespace, {"metadata": {"name": name}})
    settings = {"enabled": True, "forbiddenNamespaces": [], **values}
    rendered = rendered_release(scene.namespace, admissionPolicy={"operator": settings})
    with policies(api, rendered, "-operator"):
        until_account_refused(api, scene.namespace, why)
        with replica():
            scene.start(task(serviceAccountName="admin"), name="admin")
            assert scene.finish("admin")["state"] == "Failed"
            entry = scene.entry("main", "admin")
            assert entry["reason"] == "CreateRefused"
            assert why in entry["message"]
            scene.start(
                task("plain"), task("named", serviceAccountName="loader"), task("job", workload="Job"), name="good"
            )
            assert scene.finish("good")["state"] == "Completed"
            volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
            scene.start({**task(), "podTemplate": {"spec": {"volumes": [volume]}}}, name="token")
            assert scene.finish("token")["state"] == "Failed"
            scene.start(task(serviceAccountName="admin", workload="Job"), name="job")
            assert why in scene.until(lambda: scene.entry("main", "job").get("message"), "the Job to be refused")


def until_account_refused(api: kubernetes_client.ApiClient, namespace: str, why: str) -> None:
    """Wait until the policy is in force, by trying what it refuses, as the operator."""
    client = kubernetes_client.ApiClient(api.configuration)
    client.set_default_header("Impersonate-User", f"system:serviceaccount:default:{ACCOUNT}")
    pods = dynamic.DynamicClient(client).resources.get(api_version="v1", kind="Pod")
    owner = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "r", "uid": "x", "controller": True}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}, "ownerReferences": [owner]},
        "spec": {"serviceAccountName": "admin", "containers": [{"name": "main", "image": "none"}]},
    }
    for _ in range(10_000):
        try:
            pods.create(body=body, namespace=namespace, dry_run="All")
        except ApiException as refused:
            if why in str(refused.body):
                return
            raise
    pytest.fail("the policy is not in force")


def test_no_role_for_users_gives_the_status_subresource(namespace):
    roles = [each for each in render({}, namespace=namespace) if each["kind"] == "ClusterRole"]
    for role in roles:
        labels = role["metadata"].get("labels", {})
        if any("aggregate-to" in key for key in labels) or role["metadata"]["name"].endswith("-run"):
            assert not [name for rule in role["rules"] for name in rule["resources"] if "/" in name or name == "*"]
