# ruff: noqa: E501 - a row of a table is one line
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from penstock.api.flow import MAX_ITEMS, FlowSpec
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.compiler.task_plan import Dependency, DependencyKind, RetryPolicy
from penstock.engine.state import COMPLETED_TASK_STATES
from penstock.errors import ExpressionError, InvalidSpecError
from tests.strategies import flow_specs

NEEDS, AFTER = DependencyKind.NEEDS, DependencyKind.AFTER


def needs(position: int) -> Dependency:
    return Dependency(position, NEEDS, COMPLETED_TASK_STATES)


def spec(*tasks: dict[str, Any], **fields: Any) -> FlowSpec:
    return FlowSpec.model_validate({"defaults": {"image": "etl:1"}, "tasks": list(tasks), **fields})


def plan(*tasks: dict[str, Any], **fields: Any) -> Plan:
    return compile_plan(spec(*tasks, **fields))


def problems(*tasks: dict[str, Any], **fields: Any) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        plan(*tasks, **fields)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_reach_every_task_and_the_tasks_own_win():
    compiled = plan(
        {"name": "plain"},
        {
            "name": "own",
            "image": "own:2",
            "env": [{"name": "B", "value": "own"}, {"name": "C", "value": "c"}],
            "resources": {"limits": {"cpu": 2}},
            "serviceAccountName": "robot",
            "retry": {"limit": 5, "jitter": "20%"},
            "timeout": "90s",
            "podTemplate": {"spec": {"hostNetwork": True}},
        },
        defaults={
            "image": "etl:1",
            "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}],
            "resources": {"requests": {"memory": "1Gi"}},
            "retry": {"limit": 2, "delay": "10s", "factor": 2, "maxDelay": "5m"},
            "timeout": "30m",
            "podTemplate": {"metadata": {"labels": {"team": "data"}}},
        },
    )
    plain, own = compiled.tasks
    assert (plain.image.render({}), own.image.render({})) == ("etl:1", "own:2")
    assert plain.resources == {"requests": {"memory": "1Gi"}}
    assert own.resources == {"limits": {"cpu": 2}}
    assert (plain.service_account_name, own.service_account_name) == (None, "robot")
    assert (plain.timeout_s, own.timeout_s) == (1800.0, 90.0)
    assert plain.retry == RetryPolicy(2, 5, 10.0, 2, 300.0, 0.0, node_lost_after_s=600.0)
    assert own.retry == RetryPolicy(5, 5, 10.0, 2, 300.0, 0.2, node_lost_after_s=600.0)
    assert tuple(one.evaluate({}) for one in own.pod_templates) == (
        {"metadata": {"labels": {"team": "data"}}},
        {"spec": {"hostNetwork": True}},
    )
    rendered = [(entry.name, entry.value.render({})) for entry in own.env if entry.value is not None]
    assert rendered == [("A", "a"), ("B", "own"), ("C", "c")]


def test_without_any_policy_only_disruptions_are_retried():
    assert plan({"name": "a"}).tasks[0].retry == RetryPolicy(0, 5, 0.0, 1, 3600.0, 0.0, node_lost_after_s=600.0)


def test_a_reference_is_a_dependency():
    compiled = plan(
        {"name": "report", "args": ["$(tasks.load.outputs.rows)", "$(tasks.check.state)"], "dependsOn": ["clean"]},
        {"name": "load"},
        {"name": "check", "when": "tasks.load.exitCode == 0", "env": [{"name": "X", "value": "$(tasks.load.outputs)"}]},
        {"name": "clean", "dependsOn": ["check"], "when": "$(tasks.check.reason == null)"},
        {"name": "each", "forEach": {"items": "$(tasks.load.outputs.files)"}},
        outputs={"rows": ["$(tasks.load.outputs.rows)"], "day": 1},
    )
    report, load, check, clean, each = compiled.tasks
    assert report.upstream == (needs(1), Dependency(2, AFTER), needs(3))
    assert load.upstream == ()
    assert load.downstream == (0, 2, 4)
    assert check.upstream == (needs(1),)
    assert clean.upstream == (needs(2),)
    assert each.upstream == (needs(1),)
    assert report.render_tasks == {"load", "check"}
    assert clean.render_tasks == {"check"}
    assert each.render_tasks == {"load"}
    assert compiled.output_tasks == {"load"}
    assert compiled.positions == {"report": 0, "load": 1, "check": 2, "clean": 3, "each": 4}


