"""Rubbish gets a clear answer at `kubectl apply`, through the webhook that the chart installed."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl import Kubectl

FLOW = """
apiVersion: penstock.dev/v1alpha1
kind: Flow
metadata: {{name: bad}}
spec:
  params: [{{name: day}}]
  defaults: {{image: busybox}}
  tasks: {tasks}
"""


@pytest.mark.parametrize(
    ("tasks", "wanted"),
    [
        pytest.param(
            "[{name: a, dependsOn: [c]}, {name: b, dependsOn: [a]}, {name: c, dependsOn: [b]}]",
            ["spec.tasks[0]", "a -> c -> b -> a"],
            id="a cycle names the tasks on it",
        ),
        pytest.param(
            "[{name: extract}, {name: b, dependsOn: [extarct]}]",
            ["spec.tasks[1].dependsOn[0]", "extarct", "extract"],
            id="an unknown dependency suggests the nearest name",
        ),
        pytest.param(
            '[{name: a, args: ["$(params.dya)"]}]',
            ["spec.tasks[0].args[0]", "dya", "day"],
            id="an unknown param suggests the nearest name",
        ),
        pytest.param(
            '[{name: a, when: "params.day =="}]',
            ["spec.tasks[0].when", "column"],
            id="a bad expression says where it is bad",
        ),
    ],
)
def test_a_flow_that_can_not_work_is_refused(kubectl: Kubectl, tasks, wanted):
    message = kubectl.refused("apply", "-f", "-", stdin=FLOW.format(tasks=tasks)).message

    assert [word for word in wanted if word not in message] == [], message


def test_a_task_without_an_image_is_refused(kubectl: Kubectl):
    manifest = FLOW.format(tasks="[{name: a}]").replace("  defaults: {image: busybox}\n", "")

    message = kubectl.refused("apply", "-f", "-", stdin=manifest).message

    assert "spec.tasks[0].image" in message


def test_a_run_with_an_unknown_param_is_refused(kubectl: Kubectl):
    kubectl.apply(FLOW.format(tasks="[{name: a}]"))

    message = kubectl.refused(
        "apply",
        "-f",
        "-",
        stdin="""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {name: bad}
spec: {flow: {name: bad}, params: {day: monday, dya: tuesday}}
""",
    ).message

    assert "spec.params.dya" in message


def test_a_flow_written_around_the_webhook_is_not_ready_and_says_why(kubectl: Kubectl, admin: Kubectl):
    webhook = admin.get_all("validatingwebhookconfigurations", selector="app.kubernetes.io/name=penstock")
    names = [configuration["metadata"]["name"] for configuration in webhook]
    exported = admin.run("get", "validatingwebhookconfigurations", *names, "-o", "yaml")
    admin.run("delete", "validatingwebhookconfigurations", *names)
    try:
        kubectl.run(
            "apply", "-f", "-", stdin=FLOW.format(tasks="[{name: a, dependsOn: [b]}, {name: b, dependsOn: [a]}]")
        )
        kubectl.apply(
            "{apiVersion: penstock.dev/v1alpha1, kind: FlowRun, metadata: {name: bad}, "
            "spec: {flow: {name: bad}, params: {day: monday}}}"
        )
        kubectl.wait("flow/bad", "condition=Ready=False")
        run = kubectl.finish("bad")
    finally:
        admin.run("create", "-f", "-", stdin=exported)

    assert "a -> b -> a" in kubectl.get("flow", "bad")["status"]["conditions"][0]["message"]
    assert (run["status"]["state"], run["status"]["reason"]) == ("Failed", "InvalidSpec")
