"""A Flow whose Pods the API server would refuse is not ready, and says which task and why: before any run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


def verdict(scene: Scene, generation: int = 1) -> dict[str, Any]:
    """Wait until the operator has reconciled the Flow, and return its condition."""

    def find() -> dict[str, Any] | None:
        flow = scene.now["flows"].get("flow")
        conditions = flow.status.get("conditions", ()) if flow is not None else ()
        return next((one for one in conditions if one["observedGeneration"] == generation), None)

    found = scene.until(find, "the Flow to be reconciled")
    assert found is not None
    return found


def spec_of(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def container(**fields: Any) -> dict[str, Any]:
    return spec_of(containers=[{"name": "main", **fields}])


@pytest.mark.parametrize("workload", ["Pod", "Job"])
@pytest.mark.parametrize(
    ("template", "said"),
    [
        pytest.param(spec_of(hostname="No_Name"), "hostname", id="a value that is not valid"),
        pytest.param(spec_of(nodeSelectors={"a": "b"}), "nodeSelectors", id="a field that does not exist"),
        pytest.param(spec_of(hostNetwork="yes"), "hostNetwork", id="a value of another type"),
        pytest.param(
            container(volumeMounts=[{"name": "data", "mountPath": "/data"}]), '"data"', id="a volume that is missing"
        ),
        pytest.param(container(resources={"requests": {"cpu": "two"}}), "quantit", id="no quantity"),
    ],
)
def test_a_flow_whose_pod_is_refused_is_not_ready_and_says_why(at_work, workload, template, said):
    scene = at_work
    scene.create("Flow", "flow", {"tasks": [task("good"), task("bad", workload=workload, podTemplate=template)]})

    found = verdict(scene)

    assert (found["status"], found["reason"]) == ("False", "PodRefused")
    assert found["message"].startswith("task bad: ")
    assert said in found["message"]
    assert scene.event("PodRefused", "flow").type == "Warning"
    assert scene.pods(ever=True) == []
    assert not scene.ever["jobs"]


def test_a_flow_that_is_mended_is_ready(at_work):
    scene = at_work
    scene.create("Flow", "flow", {"tasks": [task(podTemplate=spec_of(hostname="No_Name"))]})
    assert verdict(scene)["status"] == "False"

    scene.patch("Flow", "flow", {"spec": {"tasks": [task(podTemplate=spec_of(hostname="a-name"))]}})

    assert verdict(scene, generation=2)["status"] == "True"


def test_what_pod_security_refuses_is_reported(at_work):
    scene = at_work
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    scene.core.patch_namespace(scene.namespace, {"metadata": {"labels": labels}})
    scene.create("Flow", "flow", {"tasks": [task("plain"), task("rooted", podTemplate=spec_of(hostNetwork=True))]})

    found = verdict(scene)

    assert found["message"].startswith("task rooted: ")
    assert "PodSecurity" in found["message"]


def test_a_service_account_that_does_not_exist_is_reported(at_work):
    scene = at_work
    scene.create("Flow", "flow", {"tasks": [task(serviceAccountName="nobody")]})

    assert "nobody" in verdict(scene)["message"]


def test_a_thousand_tasks_of_one_shape_are_one_question(at_work, operator):
    scene = at_work
    before = operator.metric("penstock_api_requests_total", verb="create", resource="pods")
    bad = spec_of(hostname="No_Name")
    scene.create("Flow", "flow", {"tasks": [task(f"t{n}", args=[str(n)], podTemplate=bad) for n in range(1000)]})

    assert "task t0 and 999 similar" in verdict(scene)["message"]
    assert operator.metric("penstock_api_requests_total", verb="create", resource="pods") - before == 1


def test_a_revision_that_was_accepted_is_not_asked_about_again(at_work, operator):
    scene = at_work
    flow = {"tasks": [task()]}
    scene.create("Flow", "flow", flow)
    verdict(scene)
    before = operator.metric("penstock_api_requests_total", verb="create", resource="pods")

    # Its own status and a label are changes; so is what is not part of a revision.
    scene.patch("Flow", "flow", {"metadata": {"labels": {"a": "b"}}})
    scene.patch("Flow", "flow", {"spec": {"concurrency": {"limit": 3}}})

    assert verdict(scene, generation=2)["status"] == "True"
    assert operator.metric("penstock_api_requests_total", verb="create", resource="pods") == before


PARAMS = [
    {"name": "zone"},
    {"name": "cpu"},
    {"name": "n", "type": "integer"},
    {"name": "tolerations", "type": "array"},
    {"name": "account", "default": "default"},
    {"name": "missing", "default": "nobody"},
]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"image": "etl:$(params.zone)"}, id="a name in an image"),
        pytest.param({"podTemplate": spec_of(nodeSelector={"zone": "$(params.zone)"})}, id="a label"),
        pytest.param({"podTemplate": container(resources={"requests": {"cpu": "$(params.cpu)"}})}, id="a quantity"),
        pytest.param({"podTemplate": spec_of(priority="$(params.n)")}, id="a number that admission sets"),
        pytest.param({"podTemplate": spec_of(tolerations="$(params.tolerations)")}, id="a list"),
        pytest.param({"podTemplate": spec_of(serviceAccountName="$(params.zone)")}, id="a name that must exist"),
        pytest.param({"podTemplate": spec_of(serviceAccountName="$(params.account)")}, id="one that does, by default"),
        pytest.param({"podTemplate": spec_of(priority="$(tasks.first.outputs.n)")}, id="a number from outputs"),
        pytest.param({"podTemplate": spec_of(hostname="$(tasks.first.outputs.hosts[0])")}, id="part of outputs"),
        pytest.param(
            {"podTemplate": spec_of(hostname="h-$(item.name)"), "forEach": {"items": "$(tasks.first.outputs.all)"}},
            id="a part of an item that is unknown",
        ),
        pytest.param({"podTemplate": spec_of(hostname="$(run.name)")}, id="the run"),
    ],
)
def test_values_that_only_a_run_has_are_not_held_against_a_flow(at_work, fields):
    scene = at_work
    scene.create("Flow", "flow", {"params": PARAMS, "tasks": [task("first"), task(**fields)]})

    assert verdict(scene)["status"] == "True", verdict(scene)["message"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        pytest.param(spec_of(hostname="No_Name", nodeSelector={"z": "$(params.zone)"}), "hostname", id="a value"),
        pytest.param(spec_of(nodeSelectors={"z": "$(params.zone)"}), "nodeSelectors", id="an unknown field"),
        pytest.param(spec_of(serviceAccountName="$(params.missing)"), "nobody", id="a default"),
    ],
)
def test_what_is_wrong_beside_values_of_a_run_is_reported_all_the_same(at_work, template, said):
    scene = at_work
    scene.create("Flow", "flow", {"params": PARAMS, "tasks": [task(podTemplate=template)]})

    assert verdict(scene)["status"] == "False"
    assert said in verdict(scene)["message"]


def test_a_full_quota_is_not_held_against_a_flow(at_work):
    scene = at_work
    quota: Any = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
    scene.create("Flow", "flow", {"tasks": [task()]})

    assert verdict(scene)["status"] == "True"


def test_a_run_of_a_flow_that_is_not_ready_starts_and_its_task_fails_with_the_same_words(at_work):
    scene = at_work
    scene.create("Flow", "flow", {"tasks": [task(podTemplate=spec_of(hostname="No_Name"))]})
    verdict(scene)
    scene.start_of("flow")

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "CreateRefused"
    assert "hostname" in scene.entry()["message"]