def test_an_env_entry_has_a_value_or_a_source():
    source = {"secretKeyRef": {"name": "db", "key": "password"}}
    entries = plan({"name": "a", "env": [{"name": "S", "valueFrom": source}, {"name": "E"}]}).tasks[0].env
    assert entries[0].value is None
    assert entries[0].value_from is not None
    assert entries[0].value_from.evaluate({}) == source
    assert entries[1].value is not None
    assert entries[1].value.render({}) == ""


@pytest.mark.parametrize(
    ("for_each", "want"),
    [
        pytest.param({"items": ["a", "$(params.n)", {"x": "$(params.n)!"}]}, ["a", 3, {"x": "3!"}], id="a list"),
        pytest.param({"items": "$(params.list)"}, ["x", "y"], id="an expression for a list"),
        pytest.param({"items": []}, [], id="no items"),
        pytest.param({"count": 3}, [0, 1, 2], id="a count"),
        pytest.param({"count": "$(params.n - 1)"}, [0, 1], id="an expression for a count"),
        pytest.param({"count": "$(params.n * 1.0)"}, None, id="a count is a whole number"),
        pytest.param(
            {"matrix": {"b": [1, 2], "a": "$(params.list)"}},
            [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "y", "b": 1}, {"a": "y", "b": 2}],
            id="a matrix, axes by name",
        ),
        pytest.param({"matrix": {"a": [], "b": [1]}}, [], id="a matrix with an empty axis"),
    ],
)
def test_a_fan_out_expands(for_each, want):
    values = {"params": {"n": 3, "list": ["x", "y"]}}
    params = [{"name": "n", "type": "integer"}, {"name": "list", "type": "array"}]
    fan_out = plan({"name": "a", "forEach": for_each}, params=params).tasks[0].fan_out
    assert fan_out is not None
    if want is None:
        with pytest.raises(ExpressionError):
            fan_out.expand(values)
    else:
        assert fan_out.expand(values) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("x", 'must be a list; got the string "x"'),
        (None, "must be a list; got null"),
        ({"a": 1}, "must be a list; got an object"),
        (["x"] * (MAX_ITEMS + 1), "has 100001 items: at most 100000"),
    ],
)
def test_items_must_be_a_list_of_limited_length(value, want):
    fan_out = plan({"name": "a", "forEach": {"items": "$(params.p)"}}, params=[{"name": "p"}]).tasks[0].fan_out
    assert fan_out is not None
    with pytest.raises(ExpressionError, match=f"forEach.items {want}"):
        fan_out.expand({"params": {"p": value}})


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (-1, "must be a whole number of at least 0; got the number -1"),
        (1.5, "must be a whole number"),
        (True, "must be a whole number of at least 0; got true"),
        ("3", "must be a whole number"),
        (MAX_ITEMS + 1, "is 100001: at most 100000 items"),
        (1e300, "at most 100000 items"),
    ],
)
def test_a_count_must_be_a_limited_whole_number(value, want):
    fan_out = plan({"name": "a", "forEach": {"count": "$(params.p)"}}, params=[{"name": "p"}]).tasks[0].fan_out
    assert fan_out is not None
    with pytest.raises(ExpressionError, match=want):
        fan_out.expand({"params": {"p": value}})


A, B, C = {"name": "a"}, {"name": "b"}, {"name": "c"}


