"""The chart's admission policy, as a tenant meets it who may do anything in a namespace but administer it."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from tests.api.chart import identity_policy, render
from tests.api.impersonation import bind

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

UID = "11111111-2222-3333-4444-555555555555"
IDENTITY = {
    "penstock.dev/run": "victim",
    "penstock.dev/run-uid": UID,
    "penstock.dev/task": "pay",
    "penstock.dev/attempt": "1",
}
OWNER = {"apiVersion": "penstock.dev/v1alpha1", "kind": "FlowRun", "name": "victim", "uid": UID, "controller": True}
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
GARBAGE_COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"


class Tenants:
    """The API server, as several users see it."""

    def __init__(self, api: kubernetes_client.ApiClient, namespace: str) -> None:
        self._api = api
        self.namespace = namespace
        self.operator = f"system:serviceaccount:{namespace}:policy-operator"
        self.tenant = f"system:serviceaccount:{namespace}:tenant"

    def resource(self, user: str | None, kind: str) -> Any:
        """Return a kind of object as a user sees it; None: the administrator."""
        client = kubernetes_client.ApiClient(self._api.configuration)
        if user is not None:
            client.set_default_header("Impersonate-User", user)
        group = {"Job": "batch/v1", "FlowRun": names.API_VERSION}.get(kind, "v1")
        return dynamic.DynamicClient(client).resources.get(api_version=group, kind=kind)

    def create(self, user: str | None, body: dict[str, Any]) -> Any:
        """Create an object."""
        return self.resource(user, body["kind"]).create(body=body, namespace=self.namespace)

    def patch(self, user: str | None, kind: str, name: str, patch: dict[str, Any]) -> Any:
        """Change an object by a merge patch."""
        return self.resource(user, kind).patch(
            name=name, body=patch, namespace=self.namespace, content_type="application/merge-patch+json"
        )

    def delete(self, user: str | None, kind: str, name: str) -> Any:
        """Delete an object."""
        return self.resource(user, kind).delete(name=name, namespace=self.namespace)


@pytest.fixture
def tenants(api, namespace) -> Iterator[Tenants]:
    values = {
        "watchNamespace": namespace,
        "replicas": 0,
        "crds": {"enabled": False},
        "serviceAccount": {"name": "policy-operator"},
        "admissionPolicy": {"operator": {"enabled": False}},  # test_operator_policy.py is about that one
    }
    rendered = render(values, namespace=namespace)
    client = dynamic.DynamicClient(api)
    for body in rendered:
        if body["kind"] in {"Role", "RoleBinding", "ServiceAccount"}:
            kind = client.resources.get(api_version=body["apiVersion"], kind=body["kind"])
            kind.create(body=body, namespace=namespace)
    bind(api, f"{namespace}:tenant", "edit", namespace=namespace)
    with identity_policy(api, rendered, namespace):
        yield Tenants(api, namespace)


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"k": "v"}}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "none"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def job(name: str, *, template: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    spec = {**pod("x")["spec"], "restartPolicy": "Never"}
    body = {"template": {"metadata": template or {}, "spec": spec}, "suspend": True}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": body}


def claim(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, **metadata}, "spec": spec}


def flow_run(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"flow": {"name": "missing"}}
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": {"name": name, **metadata}, "spec": spec}


MANAGED = {"app.kubernetes.io/managed-by": "penstock"}
FORGED = {
    "a Pod that looks like an attempt": pod("p", labels=IDENTITY),
    "a Pod with one identifying label": pod("p", labels={"penstock.dev/run-uid": UID}),
    "a Pod that a run seems to own": pod("p", ownerReferences=[OWNER]),
    "a Pod that says it is ours": pod("p", labels=MANAGED),
    "a Job that looks like an attempt": job("j", labels=IDENTITY),
    "a Job whose Pods will look like attempts": job("j", template={"labels": IDENTITY}),
    "a Job that a run seems to own": job("j", ownerReferences=[OWNER]),
    "a revision": config_map("c", labels={"penstock.dev/flow-uid": UID}),
    "a revision that pretends to be code": config_map(
        "c", labels={"penstock.dev/flow-uid": UID, "penstock.dev/code-of": "f"}
    ),
    "an entry of the cache": config_map("c", labels={"penstock.dev/cache": "outputs", **MANAGED}),
    "a ConfigMap that a run seems to own": config_map("c", ownerReferences=[OWNER]),
    "a workspace": claim("w", labels=IDENTITY),
    "a claim that a run seems to own": claim("w", ownerReferences=[OWNER]),
    "a run that looks like a child run": flow_run("r", labels={"penstock.dev/parent": "victim"}),
    "a run that another seems to own": flow_run("r", ownerReferences=[OWNER]),
    "a run that a Schedule seems to have created": flow_run("r", annotations={"penstock.dev/schedule-uid": UID}),
    "a run that a Backfill seems to have created": flow_run("r", annotations={"penstock.dev/backfill-uid": UID}),
    "a run that a Schedule seems to own": flow_run("r", ownerReferences=[{**OWNER, "kind": "Schedule"}]),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_tenant_cannot_create(tenants, forged):
    with pytest.raises(ApiException) as refused:
        tenants.create(tenants.tenant, FORGED[forged])
    assert refused.value.status == 403
    assert "operator of Penstock" in str(refused.value.body) or "only its operator" in str(refused.value.body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pod("p", labels={"penstock.dev/flow": "x", "team": "a"}), id="a Pod with labels of its own"),
        pytest.param(pod("p", annotations={"penstock.dev/failures": "1"}), id="a Pod with annotations"),
        pytest.param(job("j", template={"labels": {"a": "b"}}), id="a Job"),
        pytest.param(config_map("c", labels={"penstock.dev/code-of": "f", **MANAGED}), id="the code of a Python flow"),
        pytest.param(
            config_map("c", labels={"penstock.dev/code-of": "", **MANAGED}, ownerReferences=[OWNER]),
            id="the code of one run",
        ),
        pytest.param(claim("w"), id="a claim"),
        pytest.param(flow_run("r", labels={"penstock.dev/flow": "missing", "team": "a", **MANAGED}), id="a run"),
    ],
)
def test_a_tenant_can_create(tenants, body):
    tenants.create(tenants.tenant, body)


def test_the_operator_makes_what_it_makes(tenants):
    tenants.create(tenants.operator, pod("p", labels={**IDENTITY, **MANAGED}, ownerReferences=[OWNER]))
    tenants.create(tenants.operator, job("j", labels=IDENTITY, template={"labels": IDENTITY}, ownerReferences=[OWNER]))
    tenants.create(tenants.operator, config_map("c", labels={"penstock.dev/flow-uid": UID, **MANAGED}))
    tenants.create(tenants.operator, flow_run("r", labels={"penstock.dev/parent": "victim"}, ownerReferences=[OWNER]))


def test_who_may_write_the_status_of_runs_may_make_child_runs(tenants):
    tenants.create(None, flow_run("r", labels={"penstock.dev/parent": "victim"}, ownerReferences=[OWNER]))


def test_the_job_controller_makes_the_pods_of_our_jobs_and_no_others(tenants):
    made = tenants.create(tenants.operator, job("j", labels=IDENTITY, template={"labels": IDENTITY}))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": made.metadata.uid, "controller": True}
    tenants.create(JOB_CONTROLLER, pod("p", labels=IDENTITY, ownerReferences=[owner]))
    with pytest.raises(ApiException, match="only its operator"):
        tenants.create(JOB_CONTROLLER, pod("q", labels=IDENTITY))


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"labels": {"penstock.dev/attempt": "2"}}, id="a changed label"),
        pytest.param({"labels": {"penstock.dev/attempt": None}}, id="a removed label"),
        pytest.param({"labels": {"penstock.dev/index": "3"}}, id="an added label"),
        pytest.param({"labels": {"penstock.dev/index": ""}}, id="an added label without a value"),
        pytest.param({"labels": {"penstock.dev/flow": "other"}}, id="another Flow"),
        pytest.param({"labels": {"app.kubernetes.io/managed-by": None}}, id="no manager"),
        pytest.param({"labels": {"app.kubernetes.io/managed-by": "other"}}, id="another manager"),
        pytest.param({"annotations": {"penstock.dev/begin-time": "x"}}, id="an added annotation that is read"),
        pytest.param({"annotations": {"penstock.dev/failures": None}}, id="a removed annotation that is read"),
        pytest.param({"ownerReferences": [{**OWNER, "uid": UID.replace("1", "9")}]}, id="another owner"),
        pytest.param({"ownerReferences": None}, id="no owner"),
        pytest.param({"ownerReferences": [{**OWNER, "controller": False}]}, id="an owner that does not control it"),
        pytest.param(
            {"ownerReferences": [{**OWNER, "apiVersion": "penstock.dev/v9"}]}, id="an owner of another version"
        ),
    ],
)
def test_a_tenant_cannot_change_what_identifies_a_pod(tenants, patch):
    ours = {**IDENTITY, **MANAGED, "penstock.dev/flow": "f"}
    noted = {"penstock.dev/failures": "1"}
    tenants.create(
        tenants.operator,
        pod("p", labels=ours, annotations=noted, ownerReferences=[OWNER], finalizers=["penstock.dev/outcome"]),
    )
    with pytest.raises(ApiException, match=r"operator"):
        tenants.patch(tenants.tenant, "Pod", "p", {"metadata": patch})


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"annotations": {"penstock.dev/schedule-uid": "other"}}, id="another Schedule"),
        pytest.param({"annotations": {"penstock.dev/schedule-uid": None}}, id="no Schedule"),
        pytest.param({"annotations": {"penstock.dev/backfill-uid": UID}}, id="a Backfill"),
        pytest.param({"annotations": {"penstock.dev/backfill-uid": ""}}, id="a Backfill without a uid"),
        pytest.param({"annotations": {"penstock.dev/event-id": "x"}}, id="an event"),
        pytest.param({"annotations": {"penstock.dev/tick": "2026-01-01T00:00:00Z"}}, id="another tick"),
        pytest.param({"labels": {"penstock.dev/schedule": "other"}}, id="another name of the Schedule"),
        pytest.param({"labels": {"penstock.dev/event": "push"}}, id="the name of an event"),
        pytest.param(
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": UID, "controller": True}
                ]
            },
            id="another controller",
        ),
    ],
)
def test_a_tenant_cannot_change_which_schedule_a_run_is_of(tenants, patch):
    noted = {"penstock.dev/schedule-uid": UID, "penstock.dev/tick": "2026-11-30T00:00:00Z"}
    tenants.create(
        tenants.operator, flow_run("nightly-1", labels={"penstock.dev/schedule": "nightly"}, annotations=noted)
    )
    with pytest.raises(ApiException, match=r"operator"):
        tenants.patch(tenants.tenant, "FlowRun", "nightly-1", {"metadata": patch})
    tenants.patch(tenants.tenant, "FlowRun", "nightly-1", {"metadata": {"annotations": {"note": "x"}}})


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"labels": {"app.kubernetes.io/managed-by": None}}, id="no manager"),
        pytest.param({"labels": {"penstock.dev/flow": "other"}}, id="another Flow"),
        pytest.param({"labels": {"penstock.dev/flow": None}}, id="no Flow"),
        pytest.param({"labels": {"penstock.dev/restored": "true"}}, id="a mark of a restoration"),
    ],
)
def test_a_tenant_cannot_change_what_identifies_a_revision(tenants, patch):
    ours = {"penstock.dev/flow-uid": UID, "penstock.dev/flow": "f", **MANAGED}
    tenants.create(tenants.operator, config_map("f-1", labels=ours))
    with pytest.raises(ApiException, match=r"operator"):
        tenants.patch(tenants.tenant, "ConfigMap", "f-1", {"metadata": patch})


def test_a_tenant_cannot_take_a_job_or_its_pod_from_the_operator(tenants):
    ours = {**IDENTITY, **MANAGED}
    made = tenants.create(tenants.operator, job("j", labels=ours, template={"labels": ours}))
    uid = made.metadata.uid
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": uid, "controller": True}
    of_job = {**ours, "batch.kubernetes.io/controller-uid": uid}
    tenants.create(
        JOB_CONTROLLER, pod("p", labels=of_job, ownerReferences=[owner], finalizers=["penstock.dev/outcome"])
    )
    for kind, name, patch in (
        ("Job", "j", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
        ("Job", "j", {"metadata": {"labels": {"penstock.dev/run-uid": None}}}),
        ("Job", "j", {"spec": {"template": {"metadata": {"annotations": {"penstock.dev/outputs-format": "Text"}}}}}),
        ("Pod", "p", {"metadata": {"ownerReferences": [{**owner, "controller": False}]}}),
        ("Pod", "p", {"metadata": {"labels": {"batch.kubernetes.io/controller-uid": None}}}),
    ):
        with pytest.raises(ApiException, match=r"operator of Penstock|only its operator"):
            tenants.patch(tenants.tenant, kind, name, patch)
    tenants.patch(JOB_CONTROLLER, "Pod", "p", {"metadata": {"ownerReferences": None}})
    tenants.patch(tenants.operator, "Pod", "p", {"metadata": {"finalizers": None}})


def test_a_tenant_may_label_annotate_and_delete_a_pod_and_the_operator_takes_its_finalizer_off(tenants):
    tenants.create(tenants.operator, pod("p", labels=IDENTITY, finalizers=["penstock.dev/outcome"]))
    tenants.patch(tenants.tenant, "Pod", "p", {"metadata": {"labels": {"seen": "yes"}, "annotations": {"note": "x"}}})
    tenants.delete(tenants.tenant, "Pod", "p")
    tenants.patch(tenants.operator, "Pod", "p", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("containers", ["containers", "initContainers"])
def test_a_tenant_cannot_change_what_a_pod_of_a_run_executes(tenants, containers):
    body = pod("p", labels=IDENTITY)
    body["spec"]["initContainers"] = [{"name": "first", "image": "none"}]
    tenants.create(tenants.operator, body)
    tenants.create(tenants.tenant, {**body, "metadata": {"name": "mine"}})
    patch = [{"op": "replace", "path": f"/spec/{containers}/0/image", "value": "attacker"}]
    with pytest.raises(ApiException, match="its images cannot be changed"):
        tenants.resource(tenants.tenant, "Pod").patch(
            name="p", namespace=tenants.namespace, body=patch, content_type="application/json-patch+json"
        )
    found = tenants.resource(tenants.tenant, "Pod").patch(
        name="mine", namespace=tenants.namespace, body=patch, content_type="application/json-patch+json"
    )
    assert found.spec[containers][0].image == "attacker"


def test_a_revision_is_deleted_by_the_operator_and_the_garbage_collector_and_administrators_alone(tenants):
    for name in ("a", "b", "c"):
        tenants.create(tenants.operator, config_map(name, labels={"penstock.dev/flow-uid": UID, **MANAGED}))
    with pytest.raises(ApiException, match="this ConfigMap is a revision of a Flow"):
        tenants.delete(tenants.tenant, "ConfigMap", "a")
    with pytest.raises(ApiException, match="this ConfigMap is a revision of a Flow"):
        tenants.resource(tenants.tenant, "ConfigMap").delete(
            namespace=tenants.namespace, label_selector="penstock.dev/flow-uid"
        )
    tenants.delete(tenants.operator, "ConfigMap", "a")
    tenants.delete(GARBAGE_COLLECTOR, "ConfigMap", "b")
    tenants.delete(None, "ConfigMap", "c")


def test_the_workspace_of_a_run_is_deleted_by_the_garbage_collector_and_administrators_alone(tenants):
    for name in ("a", "b"):
        tenants.create(tenants.operator, claim(name, labels={**IDENTITY, **MANAGED}))
    with pytest.raises(ApiException, match="this PersistentVolumeClaim is the workspace of a run"):
        tenants.delete(tenants.tenant, "PersistentVolumeClaim", "a")
    tenants.delete(GARBAGE_COLLECTOR, "PersistentVolumeClaim", "a")
    tenants.delete(None, "PersistentVolumeClaim", "b")
    tenants.create(tenants.tenant, claim("mine"))
    tenants.delete(tenants.tenant, "PersistentVolumeClaim", "mine")


def test_a_revision_is_restored_by_administrators_alone(tenants):
    restored = {"penstock.dev/restored": "true", **MANAGED}
    for body in (
        config_map("r", labels={"penstock.dev/flow-uid": UID, **restored}),
        config_map("c", labels={"penstock.dev/cache": "outputs", **restored}),
    ):
        with pytest.raises(ApiException, match="identify objects of Penstock"):
            tenants.create(tenants.tenant, body)
        tenants.create(None, body)
    with pytest.raises(ApiException, match="identify objects of Penstock"):
        tenants.create(None, pod("p", labels={**IDENTITY, **restored}))
    with pytest.raises(ApiException, match="identify objects of Penstock"):
        tenants.create(None, config_map("x", labels={"penstock.dev/flow-uid": UID}))


def test_an_entry_of_the_cache_may_be_deleted_by_a_tenant(tenants):
    tenants.create(tenants.operator, config_map("c", labels={"penstock.dev/cache": "outputs", **MANAGED}))
    tenants.delete(tenants.tenant, "ConfigMap", "c")


def test_what_tasks_reuse_is_changed_by_the_operator_alone(tenants):
    tenants.create(tenants.operator, config_map("c", labels={"penstock.dev/cache": "outputs", **MANAGED}))
    for change in ({"data": {"k": "w"}}, {"data": None}, {"binaryData": {"x": "AA=="}}):
        with pytest.raises(ApiException, match="this ConfigMap is an entry of the cache"):
            tenants.patch(tenants.tenant, "ConfigMap", "c", change)
    tenants.patch(tenants.tenant, "ConfigMap", "c", {"metadata": {"annotations": {"note": "x"}}})
    tenants.patch(tenants.operator, "ConfigMap", "c", {"data": {"k": "w"}})


def test_an_object_of_a_tenant_that_has_such_a_label_already_can_still_be_changed(tenants):
    # It was there before the policy: an administrator may still create one, by the operator's name here.
    tenants.create(tenants.operator, pod("p", labels={"penstock.dev/run-uid": "mine"}))
    tenants.patch(tenants.tenant, "Pod", "p", {"metadata": {"annotations": {"k": "w"}}})
