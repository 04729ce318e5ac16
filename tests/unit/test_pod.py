"""What is built for an attempt: a Pod, a Job around it, the claim of a workspace."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec, Workspace
from penstock.api.flow_defaults import InheritedDefaults
from penstock.engine.compiler.inheritance import inherit
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.compiler.quantity import read_quantity
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs, attempt_inputs
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import Mount, affinity_of, build_claim, claim_name, mount_of
from penstock.errors import InvalidSpecError, Problem
from penstock_operator.workloads.job import build_job, job_deadline_s

RUN = RunIdentity("ns", "orders", "uid-1")
SETTINGS = PodSettings(user=65532, is_tracked=True)
MOUNT = Mount("claim", "/workspace", is_of_one_node=True)


def built(*, workspace: Mount | None = None, began_at: float | None = None, **task: Any) -> dict[str, Any]:
    return pod_of(plan_of(**task), workspace=workspace, began_at=began_at)


def pod_of(plan: TaskPlan, *, workspace: Mount | None = None, began_at: float | None = None) -> dict[str, Any]:
    inputs = attempt_inputs(plan, {"params": {}, "run": {}, "tasks": {}})
    assert isinstance(inputs, ContainerInputs)
    create = CreateAttempt(TaskInstanceKey("load"), 2, 1, 0, inputs, began_at)
    return build_pod(create, plan, RUN, flow="etl", revision="rev", settings=SETTINGS, workspace=workspace)


def plan_of(**task: Any) -> Any:
    return compile_plan(FlowSpec.model_validate({"tasks": [{"name": "load", "image": "etl:1", **task}]})).tasks[0]


def test_a_pod_meets_the_restricted_standard_and_carries_its_identity():
    pod = built(command=["run"], args=["--day"])
    main = pod["spec"]["containers"][0]
    assert main["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["metadata"]["finalizers"] == ["penstock.dev/outcome"]
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert pod["metadata"]["labels"]["penstock.dev/attempt"] == "2"
    assert pod["metadata"]["annotations"] == {"penstock.dev/failures": "1"}
    assert "activeDeadlineSeconds" not in pod["spec"]


@pytest.mark.parametrize("field", ["metadata", "spec"])
def test_a_field_of_a_template_with_nothing_below_it_changes_nothing(field):
    assert built(podTemplate={field: None}) == built()


NAMES = st.sampled_from(
    [
        "metadata",
        "spec",
        "labels",
        "annotations",
        "containers",
        "initContainers",
        "volumes",
        "env",
        "volumeMounts",
        "name",
        "main",
        "value",
        "mountPath",
        "command",
        "args",
        "$patch",
        "securityContext",
        "ports",
        "affinity",
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["", "main", "replace", "delete", "x"]) | NAMES
)
RUBBISH = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
CONTAINER = st.fixed_dictionaries({"name": st.just("main")}, optional={"env": RUBBISH, "volumeMounts": RUBBISH})
TEMPLATE = st.fixed_dictionaries(
    {},
    optional={
        "metadata": RUBBISH,
        "spec": RUBBISH
        | st.fixed_dictionaries(
            {"containers": st.lists(CONTAINER | RUBBISH, max_size=2)}, optional={"volumes": RUBBISH, "$patch": RUBBISH}
        ),
    },
)


@settings(max_examples=500)
@given(TEMPLATE, st.booleans())
def test_any_template_builds_a_pod_or_is_refused_with_its_path(template, has_workspace):
    problems: tuple[Problem, ...] = ()
    try:
        build_job(built(workspace=MOUNT if has_workspace else None, podTemplate=template), deadline_s=None)
    except InvalidSpecError as error:
        problems = error.problems
    assert all(problem.path.startswith("spec.tasks[0].podTemplate") for problem in problems)


def test_what_identifies_a_pod_and_how_it_ends_can_not_be_changed_by_its_template():
    pod = built(podTemplate={"metadata": {"labels": {"app.kubernetes.io/managed-by": "me", "team": "data"}}})
    assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "penstock"
    assert pod["metadata"]["labels"]["team"] == "data"
    assert pod["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    ("clocks", "want"),
    [
        pytest.param({}, None, id="no clock"),
        pytest.param({"queueTimeout": "10m"}, None, id="no timeout"),
        pytest.param({"timeout": "30m"}, 5700, id="a timeout: the default wait on its node and five minutes more"),
        pytest.param({"timeout": "30m", "queueTimeout": "0s"}, None, id="a wait without limit"),
        pytest.param({"timeout": "30m", "queueTimeout": "10m"}, 2700, id="and the wait before it"),
    ],
)
def test_a_pod_without_an_operator_ends_when_its_timeouts_have_passed(clocks, want):
    assert built(**clocks)["spec"].get("activeDeadlineSeconds") == want


BUFFERED = {"name": "PYTHONUNBUFFERED", "value": "0"}


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        pytest.param({}, "1", id="unless anybody says otherwise"),
        pytest.param({"env": [{"name": "PYTHONUNBUFFERED", "value": ""}]}, "", id="not if the task does"),
        pytest.param(
            {"podTemplate": {"spec": {"containers": [{"name": "main", "env": [BUFFERED]}]}}},
            "0",
            id="not if its podTemplate does",
        ),
    ],
)  # fmt: skip
def test_python_writes_what_it_prints_before_it_fails(fields, want):
    env = built(**fields)["spec"]["containers"][0]["env"]

    assert [one["value"] for one in env if one["name"] == "PYTHONUNBUFFERED"] == [want]


def template_with(*env: dict[str, str]) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "main", "env": list(env)}]}}}


@pytest.mark.parametrize(
    ("fields", "inherited", "want"),
    [
        pytest.param({"defaults": {"env": [BUFFERED]}}, {}, "0", id="the Flow's defaults"),
        pytest.param({"defaults": template_with(BUFFERED)}, {}, "0", id="the podTemplate of the Flow's defaults"),
        pytest.param({}, {"namespace": template_with(BUFFERED)}, "0", id="the namespace's FlowDefaults"),
        pytest.param({}, {"installation": template_with(BUFFERED)}, "0", id="the installation's FlowDefaults"),
        pytest.param(
            {"defaults": {"env": [{"name": "OTHER", "value": "x"}]}}, {}, "1", id="nobody who sets other variables"
        ),
    ],
)
def test_who_may_have_python_buffer_what_it_prints(fields, inherited, want):
    spec = FlowSpec.model_validate({"tasks": [{"name": "load", "image": "etl:1"}], **fields})
    pod = pod_of(compile_plan(inherit(spec, InheritedDefaults.model_validate(inherited))).tasks[0])

    env = pod["spec"]["containers"][0]["env"]
    assert [one["value"] for one in env if one["name"] == "PYTHONUNBUFFERED"] == [want]


def test_the_tail_of_the_log_can_be_turned_off():
    assert built()["spec"]["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert built(logTail=False)["spec"]["containers"][0]["terminationMessagePolicy"] == "File"


def test_the_time_of_the_first_attempt_is_on_the_pod():
    assert built(began_at=5.25)["metadata"]["annotations"]["penstock.dev/begin-time"] == "1970-01-01T00:00:05.250Z"


# Jobs


def test_a_job_makes_its_pod_once_and_has_its_name_labels_and_owner():
    pod = built(podTemplate={"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "q"}}})
    job = build_job(pod, deadline_s=None)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    for field in ("name", "namespace", "labels", "annotations", "ownerReferences"):
        assert job["metadata"][field] == pod["metadata"][field]
    assert "finalizers" not in job["metadata"]
    assert job["spec"]["template"]["metadata"]["finalizers"] == ["penstock.dev/outcome"]
    assert "ownerReferences" not in job["spec"]["template"]["metadata"]
    assert {key: value for key, value in job["spec"].items() if key != "template"} == {
        "backoffLimit": 0, "completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed",
    }  # fmt: skip


def test_a_jobs_own_clock_runs_only_where_the_wait_before_its_pod_has_a_limit():
    assert job_deadline_s(plan_of(timeout="30m", workload="Job")) is None
    assert job_deadline_s(plan_of(timeout="30m", queueTimeout="10m", workload="Job")) == 2700


# Workspaces


def test_a_workspace_is_in_every_container_that_has_nothing_else_there():
    template = {
        "spec": {
            "initContainers": [{"name": "init", "image": "i"}],
            "containers": [
                {"name": "side", "image": "i"},
                {"name": "own", "image": "i", "volumeMounts": [{"name": "x", "mountPath": "/workspace/"}]},
            ],
            "volumes": [{"name": "x", "emptyDir": {}}],
        }
    }
    pod = built(workspace=MOUNT, podTemplate=template)
    spec = pod["spec"]
    mounted = {
        container["name"]: [mount["name"] for mount in container.get("volumeMounts", [])]
        for container in (*spec["initContainers"], *spec["containers"])
    }
    ours = "penstock-workspace"
    assert mounted == {"init": [ours], "main": [ours], "side": [ours], "own": ["x"]}
    assert {"name": ours, "persistentVolumeClaim": {"claimName": "claim"}} in spec["volumes"]
    assert pod["metadata"]["annotations"]["penstock.dev/workspace"] == "claim"


def test_the_user_may_write_to_a_workspace_unless_the_template_says_otherwise():
    assert built(workspace=MOUNT)["spec"]["securityContext"]["fsGroup"] == 65532
    template = {"spec": {"securityContext": {"fsGroup": 1000}}}
    assert built(workspace=MOUNT, podTemplate=template)["spec"]["securityContext"]["fsGroup"] == 1000
    assert "fsGroup" not in built()["spec"]["securityContext"]


def test_pods_come_to_one_node_only_where_their_volume_can_be_on_no_other():
    assert affinity_of(MOUNT, RUN) is not None
    assert "podAffinity" in built(workspace=MOUNT)["spec"]["affinity"]
    for mode in ("ReadWriteMany", "ReadWriteOncePod"):
        shared = mount_of(Workspace.model_validate({"size": "1Gi", "accessMode": mode}), RUN)
        assert affinity_of(shared, RUN) is None


def test_a_claim_is_the_runs_and_is_named_by_hash():
    workspace = Workspace.model_validate({"size": "2Gi", "storageClassName": "fast", "mountPath": "/data/"})
    claim = build_claim(workspace, RUN, flow="etl")
    assert claim["metadata"]["name"] == claim_name(RUN) == mount_of(workspace, RUN).claim
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": "fast",
    }
    assert mount_of(workspace, RUN).path == "/data"
    assert claim_name(RUN) != claim_name(RUN._replace(uid="uid-2"))
    assert len(claim_name(RUN._replace(name="r" * 63))) <= 63


@pytest.mark.parametrize(
    ("text", "want"), [("1Gi", 2**30), ("500m", 0.5), ("2e3", 2000), ("1.5k", 1500), (7, 7), ("1E", 10**18)]
)
def test_quantities_are_read_as_kubernetes_reads_them(text, want):
    assert float(read_quantity(text)) == want


@pytest.mark.parametrize("text", ["", "1 Gi", "1gb", "Gi", "1GiB", "two", "1,5Gi"])
def test_an_invalid_quantity_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="10Gi"):
        read_quantity(text)
