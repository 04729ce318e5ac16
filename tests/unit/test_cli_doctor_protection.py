"""What `penstock doctor` says of an installation that is not protected."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.commands.installation.doctor_checks import Level
from penstock.cli.commands.installation.doctor_protection import (
    EXCESSIVE_RIGHTS,
    REQUIRED_RIGHTS,
    check_network,
    check_policies,
    check_rights,
    check_watched,
)

USER = "system:serviceaccount:sys:penstock"
LABELS = {"app.kubernetes.io/name": "penstock", "app.kubernetes.io/instance": "p"}


def deployment(*arguments: str) -> dict[str, Any]:
    spec = {"serviceAccountName": "penstock", "containers": [{"args": list(arguments)}]}
    template = {"metadata": {"labels": {**LABELS, "more": "x"}}, "spec": spec}
    return {"metadata": {"namespace": "sys", "name": "p"}, "spec": {"template": template}}


def policy(name: str, user: str = USER) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"matchConditions": [{"expression": f"request.userInfo.username != '{user}'"}]},
    }


def binding(name: str, *actions: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": list(actions)}}


NAMES = ("p-identity", "p-audit", "p-operator")
ALL = [policy(name) for name in NAMES]
BOUND = [binding(name, "Deny") for name in NAMES]
GOOD, OFF = (Level.GOOD, ""), (Level.WARNING, "off: ")


@pytest.mark.parametrize(
    ("policies", "bindings", "want"),
    [
        pytest.param(ALL, BOUND, [GOOD] * 3, id="all are in force"),
        pytest.param([], [], [OFF] * 3, id="all are off"),
        pytest.param(ALL, BOUND[1:], [(Level.WARNING, "not bound: "), GOOD, GOOD], id="one is not bound"),
        pytest.param(
            ALL,
            [binding("p-identity", "Audit"), *BOUND[1:]],
            [(Level.WARNING, "not bound: "), GOOD, GOOD],
            id="one only warns",
        ),
        pytest.param(
            [policy("other-identity", "system:serviceaccount:other:penstock"), *ALL[1:]],
            BOUND,
            [OFF, GOOD, GOOD],
            id="one is about another operator",
        ),
    ],
)
def test_each_admission_policy_is_reported_when_it_is_not_in_force(policies, bindings, want):
    found = list(check_policies(deployment(), policies, bindings))
    assert [finding.level for finding in found] == [level for level, _ in want]
    assert all(finding.text.startswith(text) for finding, (_, text) in zip(found, want, strict=True))


def test_a_cluster_without_the_api_of_the_policies_is_reported():
    (finding,) = check_policies(deployment(), None, [])
    assert finding.level is Level.WARNING
    assert finding.text.startswith("not protected: the API server does not serve ValidatingAdmissionPolicy")


def test_how_far_the_operator_reaches_is_said():
    assert check_watched(deployment()).level is Level.WARNING
    finding = check_watched(deployment("--namespace=team-a,team-b"))
    assert (finding.level, finding.text) == (Level.GOOD, "the operator works in namespaces team-a, team-b only")


def test_the_rights_of_the_operator_are_judged():
    assert check_rights(deployment(), None, []).level is Level.UNKNOWN
    good = check_rights(deployment(), {"": []}, [])
    assert (good.level, good.text) == (
        Level.GOOD,
        "ServiceAccount sys/penstock has the permissions that it needs in all namespaces, and no others",
    )
    lacking = check_rights(deployment(), {"team-a": [REQUIRED_RIGHTS[0]], "team-b": []}, [])
    assert (lacking.level, "lacks get flows in namespace team-a" in lacking.text) == (Level.BAD, True)
    excessive = check_rights(deployment(), {"": []}, EXCESSIVE_RIGHTS[:1])
    assert (excessive.level, "list secrets in all namespaces" in excessive.text) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("selector", "level"),
    [
        pytest.param({"matchLabels": LABELS}, Level.GOOD, id="its Pods are selected"),
        pytest.param({}, Level.GOOD, id="all Pods are selected"),
        pytest.param({"matchLabels": {"app": "other"}}, Level.WARNING, id="other Pods are selected"),
    ],
)
def test_the_network_policy_is_one_that_selects_the_operator(selector, level):
    policies = [{"metadata": {"name": "n"}, "spec": {"podSelector": selector}}]
    assert check_network(deployment(), policies).level is level
    assert check_network(deployment(), []).level is Level.WARNING
