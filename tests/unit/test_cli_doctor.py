import copy
import datetime as dt

import pytest

import penstock
from penstock.api.crd import custom_resource_definition
from penstock.api.kind import FLOW, FLOWRUN, KINDS
from penstock.api.names import LABEL_RESTORED
from penstock.cli.commands.installation.doctor_checks import (
    REQUIRED_PERMISSIONS,
    Level,
    check_crds,
    check_leader,
    check_operator,
    check_storage,
    check_unhandled_runs,
    check_user_permissions,
    check_version,
)

NOW = dt.datetime(2026, 11, 22, 12, 0, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("minor", "want"),
    [("30", Level.BAD), ("31", Level.GOOD), ("31+", Level.GOOD), ("35", Level.GOOD), ("", Level.BAD)],
)
def test_kubernetes_has_to_be_recent(minor, want):
    assert check_version({"major": "1", "minor": minor, "gitVersion": "v1.x"}, "https://here").level is want


@pytest.fixture
def crds():
    return {kind.resource: copy.deepcopy(custom_resource_definition(kind)) for kind in KINDS}


def test_the_crds_of_this_version_are_good(crds):
    assert check_crds(crds).level is Level.GOOD


def test_missing_crds_are_named(crds):
    assert check_crds({}).advice == "run penstock install"
    del crds[FLOW.resource]
    assert check_crds(crds).text == "missing: flows.penstock.dev"


def test_crds_of_another_version_are_reported_with_the_missing_fields(crds):
    schema = crds[FLOWRUN.resource]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["shutdown"]
    assert "FlowRun has no spec.shutdown" in check_crds(crds).text


def test_crds_with_different_validation_rules_are_reported(crds):
    crds[FLOWRUN.resource]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = []
    assert "FlowRun has different validation rules" in check_crds(crds).text


def make_deployment(*args, ready=2, version=penstock.__version__):
    return {
        "metadata": {"namespace": "sys", "name": "p", "labels": {"app.kubernetes.io/version": version}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"args": list(args)}]}}},
        "status": {"readyReplicas": ready} if ready else {},
    }


@pytest.mark.parametrize(
    ("deployment", "level", "text"),
    [
        pytest.param(make_deployment(), Level.GOOD, "2 of 2 replicas ready", id="a sound one"),
        pytest.param(
            make_deployment(ready=0), Level.BAD, "state of its containers: ImagePullBackOff", id="one without a replica"
        ),
        pytest.param(
            make_deployment("--namespace=other"), Level.WARNING, "handles only namespace other", id="elsewhere"
        ),
        pytest.param(make_deployment("--namespace=here"), Level.GOOD, "ready", id="one for this namespace"),
        pytest.param(make_deployment(version="9.9.9"), Level.WARNING, "9.9.9", id="another version"),
    ],
)
def test_the_operator_is_checked_by_its_deployment(deployment, level, text):
    state = {"waiting": {"reason": "ImagePullBackOff"}}
    pods = [{"metadata": {"namespace": "sys"}, "status": {"containerStatuses": [{"state": state}]}}]
    (finding,) = check_operator([deployment], pods, "here")
    assert finding.level is level
    assert text in finding.text


def test_the_state_of_containers_without_a_reason_is_unknown():
    (finding,) = check_operator([make_deployment(ready=0)], [], "here")
    assert finding.text.endswith("state of its containers: unknown")


@pytest.mark.parametrize(
    ("holder", "renewed", "want", "text"),
    [
        pytest.param("replica-1", "2026-11-22T12:00:20Z", Level.GOOD, "renewed 10s ago", id="renewed just now"),
        pytest.param("replica-1", "2026-11-22T12:00:00Z", Level.BAD, "expired (last renewed 30s ago)", id="expired"),
        pytest.param("", "2026-11-22T12:00:20Z", Level.BAD, "has no holder (last renewed 10s ago)", id="released"),
        pytest.param("replica-1", None, Level.BAD, "was never renewed", id="never renewed"),
    ],
)
def test_a_leader_has_a_lease_that_is_in_force(holder, renewed, want, text):
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
    lease = {"metadata": {"namespace": "sys", "name": "penstock-operator"}, "spec": spec}
    finding = check_leader([lease], NOW)
    assert finding.level is want
    assert finding.text.endswith(f"Lease sys/penstock-operator {text}")


def test_without_a_lease_there_is_no_leader():
    assert check_leader([], NOW).level is Level.BAD


def test_runs_without_a_status_for_a_minute_are_reported():
    runs = [
        {"metadata": {"name": "old", "creationTimestamp": "2026-11-22T11:59:00Z"}},
        {"metadata": {"name": "new", "creationTimestamp": "2026-11-22T12:00:29Z"}},
    ]
    (finding,) = check_unhandled_runs(runs, NOW, "here")
    assert "not handled by any operator: old in namespace here" in finding.text
    assert list(check_unhandled_runs(runs[1:], NOW, "here")) == []


def test_runs_whose_restoration_was_interrupted_are_reported():
    run = {"metadata": {"name": "r", "creationTimestamp": "2026-11-22T12:00:00Z", "labels": {LABEL_RESTORED: "true"}}}
    (finding,) = check_unhandled_runs([run], NOW, "here")
    assert finding.text.startswith("restored without their status: r in namespace here")


def test_missing_permissions_are_named_with_the_commands_that_require_them():
    allowed = {permission: str(permission) != "get pods/log" for permission in REQUIRED_PERMISSIONS}
    assert check_user_permissions(allowed, "here").text == "missing in namespace here: get pods/log (required by logs)"
    assert check_user_permissions(dict.fromkeys(REQUIRED_PERMISSIONS, True), "here").level is Level.GOOD


def flow_with(name, workspace):
    return {"metadata": {"name": name}, "spec": {"tasks": []} | ({} if workspace is None else {"workspace": workspace})}


def storage_class(name, **annotations):
    return {"metadata": {"name": name, "annotations": annotations}}


DEFAULT = {"metadata": {"name": "ssd", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
ANY = {"size": "1Gi"}


@pytest.mark.parametrize(
    ("workspaces", "classes", "want"),
    [
        pytest.param([None], [], [], id="without a workspace no class is needed"),
        pytest.param([ANY], [DEFAULT], ["workspaces use ssd"], id="the default serves a workspace without a class"),
        pytest.param(
            [ANY, ANY],
            [storage_class("slow")],
            ["no default StorageClass: runs of Flows f0, f1 in namespace team wait for a volume (WorkspaceUnbound)"],
            id="a class that is not the default serves nobody who names none",
        ),
        pytest.param(
            [ANY | {"storageClassName": "slow"}], [storage_class("slow")], ["workspaces use slow"], id="a named class"
        ),
        pytest.param(
            [ANY | {"storageClassName": "fast"}],
            [DEFAULT],
            ["StorageClass fast of Flow f0 in namespace team does not exist"],
            id="a class that does not exist is named",
        ),
        pytest.param(
            [ANY | {"storageClassName": ""}],
            [],
            ["workspaces use volumes without a StorageClass"],
            id="an empty name asks for a volume without a class",
        ),
        pytest.param(
            [ANY],
            None,
            ["no permission to list StorageClasses, which workspaces need"],
            id="not allowed to ask",
        ),
    ],
)
def test_workspaces_need_a_storage_class(workspaces, classes, want):
    flows = [flow_with(f"f{place}", each) for place, each in enumerate(workspaces)]
    assert [finding.text for finding in check_storage(flows, classes, "team")] == want
