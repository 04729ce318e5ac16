"""Which Pods of a Flow are tried before any run, and whose fault a refusal is."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.keys import RunIdentity
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.errors import ApiError, Cause, Details
from penstock_operator.flows.sample_pods import MAX_SHAPES, SamplePod, explain_refusal, make_sample_pods

FLOW = RunIdentity("ns", "etl", "uid-1")


def samples(*tasks: dict[str, Any], **fields: Any) -> list[SamplePod]:
    defaults = {"defaults": {"image": "etl:1"}}
    plan = compile_plan(FlowSpec.model_validate(defaults | {"tasks": list(tasks), **fields}))
    return make_sample_pods(plan, FLOW, revision="rev", settings=PodSettings(user=65532, is_tracked=True))


def template(**spec: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": spec}}


def test_tasks_that_differ_in_unchecked_fields_share_a_sample():
    found = samples(
        {"name": "a", "command": ["x"], "args": ["1"]},
        {"name": "b", "command": ["y"], "args": ["2", "3"]},
        {"name": "c", "env": [{"name": "A", "value": "1"}]},
        {"name": "d", "env": [{"name": "A", "value": "2"}]},
        {"name": "e", "image": "other"},
        {"name": "s", "script": "true"},
        {"name": "t", "script": "false"},
    )
    assert [one.tasks for one in found] == [("a", "b"), ("c", "d"), ("e",), ("s", "t")]


def test_child_flows_and_approvals_have_no_pods_to_try():
    assert samples({"name": "a", "approval": {}}, {"name": "b", "flow": {"name": "f"}}) == []


def test_the_number_of_samples_is_limited():
    tasks = [{"name": f"t{number}", "image": f"i:{number}"} for number in range(MAX_SHAPES + 5)]
    assert len(samples(*tasks)) == MAX_SHAPES


def test_what_follows_from_values_of_a_run_is_marked():
    (found,) = samples(
        {"name": "a", "args": ["$(params.zone)"], **template(nodeSelector={"z": "$(params.zone)"}, hostname="h")},
        params=[{"name": "zone"}],
    )
    assert found.unknown == {"spec.nodeSelector.z"}


def test_defaults_and_items_that_are_known_are_not_placeholders():
    (found,) = samples(
        {"name": "a", "forEach": {"items": ["x"]}, **template(hostname="$(item)", nodeSelector={"z": "$(params.z)"})},
        params=[{"name": "z", "default": "eu"}],
    )
    assert found.body["spec"]["hostname"] == "x"
    assert found.body["spec"]["nodeSelector"] == {"z": "eu"}
    assert not found.unknown


def test_a_shape_of_which_too_little_is_known_is_left_out():
    params = [{"name": "a", "type": "object"}]
    assert samples({"name": "a", **template(hostname="$(params.a.b.c)")}, params=params) == []


BARE = SamplePod(("a", "b"), None, {"kind": "Pod"}, frozenset())  # type: ignore[arg-type]  # not asked about here
VAGUE = BARE._replace(unknown=frozenset({"spec.nodeSelector.z"}))


def refusal(status: int, message: str, **causes: str) -> ApiError:
    found = tuple(Cause(field=field.replace("__", "."), message=text) for field, text in causes.items())
    return ApiError(status, "", message, Details(causes=found))


@pytest.mark.parametrize(
    ("sample", "error", "want"),
    [
        pytest.param(BARE, refusal(403, "violates PodSecurity"), "violates PodSecurity", id="a policy"),
        pytest.param(BARE, refusal(400, 'unknown field "spec.x"'), "unknown field", id="a field that does not exist"),
        pytest.param(BARE, refusal(422, "all", spec__hostname="bad"), "spec.hostname: bad", id="a value"),
        pytest.param(BARE, refusal(403, 'pods "a" is forbidden: exceeded quota: q, requested'), None, id="a quota"),
        pytest.param(BARE, refusal(500, "failed calling webhook"), None, id="a webhook that is out of order"),
        pytest.param(BARE, refusal(504, "timeout"), None, id="a timeout"),
        pytest.param(BARE, refusal(429, "too many"), None, id="a busy API server"),
        pytest.param(BARE, refusal(404, "namespace"), None, id="a namespace that went"),
        pytest.param(BARE, refusal(400, "webhook x does not support dry run"), None, id="a webhook with side effects"),
        pytest.param(BARE, refusal(403, 'User "op" cannot create resource "pods"'), None, id="the operator's rights"),
        pytest.param(VAGUE, refusal(403, "violates PodSecurity"), None, id="a policy that may depend on a placeholder"),
        pytest.param(
            VAGUE, refusal(400, 'unknown field "spec.x"'), "unknown field", id="an unknown field, with any value"
        ),
        pytest.param(VAGUE, refusal(422, "all", spec__nodeSelector="bad"), None, id="a placeholder's value"),
        pytest.param(
            VAGUE, refusal(422, "all", spec__nodeSelector="bad", spec__hostname="bad"), "spec.hostname", id="another"
        ),
    ],
)
def test_only_a_refusal_that_the_flow_caused_counts(sample, error, want):
    found = explain_refusal(sample, error)
    if want is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith("task a and 1 similar: the API server refuses the Pod: ")
        assert want in found
