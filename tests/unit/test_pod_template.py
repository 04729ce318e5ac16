# ruff: noqa: E501 - a row of a table is one line
"""What expressions in a podTemplate become, by where they stand."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.machine.effects.inputs import ContainerInputs, attempt_inputs
from penstock.errors import ExpressionError, InvalidSpecError

VALUES: dict[str, Any] = {
    "params": {
        "n": 3,
        "yes": True,
        "text": "a$(HOME)b",
        "zone": "eu-1",
        "labels": {"team": "data", "size": 2},
        "ours": {"penstock.dev/run": "other"},
        "hook": {"exec": {"command": ["sh"]}},
        "list": [1, 2],
    },
    "run": {"name": "r", "namespace": "ns", "uid": "u"},
    "tasks": {},
}
PARAMS = [
    {"name": "n", "type": "integer"},
    {"name": "yes", "type": "boolean"},
    *({"name": name} for name in ("text", "zone")),
    *({"name": name, "type": "object"} for name in ("labels", "ours", "hook")),
    {"name": "list", "type": "array"},
]


def compiled(template: dict[str, Any], **task: Any) -> Plan:
    tasks = [{"name": "t", "image": "i", "podTemplate": template, **task}]
    return compile_plan(FlowSpec.model_validate({"params": PARAMS, "tasks": tasks}))


def rendered(template: dict[str, Any], **values: Any) -> dict[str, Any]:
    inputs = attempt_inputs(compiled(template).tasks[0], VALUES | values)
    assert isinstance(inputs, ContainerInputs)
    return inputs.pod_templates[0]


def main(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "main", **fields}]}}


@pytest.mark.parametrize(
    ("template", "want"),
    [
        pytest.param({"spec": {"priority": "$(params.n)"}}, {"spec": {"priority": 3}}, id="a number stays a number"),
        pytest.param({"spec": {"hostNetwork": "$(params.yes)"}}, {"spec": {"hostNetwork": True}}, id="a boolean too"),
        pytest.param({"spec": {"x": "v$(params.n)"}}, {"spec": {"x": "v3"}}, id="with text around it is text"),
        pytest.param({"spec": {"x": "$(params.text)"}}, {"spec": {"x": "a$(HOME)b"}}, id="no kubelet, no doubled $"),
        pytest.param({"spec": {"x": "$$(NAME)"}}, {"spec": {"x": "$(NAME)"}}, id="a literal"),
        pytest.param(
            {"metadata": {"labels": {"n": "$(params.n)"}, "annotations": {"l": "$(params.list)"}}},
            {"metadata": {"labels": {"n": "3"}, "annotations": {"l": "[1,2]"}}},
            id="labels and annotations are texts",
        ),
        pytest.param(
            {"metadata": {"labels": "$(params.labels)"}},
            {"metadata": {"labels": {"team": "data", "size": "2"}}},
            id="an object for all labels",
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"n": "$(params.n)"}}}, {"spec": {"nodeSelector": {"n": "3"}}}, id="selectors"
        ),
        pytest.param(
            main(args=["$(params.text)", "$(params.n)", "$(HOME)", "$$(HOME)"]),
            main(args=["a$$(HOME)b", "3", "$(HOME)", "$$(HOME)"]),
            id="args: values are shielded from the kubelet, whose own names are left to it",
        ),
        pytest.param(
            main(env=[{"name": "A", "value": "$(HOME)/$(params.yes)"}]),
            main(env=[{"name": "A", "value": "$(HOME)/true"}]),
            id="values of env",
        ),
        pytest.param(
            main(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "$(params.n)", "optional": "$(params.yes)"}}}]),
            main(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "3", "optional": True}}}]),
            id="sources of env: names are texts",
        ),
        pytest.param(
            main(volumeMounts=[{"name": "$(params.zone)", "subPathExpr": "$(POD)/$(params.text)", "readOnly": "$(params.yes)"}]),
            main(volumeMounts=[{"name": "eu-1", "subPathExpr": "$(POD)/a$$(HOME)b", "readOnly": True}]),
            id="mounts: subPathExpr is the kubelet's",
        ),
        pytest.param(main(command=["$(params.n)"]), main(command=["$(params.n)"]), id="a command is never replaced"),
        pytest.param(
            main(lifecycle={"preStop": {"exec": {"command": ["$(params.n)"]}, "sleep": {"seconds": "$(params.n)"}}}),
            main(lifecycle={"preStop": {"exec": {"command": ["$(params.n)"]}, "sleep": {"seconds": 3}}}),
            id="nor is a hook's",
        ),
        pytest.param(
            {"spec": {"initContainers": [{"name": "i", "args": ["$(params.text)"], "command": ["$(x"]}]}},
            {"spec": {"initContainers": [{"name": "i", "args": ["a$$(HOME)b"], "command": ["$(x"]}]}},
            id="init containers as well",
        ),
    ],
)  # fmt: skip
def test_an_expression_becomes_what_kubernetes_wants_in_its_place(template, want):
    assert rendered(template) == want


def test_a_template_without_expressions_is_handed_on_as_it_is():
    template = {"metadata": {"labels": {"a": "b"}}, **main(args=["x", "$(HOME)"])}
    plan = compiled(template)
    assert plan.tasks[0].pod_templates[0].is_constant
    assert rendered(template)["spec"] == template["spec"]
    assert plan.tasks[0].pod_templates[0].evaluate({}) is plan.tasks[0].pod_templates[0].evaluate(VALUES)


@pytest.mark.parametrize(
    ("template", "path", "said"),
    [
        pytest.param({"spec": {"hostname": "$(HOME)"}}, "spec.hostname", '"HOME"', id="an unknown root"),
        pytest.param({"spec": {"hostname": "$(param.n)"}}, "spec.hostname", "params", id="the nearest root is named"),
        pytest.param(main(image="$(params.nn)"), "spec.containers[0].image", '"n"', id="an unknown param"),
        pytest.param(main(args=["a", "$(params.n"]), "spec.containers[0].args[1]", "not closed", id="not closed"),
        pytest.param(main(args="$(params.list)"), "spec.containers[0].args", "must be a list", id="for all args"),
        pytest.param({"spec": {"containers": "$(params.list)"}}, "spec.containers", "must be a list", id="containers"),
        pytest.param({"spec": "$(params.labels)"}, "spec", "must be an object", id="the whole spec"),
        pytest.param(main(volumeMounts=["$(params.hook)"]), "spec.containers[0].volumeMounts[0]", "object", id="mount"),
        pytest.param(main(env=[{"value": "x"}]), "spec.containers[0].env[0].name", "is required", id="no name in env"),
        pytest.param(main(env=[{"name": None}]), "spec.containers[0].env[0].name", "is required", id="a null name"),
        pytest.param({"spec": {"volumes": "data"}}, "spec.volumes", "must be a list", id="volumes as a string"),
        pytest.param({"spec": {"volumes": ["data"]}}, "spec.volumes[0]", "must be an object", id="a volume's name"),
        pytest.param(
            {"spec": {"volumes": "$(params.list)"}}, "spec.volumes", "may stand in an entry", id="all volumes"
        ),
        pytest.param({"spec": {"volumes": ["$(params.hook)"]}}, "spec.volumes[0]", "must be an object", id="a volume"),
        pytest.param(
            {"metadata": {"labels": {"penstock.dev/task": "x"}}},
            "metadata.labels[penstock.dev/task]",
            "reserved",
            id="ours",
        ),
        pytest.param({"spec": {"hostname": "$(item)"}}, "spec.hostname", "forEach", id="item without forEach"),
    ],
)
def test_what_can_not_work_is_refused_with_its_path(template, path, said):
    with pytest.raises(InvalidSpecError) as caught:
        compiled(template)
    (problem,) = caught.value.problems
    assert problem.path == f"spec.tasks[0].podTemplate.{path}"
    assert said in problem.message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        pytest.param(
            {"metadata": {"labels": "$(params.ours)"}}, "reserved for Penstock", id="labels of ours in a value"
        ),
        pytest.param({"metadata": {"labels": "$(params.n)"}}, "must be an object", id="no object"),
        pytest.param(
            main(lifecycle={"preStop": "$(params.hook)"}), "must not supply `command`", id="a command in a value"
        ),
        pytest.param({"spec": {"x": "$(params.labels.none)"}}, "podTemplate.spec.x", id="no value"),
    ],
)
def test_a_value_that_can_not_stand_there_fails_the_task_with_its_path(template, said):
    with pytest.raises(ExpressionError, match="podTemplate") as caught:
        rendered(template)
    assert said in str(caught.value)


def test_an_item_may_be_named_where_there_are_items():
    plan = compiled({"spec": {"hostname": "h-$(index)"}}, forEach={"count": 2})
    inputs = attempt_inputs(plan.tasks[0], VALUES | {"item": 1, "index": 1})
    assert isinstance(inputs, ContainerInputs)
    assert inputs.pod_templates[0] == {"spec": {"hostname": "h-1"}}


def test_a_reference_in_a_template_is_a_dependency():
    tasks = [
        {"name": "a", "image": "i"},
        {"name": "b", "image": "i", "podTemplate": {"spec": {"hostname": "$(tasks.a.outputs.host)"}}},
    ]
    plan = compile_plan(FlowSpec.model_validate({"tasks": tasks}))
    assert [dependency.task for dependency in plan.tasks[1].upstream] == [0]
    assert plan.tasks[1].render_tasks == {"a"}


def test_a_fault_of_the_defaults_is_reported_once():
    tasks = [{"name": name, "image": "i"} for name in ("a", "b")]
    defaults = {"podTemplate": {"spec": {"hostname": "$(param.x)"}}}
    with pytest.raises(InvalidSpecError) as caught:
        compile_plan(FlowSpec.model_validate({"defaults": defaults, "tasks": tasks}))
    assert [problem.path for problem in caught.value.problems] == ["spec.defaults.podTemplate.spec.hostname"]