@pytest.mark.parametrize(
    ("tasks", "fields", "want"),
    [
        pytest.param([A], {"defaults": None}, "spec.tasks[0].image: is required: set an image here or in spec.defaults.image", id="no image"),
        pytest.param([{**A, "image": "x:$(params.tag)"}], {}, 'spec.tasks[0].image: column 12: there is no param "tag"', id="an unknown param in an image"),
        pytest.param([A, B, A], {}, 'spec.tasks[2].name: "a" is already the name of spec.tasks[0]', id="a name twice"),
        pytest.param([{**A, "command": ["x"], "script": "y"}], {}, "spec.tasks[0].script: a script runs in place of a command", id="command and script"),
        pytest.param([{**A, "maxParallel": 2}], {}, "spec.tasks[0].maxParallel: has no effect without forEach", id="maxParallel alone"),
        pytest.param([{**A, "timeout": "0s"}], {}, "spec.tasks[0].timeout: must be greater than zero", id="no time"),
        pytest.param([A], {"timeout": "0m"}, "spec.timeout: must be greater than zero", id="no time for the run"),
        pytest.param([{"name": "load-files"}, {**B, "dependsOn": ["load-flies"]}], {}, 'spec.tasks[1].dependsOn[0]: there is no task "load-flies" (did you mean "load-files"?)', id="an unknown dependency"),
        pytest.param([{**A, "dependsOn": ["a"]}], {}, "spec.tasks[0].dependsOn[0]: a task cannot depend on itself", id="itself"),
        pytest.param([{**A, "args": ["$(tasks.a.outputs.x)"]}], {}, "spec.tasks[0].args[0]: a task cannot refer to itself (tasks.a)", id="its own outputs"),
        pytest.param([{**A, "forEach": {"items": "$(tasks.a.outputs)"}}], {}, "spec.tasks[0].forEach: a task cannot refer to itself (tasks.a)", id="its own items"),
        pytest.param([{**A, "when": "tasks.a.state == 'x'"}], {}, "spec.tasks[0].when: a task cannot refer to itself (tasks.a)", id="its own state"),
        pytest.param([{**A, "args": ["x", "$(item)"]}], {}, 'spec.tasks[0].args[1]: column 3: there is no "item" here: it exists only in a task with forEach', id="an item without forEach"),
        pytest.param([{**A, "forEach": {"count": 1}, "when": "index > 0"}], {}, 'spec.tasks[0].when: column 1: there is no "index" here', id="an index in when"),
        pytest.param([{**A, "when": "1 + 2"}], {}, "spec.tasks[0].when: must be true or false; got a value of type int", id="when is a number"),
        pytest.param([{**A, "when": "$(true"}], {}, "spec.tasks[0].when: column 1: this $( is not closed", id="when is not closed"),
        pytest.param([{**A, "forEach": {}}], {}, "spec.tasks[0].forEach: must have exactly one of items, count and matrix; got none", id="no forEach"),
        pytest.param([{**A, "forEach": {"items": [], "count": 1}}], {}, "spec.tasks[0].forEach: must have exactly one of items, count and matrix; got items and count", id="two of forEach"),
        pytest.param([{**A, "forEach": {"items": "x$(params.p)"}}], {"params": [{"name": "p"}]}, "spec.tasks[0].forEach.items: must be one expression, without text around it", id="items as text"),
        pytest.param([{**A, "forEach": {"items": "abc"}}], {}, "spec.tasks[0]: forEach.items must be a list", id="items no list"),
        pytest.param([{**A, "forEach": {"count": "3"}}], {}, "spec.tasks[0]: forEach.count must be a whole number", id="a count as string"),
        pytest.param([{**A, "forEach": {"matrix": {"x": [1] * 400, "y": [1] * 400}}}], {}, "spec.tasks[0]: forEach.matrix has 160000 combinations: at most 100000", id="too many combinations"),
        pytest.param([{**A, "forEach": {"matrix": {"x": [1], "y": "$(foo)"}}}], {}, 'spec.tasks[0].forEach.matrix.y: column 3: there is no "foo" here', id="a faulty axis"),
        pytest.param([{**A, "forEach": {"count": 2}}, {**B, "args": ["$(tasks.a.outputs.x)"]}], {}, "spec.tasks[1].args[0]: column 19: the outputs of a are a list", id="outputs of a fan-out"),
        pytest.param([A], {"outputs": {"x": {"y": ["$(tasks.b.state)"]}}}, 'spec.outputs.x: .y[0]: column 9: there is no task "b"', id="unknown in outputs"),
        pytest.param([A], {"params": [{"name": "p", "default": 1}]}, "spec.params[0].default: must be a string; got the number 1", id="a param"),
        pytest.param([A], {"defaults": {"image": "x", "env": [{"name": "E", "value": "$(item)"}]}}, 'spec.defaults.env[0].value: column 3: there is no "item"', id="an item in defaults"),
        pytest.param([{**A, "env": [{"name": "E", "value": "$(foo.x)"}]}], {}, 'spec.tasks[0].env[0].value: column 3: there is no "foo"', id="unknown in env"),
        pytest.param([{**A, "env": [{"name": "E"}, {"name": "E"}]}], {}, 'spec.tasks[0].env[1].name: "E" is already the name of spec.tasks[0].env[0]', id="a variable twice"),
        pytest.param([{**A, "env": [{"name": "E", "value": "", "valueFrom": {"fieldRef": {}}}]}], {}, "spec.tasks[0].env[0]: must have only one of value and valueFrom", id="value and source"),
        pytest.param([{**A, "env": [{"name": "E", "valueFrom": {}}]}], {}, "spec.tasks[0].env[0].valueFrom: must have exactly one source", id="no source"),
        pytest.param([{**A, "env": [{"name": "PENSTOCK_OUTPUTS"}]}], {}, "spec.tasks[0].env[0].name: PENSTOCK_OUTPUTS is set by Penstock", id="our variable"),
        pytest.param([{**A, "env": [{"name": "A=B"}]}], {}, "spec.tasks[0].env[0].name: must not contain =", id="an equals sign"),
        pytest.param([{**A, "podTemplate": {"metdata": {}}}], {}, 'spec.tasks[0].podTemplate.metdata: unknown field (did you mean "metadata"?)', id="a field of podTemplate"),
        pytest.param([{**A, "podTemplate": {"metadata": {"name": "x"}}}], {}, "spec.tasks[0].podTemplate.metadata.name: unknown field", id="a name for the Pod"),
        pytest.param([{**A, "podTemplate": {"metadata": {"labels": {"penstock.dev/run": "x"}}}}], {}, "spec.tasks[0].podTemplate.metadata.labels[penstock.dev/run]: labels of penstock.dev/ are reserved for Penstock", id="a label of ours"),
        pytest.param([{**A, "podTemplate": {"spec": {"containers": [{"image": "x"}]}}}], {}, "spec.tasks[0].podTemplate.spec.containers[0].name: is required", id="a container without a name"),
        pytest.param([{**A, "podTemplate": {"spec": {"containers": {}}}}], {}, "spec.tasks[0].podTemplate.spec.containers: must be a list; got an object", id="containers"),
        pytest.param([A], {"defaults": {"image": "x", "podTemplate": {"spec": []}}}, "spec.defaults.podTemplate.spec: must be an object; got a list", id="podTemplate of defaults"),
        pytest.param([{**A, "podTemplate": {"spec": {"restartPolicy": "Always"}}}], {}, "spec.tasks[0].podTemplate.spec.restartPolicy: must be Never", id="restarts"),
        pytest.param([{**A, "dependsOn": ["c"]}, {**B, "dependsOn": ["a"]}, {**C, "args": ["$(tasks.b.state)"]}], {}, "spec.tasks[0]: these tasks form a dependency cycle: a -> c -> b -> a", id="a cycle"),
    ],
)  # fmt: skip
def test_a_flow_that_can_not_work_is_refused(tasks, fields, want):
    (problem,) = problems(*tasks, **fields)
    assert problem.startswith(want)


