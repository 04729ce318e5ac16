"""Revisions that somebody with the role `edit` deletes or replaces, while no admission policy is in force."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import watch

from penstock.api import names
from tests.api.impersonation import bind
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

REVISIONS = names.LABEL_FLOW_UID


@pytest.fixture
def scene(scene: Scene, api: kubernetes_client.ApiClient) -> Scene:
    scene.act_as(bind(api, f"{scene.namespace}:editor", "edit", namespace=scene.namespace))
    return scene


def revisions(scene: Scene) -> list[Any]:
    return list(scene.core.list_namespaced_config_map(scene.namespace, label_selector=REVISIONS).items)


def ready(scene: Scene, reason: str, flow: str = "orders") -> dict[str, Any]:
    """Wait until the condition Ready of a Flow has a reason, and return it."""

    def find() -> dict[str, Any] | None:
        found = scene.now["flows"].get(flow)
        conditions = [] if found is None else found.status.get("conditions", [])
        return next((one for one in conditions if (one["type"], one["reason"]) == ("Ready", reason)), None)

    condition = scene.until(find, f"the Flow {flow} to be {reason}")
    assert condition is not None
    return condition


def until_another(scene: Scene, name: str, uid: str) -> Any:
    """Wait until a ConfigMap of this name exists that is not the one of this uid."""
    stream = watch.Watch().stream(
        scene.core.list_namespaced_config_map,
        scene.namespace,
        field_selector=f"metadata.name={name}",
        timeout_seconds=60,
    )
    for event in stream:
        found: Any = event["object"]
        if event["type"] != "DELETED" and found.metadata.uid != uid:
            return found
    raise AssertionError(f"the ConfigMap {name} was not stored again")


def replace(scene: Scene, found: Any, data: dict[str, str]) -> None:
    """Do as somebody does who may create and delete ConfigMaps: the name, the labels and all else stay."""
    scene.core.delete_namespaced_config_map(found.metadata.name, scene.namespace)
    metadata = kubernetes_client.V1ObjectMeta(name=found.metadata.name, labels=found.metadata.labels)
    scene.core.create_namespaced_config_map(
        scene.namespace, kubernetes_client.V1ConfigMap(metadata=metadata, data=data, immutable=True)
    )


def test_a_deleted_revision_is_stored_again_and_the_next_run_mounts_it(scene, replica):
    with replica():
        scene.create("Flow", "orders", {"tasks": [task(script="echo hello")]})
        ready(scene, "Valid")
        (revision,) = revisions(scene)
        scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)

        again = until_another(scene, revision.metadata.name, revision.metadata.uid)
        assert (again.data, again.immutable, again.metadata.labels) == (
            revision.data,
            True,
            revision.metadata.labels,
        )
        scene.start_of("orders")
        scene.finish()
        assert scene.status()["revision"] == revision.metadata.name


def test_a_deleted_revision_of_an_inline_spec_is_stored_again_while_its_run_needs_it(scene, replica):
    with replica():
        scene.start(task(script="echo hello", pod_outcome="run"))
        scene.reach_task("Running")
        (revision,) = revisions(scene)
        scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)

        again = until_another(scene, revision.metadata.name, revision.metadata.uid)
        assert again.data == revision.data
        assert [owner.uid for owner in again.metadata.owner_references] == [scene.run().metadata.uid]


@pytest.mark.parametrize("is_flow_left", [True, False], ids=["its Flow has changed", "its Flow was deleted"])
def test_an_older_revision_is_stored_again_while_a_run_needs_it(scene, replica, is_flow_left):
    with replica():
        tasks = [task("a", pod_outcome="run"), task("b", script="echo hello", dependsOn=["a"])]
        scene.create("Flow", "orders", {"tasks": tasks})
        scene.start_of("orders")
        scene.reach_task("Running", "a")
        (revision,) = revisions(scene)
        if is_flow_left:
            scene.patch("Flow", "orders", {"spec": {"tasks": [task("other")]}})
            scene.until(lambda: len(revisions(scene)) == 2, "the next revision")
        else:
            scene.delete("Flow", "orders")
        scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)

        again = until_another(scene, revision.metadata.name, revision.metadata.uid)
        assert (again.data, again.immutable, again.metadata.labels) == (revision.data, True, revision.metadata.labels)


def test_a_deleted_revision_of_the_retry_of_an_inline_spec_is_stored_again(scene, replica):
    with replica():
        scene.start(task(script="echo hello", pod_outcome="run"))
        scene.reach_task("Running")
        scene.patch("FlowRun", "run", {"spec": {"shutdown": "Terminate"}})
        scene.finish()
        scene.create("FlowRun", "again", {"retryOf": {"name": "run"}})
        scene.reach_task("Running", run="again")
        revision = next(one for one in revisions(scene) if one.metadata.labels.get(names.LABEL_RUN) == "again")
        scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)

        again = until_another(scene, revision.metadata.name, revision.metadata.uid)
        assert again.data == revision.data
        assert [owner.name for owner in again.metadata.owner_references] == ["again"]


def test_a_run_continues_after_a_restart_though_its_revision_was_deleted(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task("a", pod_outcome="run"), task("b", dependsOn=["a"])]})
        scene.start_of("orders")
        pod = scene.running_pod("a")
        scene.reach_task("Running", "a")
        operator.kill()
    (revision,) = revisions(scene)
    scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)
    with replica():
        until_another(scene, revision.metadata.name, revision.metadata.uid)
        scene.delete_pod(pod)
        assert scene.running_pod("a", attempt=2)
        assert scene.status()["state"] == "Running"


def test_a_run_whose_flow_has_changed_says_that_its_deleted_revision_is_lost(scene, replica):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task("a", pod_outcome="run")]})
        scene.start_of("orders")
        scene.running_pod("a")
        scene.reach_task("Running", "a")
        operator.kill()
    (revision,) = revisions(scene)
    scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)
    scene.patch("Flow", "orders", {"spec": {"tasks": [task("b")]}})
    with replica():
        status = scene.reach("Failed")
        assert (status["reason"], status["message"]) == (
            "InvalidStatus",
            f"ConfigMap {revision.metadata.name} with this run's Flow spec was deleted, and the Flow has changed since",
        )


@pytest.mark.parametrize("key", ["spec.json", "script"])
def test_a_replaced_revision_is_a_condition_of_the_flow_and_no_run_uses_it(scene, replica, key):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task(script="echo hello")]})
        ready(scene, "Valid")
        (revision,) = revisions(scene)
        data = dict(revision.data)
        script = next(name for name in data if name != "spec.json")
        if key == "script":
            data[script] = "#!/bin/sh\necho ATTACKER\n"
        else:
            spec = json.loads(data["spec.json"])
            spec["tasks"][0]["serviceAccountName"] = "admin"
            data["spec.json"] = json.dumps(spec)
        # Else it stores the deleted one again first.
        operator.pause()
        replace(scene, revision, data)
        operator.resume()

        condition = ready(scene, "RevisionConflict")
        scene.start_of("orders")
        status = scene.reach("Failed")

        wanted = (
            f"the ConfigMap {revision.metadata.name}, in which this spec is stored for runs, exists and has another"
        )
        assert (condition["status"], wanted in condition["message"]) == ("False", True)
        assert (status["reason"], wanted in status["message"]) == ("InvalidSpec", True)
        assert scene.pods(ever=True) == []

        scene.core.delete_namespaced_config_map(revision.metadata.name, scene.namespace)
        ready(scene, "Valid")


@pytest.mark.parametrize("key", ["spec.json", "script"])
def test_a_revision_that_was_replaced_while_no_operator_ran_is_not_used(scene, replica, key):
    with replica() as operator:
        scene.create("Flow", "orders", {"tasks": [task(script="echo hello", pod_outcome="run")]})
        scene.start_of("orders")
        scene.running_pod()
        scene.reach_task("Running")
        operator.kill()
    (revision,) = revisions(scene)
    data = dict(revision.data)
    changed = "spec.json" if key == "spec.json" else next(name for name in data if name != "spec.json")
    data[changed] = data[changed].replace("hello", "ATTACKER")
    replace(scene, revision, data)
    with replica():
        status = scene.reach("Failed")
        assert status["reason"] == "InvalidStatus"
        assert "does not match its name" in status["message"]
        ready(scene, "RevisionConflict")
