"""FlowDefaults: what Flows inherit, and which FlowDefaults are valid."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec, InlineFlowSpec, Retention
from penstock.api.flow_defaults import FlowDefaultsSpec, InheritedDefaults
from penstock.engine.compiler.inheritance import inherit, merge_retention
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.machine.tasks.attempt_deadlines import name_queue_timeout
from penstock.engine.validation.flow_defaults import check_flow_defaults
from penstock.errors import InvalidSpecError
from penstock.kube.kinds.flow_defaults import FlowDefaults, FlowDefaultsStatus
from penstock_operator.flow_defaults.in_force import read_defaults
from penstock_operator.flows.revision import Owner, build_revision, canonical_spec, name_of, read_spec

Fields = dict[str, Any]
LOAD = {"name": "load", "image": "etl"}
NOTIFY = {"name": "notify", "image": "curl", "args": ["$(run.state)"]}

OF_A_FLOW = {**NOTIFY, "args": ["$(tasks.load.state)"]}


def flow(**fields: Any) -> FlowSpec:
    return FlowSpec.model_validate({"tasks": [LOAD], **fields})


def defaults(namespace: Fields | None = None, installation: Fields | None = None) -> InheritedDefaults:
    given = {"namespace": namespace, "installation": installation}
    return InheritedDefaults.model_validate({name: fields for name, fields in given.items() if fields is not None})


def plan(spec: InlineFlowSpec, namespace: Fields | None = None, installation: Fields | None = None) -> Plan:
    return compile_plan(inherit(spec, defaults(namespace, installation)))


def problems(spec: InlineFlowSpec, namespace: Fields) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        plan(spec, namespace)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("spec", "namespace", "installation", "want"),
    [
        pytest.param({}, {"timeout": "1m"}, {"timeout": "2m"}, 60, id="the namespace's is above the installation's"),
        pytest.param({}, {}, {"timeout": "2m"}, 120, id="the installation's counts where the namespace says nothing"),
        pytest.param({"defaults": {"timeout": "5s"}}, {"timeout": "1m"}, {}, 5, id="the Flow's own defaults are above"),
        pytest.param({"tasks": [{**LOAD, "timeout": "7s"}]}, {"timeout": "1m"}, {}, 7, id="a task's own is above all"),
    ],
)
def test_the_timeout_of_an_attempt_is_the_first_that_is_given(spec, namespace, installation, want):
    assert plan(flow(**spec), namespace, installation).tasks[0].timeout_s == want


def test_the_timeout_of_a_run_is_inherited_unless_the_flow_has_one():
    assert plan(flow(), {"runTimeout": "1h"}).timeout_s == 3600
    assert plan(flow(timeout="5s"), {"runTimeout": "1h"}).timeout_s == 5


def test_retry_is_inherited_field_by_field():
    own = {"tasks": [{**LOAD, "retry": {"limit": 1}}], "defaults": {"retry": {"delay": "3s"}}}
    given = {"limit": 9, "delay": "9s", "factor": 9, "when": "failure.exitCode == 3"}
    retry = plan(flow(**own), {"retry": given}, {"retry": {"jitter": "10%", "factor": 2}}).tasks[0].retry
    assert (retry.limit, retry.delay_s, retry.factor, retry.jitter) == (1, 3, 9, 0.1)
    assert retry.when is not None


def test_child_flows_and_approvals_inherit_nothing():
    tasks = [{"name": "child", "flow": {"name": "other"}}, {"name": "ask", "approval": {}}]
    for task in plan(flow(tasks=tasks), {"timeout": "1m", "queueTimeout": "1m", "retry": {"limit": 3}}).tasks:
        assert (task.timeout_s, task.has_default_queue_timeout, task.retry.limit) == (None, False, 0)


@pytest.mark.parametrize(
    ("spec", "given", "want"),
    [
        pytest.param({}, {}, (None, True, None), id="without one the built-in default counts"),
        pytest.param({}, {"queueTimeout": "5m"}, (None, True, 300), id="a given one replaces the built-in default"),
        pytest.param({}, {"queueTimeout": "0s"}, (None, False, None), id="0s means no limit at all"),
        pytest.param(
            {"defaults": {"queueTimeout": "9s"}}, {"queueTimeout": "5m"}, (9, False, 300), id="the Flow's counts all"
        ),
    ],
)
def test_the_queue_timeout_of_flow_defaults_is_a_default(spec, given, want):
    (task,) = plan(flow(**spec), given).tasks
    assert (task.queue_timeout_s, task.has_default_queue_timeout, task.default_queue_timeout_s) == want


@pytest.mark.parametrize(
    ("given", "reason", "want"),
    [
        ({}, "ImagePullFailed", "the default queueTimeout of 1h"),
        ({}, "Unschedulable", "the default queueTimeout of 24h"),
        ({"queueTimeout": "5m"}, "ImagePullFailed", "the default queueTimeout of 5m"),
        ({"queueTimeout": "90s"}, "Unschedulable", "the default queueTimeout of 90s"),
        ({"queueTimeout": "5m"}, "QuotaExceeded", "queueTimeout"),
        ({"queueTimeout": "5m"}, "ConcurrencyLimit", "queueTimeout"),
    ],
)
def test_a_default_counts_for_what_is_wrong_and_never_for_a_queue(given, reason, want):
    (task,) = plan(flow(), given).tasks
    assert name_queue_timeout(task, reason) == want


def test_pod_templates_apply_from_the_installation_to_the_task():
    def label(value: str) -> Fields:
        return {"metadata": {"labels": {"from": value}}}

    own = {"tasks": [{**LOAD, "podTemplate": label("task")}], "defaults": {"podTemplate": label("flow")}}
    (task,) = plan(flow(**own), {"podTemplate": label("namespace")}, {"podTemplate": label("installation")}).tasks
    order = [template.evaluate({})["metadata"]["labels"]["from"] for template in task.pod_templates]
    assert order == ["installation", "namespace", "flow", "task"]


def test_finally_tasks_of_every_source_run_and_the_flow_wins_by_name():
    installation = {"finally": [NOTIFY, {"name": "audit", "image": "audit"}, {"name": "load", "image": "other"}]}
    compiled = plan(flow(), {"finally": [{**NOTIFY, "image": "ours"}]}, installation)
    assert [task.name for task in compiled.tasks] == ["load", "notify", "audit"]
    assert [task.is_finally for task in compiled.tasks] == [False, True, True]
    assert compiled.tasks[1].image.render({}) == "ours"
    own = flow(**{"finally": [{"name": "notify", "image": "mine"}]})
    assert [task.image.render({}) for task in plan(own, {"finally": [NOTIFY]}).tasks] == ["etl", "mine"]


def test_an_inherited_task_takes_nothing_from_the_defaults_of_the_flow():
    own = flow(
        defaults={"image": "etl", "env": [{"name": "A", "value": "$(item)"}], "timeout": "1s"},
        tasks=[{"name": "load", "forEach": {"count": 2}}],
    )
    task = plan(own, {"finally": [NOTIFY], "timeout": "1m"}).tasks[1]
    assert (task.env, task.timeout_s) == ((), 60)


def test_more_finally_tasks_than_a_run_can_have_are_refused_with_the_reason():
    own = flow(**{"finally": [{"name": f"f{number}", "image": "x"} for number in range(100)]})
    (problem,) = problems(own, {"finally": [NOTIFY]})
    assert problem == "spec.finally: has 101 tasks with those of FlowDefaults: at most 100 are allowed"


def test_a_problem_of_an_inherited_field_names_the_flow_defaults():
    (problem,) = problems(flow(), {"finally": [{**NOTIFY, "args": ["$(params.day)"]}]})
    assert problem.startswith("FlowDefaults default: spec.finally[0].args[0]: ")


def test_retention_is_merged_field_by_field():
    merged = merge_retention(
        Retention(completed="1h"), defaults({"retention": {"failed": "2h"}}, {"retention": {"completed": "3h"}})
    )
    assert merged == Retention(completed="1h", failed="2h")
    assert merge_retention(None, defaults()) is None


def test_a_spec_that_inherits_nothing_has_the_revision_that_it_had_before():
    spec, owner = flow(), Owner("shop", "orders", "uid")
    assert inherit(spec, defaults({}, {})) is spec
    assert name_of(owner, inherit(spec, defaults({"retention": {"failed": "1h"}}))) == name_of(owner, spec)
    assert name_of(owner, inherit(spec, defaults({"timeout": "1m"}))) != name_of(owner, spec)


def test_what_is_inherited_can_be_replaced_and_taken_away():
    spec = inherit(flow(), defaults({"timeout": "1m"}))
    assert compile_plan(inherit(spec, defaults({"timeout": "2m"}))).tasks[0].timeout_s == 120
    assert canonical_spec(inherit(spec, defaults())) == canonical_spec(flow())


def test_a_revision_holds_what_is_inherited_with_its_scripts():
    own = flow(**{"finally": [{"name": "own", "image": "x", "script": "echo own"}], "timeout": "5m"})
    spec = inherit(own, defaults({"finally": [{"name": "notify", "image": "x", "script": "echo hello"}]}))
    revision = build_revision(Owner("shop", "orders", "uid"), spec, is_owned_by_run=False)
    assert sorted(value for value in revision["data"].values() if value.startswith("#!")) == [
        "#!/bin/sh\necho hello",
        "#!/bin/sh\necho own",
    ]
    read = read_spec(revision)
    assert [task.name for task in compile_plan(read).tasks] == ["load", "own", "notify"]
    assert canonical_spec(read) == canonical_spec(spec)


def test_the_cache_key_changes_with_an_inherited_pod_template_only():
    cached = flow(tasks=[{**LOAD, "cache": {"key": "x"}}])
    template = {"podTemplate": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}}

    def signature(given: Fields) -> str:
        cache = plan(cached, given).tasks[0].cache
        assert cache is not None
        return cache.signature

    assert signature({}) == signature({"timeout": "1m"}) != signature(template)


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"timeout": "0s"}, "spec.timeout: must be greater than zero", id="a timeout of nothing"),
        pytest.param({"runTimeout": "0s"}, "spec.runTimeout: must be greater than zero", id="no time for a run"),
        pytest.param({"retry": {"when": "params.day == 'x'"}}, "spec.retry.when: ", id="a condition over a param"),
        pytest.param({"podTemplate": {"spec": {"nodeName": "$(item)"}}}, "spec.podTemplate", id="an item"),
        pytest.param({"podTemplate": {"kind": "Pod"}}, "spec.podTemplate", id="a field that is not a Pod's part"),
        pytest.param({"finally": [{"name": "a"}]}, "spec.finally[0].image: is required: set an image", id="no image"),
        pytest.param({"finally": [{"name": "a", "flow": {"name": "x"}}]}, "spec.finally[0].flow: ", id="a child flow"),
        pytest.param({"finally": [{"name": "a", "approval": {}}]}, "spec.finally[0].approval: ", id="an approval"),
        pytest.param({"finally": [NOTIFY, NOTIFY]}, "spec.finally[1].name: ", id="a name twice"),
        pytest.param({"finally": [OF_A_FLOW]}, "spec.finally[0].args[0]: ", id="a task of a Flow"),
        pytest.param({"podTemplate": {"spec": {"a": "x" * 200_000}}}, "spec: is 195 KiB", id="too large"),
    ],
)  # fmt: skip
def test_what_is_not_valid_in_every_flow_is_refused(spec, want):
    found = [str(problem) for problem in check_flow_defaults(FlowDefaultsSpec.model_validate(spec))]
    assert [text for text in found if text.startswith(want)], found
    assert all(text.startswith("spec") for text in found)


def test_what_is_valid_is_valid_in_a_flow():
    spec = {
        "queueTimeout": "0s",
        "timeout": "1h",
        "runTimeout": "12h",
        "retry": {"limit": 1, "when": "failure.exitCode != 2"},
        "podTemplate": {"metadata": {"labels": {"run": "$(run.name)"}}},
        "podRetention": {"completed": "0s"},
        "retention": {"completed": "1h"},
        "finally": [NOTIFY, {"name": "after", "image": "x", "dependsOn": ["notify"]}],
    }
    assert check_flow_defaults(FlowDefaultsSpec.model_validate(spec)) == []
    assert [task.name for task in plan(flow(), spec).tasks] == ["load", "notify", "after"]


def test_the_last_valid_spec_is_in_force_while_the_spec_is_invalid():
    bad = {"retry": {"when": "nonsense("}}
    kept = FlowDefaultsStatus(last_valid='{"timeout":"1m"}')
    found = read_defaults(FlowDefaults(spec=bad, status=kept))
    assert found.spec == FlowDefaultsSpec(timeout="1m")
    assert [problem.path for problem in found.problems] == ["spec.retry.when"]
    for text in (None, "{", '{"timeout":"0s"}', '{"other":1}', "[]", '"x"'):
        assert read_defaults(FlowDefaults(spec=bad, status=FlowDefaultsStatus(last_valid=text))).spec is None