def test_every_problem_is_found_at_once():
    found = problems(
        {"name": "a", "dependsOn": ["b", "x"], "args": ["$(", "$(foo.x)"], "when": "1"},
        {"name": "b", "dependsOn": ["a"], "env": [{"name": "E", "value": "$(foo.x)"}]},
        {"name": "b", "image": "$(x)"},
        outputs={"o": "$(tasks.z.state)"},
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "spec.tasks[0].when",
        "spec.tasks[0].args[0]",
        "spec.tasks[0].args[1]",
        "spec.tasks[0].dependsOn[1]",
        "spec.tasks[1].env[0].value",
        "spec.tasks[2].name",
        "spec.tasks[2].image",
        "spec.outputs.o",
        "spec.tasks[0]",
    ]


def test_every_cycle_is_named_once_and_what_only_waits_for_it_is_not():
    found = problems(
        {"name": "before"},
        {"name": "a", "dependsOn": ["b", "before"]},
        {"name": "b", "dependsOn": ["a"]},
        {"name": "after", "dependsOn": ["b"]},
        {"name": "y", "dependsOn": ["x", "after"]},
        {"name": "x", "dependsOn": ["y"]},
    )
    assert [problem.rpartition(": ")[2] for problem in found] == ["a -> b -> a", "y -> x -> y"]


def test_a_cycle_of_thousands_is_shown_in_part():
    tasks = [{"name": f"t{index}", "dependsOn": [f"t{(index + 1) % 3000}"]} for index in range(3000)]
    (problem,) = problems(*tasks)
    assert problem.endswith("t18 -> t19 -> ... -> t0")


def test_a_chain_of_thousands_compiles():
    tasks: list[dict[str, Any]] = [{"name": "t0"}]
    tasks += [
        {"name": f"t{index}", "args": [f"$(tasks.t{index - 1}.outputs.x)"], "dependsOn": ["t0"]}
        for index in range(1, 5000)
    ]
    compiled = plan(*tasks)
    assert compiled.tasks[4999].upstream == (needs(0), needs(4998))
    assert len(compiled.tasks[0].downstream) == 4999


def test_thousands_of_problems_end_with_the_first_fifty():
    found = problems(*({"name": f"task-{index:04}", "dependsOn": [f"tusk-{index:04}"]} for index in range(5000)))
    assert len(found) == 50
    assert found[49].endswith('there is no task "tusk-0049" (did you mean "task-0049"?)')


def test_commands_and_scripts_are_never_expanded():
    task = plan({"name": "a", "script": "echo $(date) $(item) $("}, {"name": "b", "command": ["sh", "-c", "$("]}).tasks
    assert task[0].has_script
    assert task[0].command is None
    assert task[1].command == ("sh", "-c", "$(")
    assert not task[1].has_script


@given(flow_specs())
def test_a_plan_mirrors_its_spec(flow):
    compiled = compile_plan(flow)
    written = [*flow.tasks, *(flow.finally_ or ())]
    assert [task.name for task in compiled.tasks] == [task.name for task in written]
    for position, task in enumerate(compiled.tasks):
        assert task.position == position == compiled.positions[task.name]
        upstream = [dependency.task for dependency in task.upstream]
        assert upstream == sorted(set(upstream))
        assert position not in upstream
        assert all(position in compiled.tasks[other].downstream for other in upstream)
        assert all(position in [d.task for d in compiled.tasks[other].upstream] for other in task.downstream)
        assert {compiled.positions[name] for name in task.render_tasks} <= set(upstream)
        needed = {d.task for d in task.upstream if d.kind is NEEDS}
        assert {compiled.positions[name] for name in written[position].depends_on or ()} <= needed


def test_optional_outputs_need_only_the_end_of_a_task():
    compiled = plan(
        {"name": "a"},
        {"name": "b", "args": ["$(tasks.a.?outputs.?rows.orValue(0))"]},
        {"name": "c", "args": ["$([tasks.a.?outputs.orValue({}), tasks.a.outputs])"]},
    )

    assert compiled.tasks[1].upstream == (Dependency(0, AFTER),)
    assert compiled.tasks[2].upstream == (needs(0),)
