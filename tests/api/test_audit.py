"""Who did what: recorded by the webhook, guarded by the policy, shown to people."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import dynamic

from penstock.api.names import API_VERSION, AUDIT_GROUP
from tests.api.account import NAME as ACCOUNT
from tests.api.account import NAMESPACE as RELEASE_NAMESPACE
from tests.api.audit_scene import (
    RUN,
    People,
    give_edit,
    manifest,
    policies,
    rendered_release,
    replica_options,
    until_refused,
    webhooks,
)
from tests.api.command_line import once
from tests.api.replica import Replica, free_port
from tests.api.review_scene import LOOPBACK, write_certificate
from tests.api.scene import Scene

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FORGED = {f"{AUDIT_GROUP}/created-by": "bob"}
PAUSED = {"flowSpec": {"tasks": [{"name": "ask", "approval": {"message": "Go?"}}]}}


@pytest.fixture(scope="module")
def place(core_of_module: Any) -> Iterator[str]:
    """One namespace for the tests of this module."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    core_of_module.create_namespace({"metadata": {"name": name}})
    yield name
    core_of_module.delete_namespace(name)


@pytest.fixture(scope="module")
def core_of_module(api: kubernetes_client.ApiClient) -> Any:
    return kubernetes_client.CoreV1Api(api)


@pytest.fixture(scope="module")
def people(api: kubernetes_client.ApiClient, kubeconfig: Path, place: str, crds: None) -> People:
    give_edit(api, place, ("alice", "bob"))
    return People(kubeconfig, place)


@pytest.fixture(scope="module")
def policy(api: kubernetes_client.ApiClient, people: People) -> Iterator[list[dict[str, Any]]]:
    """The policy alone, as while no operator answers."""
    rendered = rendered_release(people.namespace)
    with policies(api, rendered, "-audit"):
        until_refused(people, "alice", "FlowRun", RUN, "name yourself", annotations=FORGED)
        yield rendered


@pytest.fixture(scope="module")
def recorded(
    api: kubernetes_client.ApiClient,
    kubeconfig: Path,
    people: People,
    policy: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[People]:
    """An operator with its webhooks, and the policy."""
    if f"//{LOOPBACK}:" not in api.configuration.host:
        pytest.skip("the API server is not on this machine, so it can't call a server on it")
    folder, port = tmp_path_factory.mktemp("webhook"), free_port()
    authority = write_certificate(folder)
    options = replica_options(folder, port)
    with (
        Replica(kubeconfig, folder, namespace=people.namespace, lease=people.namespace, options=options),
        webhooks(api, policy, people, port=port, authority=authority),
    ):
        yield people


# The policy, without a webhook


def test_a_person_may_leave_the_records_out_and_suspend_and_cancel_while_no_webhook_answers(policy, people):
    assert people.create("alice", "FlowRun", "plain", RUN).is_done
    for spec in ({"suspend": True}, {"suspend": False}, {"shutdown": "Cancel"}):
        said = people.patch("alice", "plain", {"spec": spec})
        assert said.is_done, said.text
    assert people.records("plain") == {}


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        pytest.param({"created-by": "bob"}, "name yourself, alice", id="another creator"),
        pytest.param({"created-at": "yesterday"}, "name yourself", id="something that is not a time"),
        pytest.param({"suspended-by": "alice"}, "may not write or change", id="what the request does not do"),
        pytest.param({"on-behalf-of": "bob"}, "may not write or change", id="what only the operator writes"),
        pytest.param({"unheard": "of"}, "may not write or change", id="an unknown record"),
        pytest.param({"decisions": "ask\tApprove\t2026-11-30T00:00:00Z\tuser:alice"}, "who decided", id="no decision"),
    ],
)
@pytest.mark.usefixtures("policy")
def test_nobody_creates_a_run_with_a_forged_record(people, annotations, why):
    forged = {f"{AUDIT_GROUP}/{key}": value for key, value in annotations.items()}
    said = people.create("alice", "FlowRun", "forged", RUN, annotations=forged)
    assert not said.is_done
    assert why in said.text


@pytest.mark.usefixtures("policy")
def test_nobody_changes_or_removes_a_record_or_makes_one_for_another(people):
    own = {f"{AUDIT_GROUP}/created-by": "alice"}
    assert people.create("alice", "FlowRun", "own", RUN, annotations=own).is_done
    for user in ("alice", "bob"):
        for value in ("bob", None):
            said = people.patch(user, "own", {"metadata": {"annotations": {f"{AUDIT_GROUP}/created-by": value}}})
            assert "may not write or change audit.penstock.dev/created-by" in said.text, said.text
    named = {f"{AUDIT_GROUP}/cancelled-by": "alice"}
    said = people.patch("bob", "own", {"spec": {"shutdown": "Cancel"}, "metadata": {"annotations": named}})
    assert "name yourself, bob" in said.text
    assert people.patch("bob", "own", {"metadata": {"labels": {"team": "x"}}}).is_done
    assert people.records("own") == {"created-by": "alice"}


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("ask\tApprove\t{time}\tuser:bob", id="another user"),
        pytest.param("ask\tApprove\t{time}\tuser:alice\tgroup:admins", id="a group of others"),
        pytest.param("ask\tReject\t{time}\tuser:alice", id="another decision"),
        pytest.param("other\tApprove\t{time}\tuser:alice", id="another task"),
        pytest.param("ask\tApprove\tgroup:admins\tuser:alice", id="a group in place of the time"),
        pytest.param("ask\tApprove\t{time}", id="no user"),
    ],
)
def test_nobody_records_a_decision_that_the_request_does_not_make(people, line):
    time = "2026-11-30T00:00:00Z"
    approvals = [{"task": "ask", "decision": "Approve"}]
    for text, is_done in ((line, False), ("ask\tApprove\t{time}\tuser:alice\tgroup:release-managers", True)):
        record = {f"{AUDIT_GROUP}/decisions": text.format(time=time)}
        said = people.create(
            "alice", "FlowRun", "x", {**PAUSED, "approvals": approvals}, "--dry-run=server", annotations=record
        )
        assert said.is_done is is_done, said.text


def test_no_decision_counts_by_a_record_that_was_there_before_it(policy, people, api):
    """Whoever may change the run can have written it while the policy was not in force; an administrator, here."""
    assert people.create("alice", "FlowRun", "planted", PAUSED).is_done
    resource = dynamic.DynamicClient(api).resources.get(api_version=API_VERSION, kind="FlowRun")
    labels, line = {"penstock.dev/restored": ""}, "ask\tApprove\t2026-11-30T00:00:00Z\tuser:bob"
    metadata = {"name": "planted-too", "labels": labels, "annotations": {f"{AUDIT_GROUP}/decisions": line}}
    resource.create(
        namespace=people.namespace,
        body={"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": PAUSED},
    )
    for name, is_done in (("planted", True), ("planted-too", False)):
        said = people.patch("alice", name, {"spec": {"approvals": [{"task": "ask", "decision": "Approve"}]}})
        assert said.is_done is is_done, said.text
        assert is_done or "a decision that was not made, about ask: cancel this run, and retry it" in said.text


@pytest.mark.usefixtures("policy")
def test_a_schedule_names_who_changes_it(people):
    spec = {"cron": ["@yearly"], "runTemplate": {"spec": RUN}}
    changed = f"{AUDIT_GROUP}/changed-by"
    assert people.create("alice", "Schedule", "yearly", spec, annotations={changed: "alice"}).is_done
    change = {"spec": {"cron": ["@monthly"]}, "metadata": {"annotations": {changed: "alice"}}}
    # What does not change stays: the record is old, but true.
    assert people.patch("bob", "yearly", change, kind="schedule").is_done
    change = {"spec": {"cron": ["@weekly"]}, "metadata": {"annotations": {changed: "carol"}}}
    assert "name yourself, bob" in people.patch("bob", "yearly", change, kind="schedule").text
    # The generation tells that it is old, and nobody writes another one beside the name of somebody else.
    generation = f"{AUDIT_GROUP}/changed-generation"
    for user, records, cron, is_done in (
        ("bob", {generation: "3"}, "@daily", False),
        ("bob", {generation: "3", changed: "bob"}, "@daily", True),
        ("alice", {generation: "5", changed: "alice"}, "@hourly", False),
        ("bob", {generation: "4"}, "@daily", False),
    ):
        change = {"spec": {"cron": [cron]}, "metadata": {"annotations": records}}
        said = people.patch(user, "yearly", change, kind="schedule")
        assert said.is_done is is_done, said.text


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("FlowRun", {**PAUSED, "suspend": True}),
        ("Schedule", {"cron": ["@yearly"], "runTemplate": {"spec": RUN}}),
        (
            "Backfill",
            {"schedule": {"name": "missing"}, "from": "2024-01-01T00:00:00Z", "to": "2024-01-02T00:00:00Z"},
        ),
    ],
)
def test_nobody_lets_an_object_seem_to_be_restored_to_avoid_the_webhooks(people, api, kind, spec):
    why = "may be set and removed only by users who may restore"
    labels = {"penstock.dev/restored": ""}
    name = f"seems-{kind.lower()}"
    assert why in people.create("alice", kind, name, spec, labels=labels).text
    assert people.create("alice", kind, name, spec).is_done
    assert why in people.patch("alice", name, {"metadata": {"labels": labels}}, kind=kind.lower()).text
    # An administrator's `penstock restore` does both, and others change what is restored otherwise.
    resource = dynamic.DynamicClient(api).resources.get(api_version=API_VERSION, kind=kind)
    for value, others in (("", {"team": "x"}), (None, {"team": None})):
        patch = {"metadata": {"labels": {"penstock.dev/restored": value}}}
        resource.patch(name=name, namespace=people.namespace, body=patch, content_type="application/merge-patch+json")
        said = people.patch("bob", name, {"metadata": {"labels": others}}, kind=kind.lower())
        assert said.is_done, said.text
        if value is not None:
            without = {"metadata": {"labels": {"penstock.dev/restored": None}}}
            assert why in people.patch("alice", name, without, kind=kind.lower()).text


# With the webhooks


def test_it_is_recorded_who_creates_suspends_resumes_and_ends_a_run(recorded):
    assert recorded.create("alice", "FlowRun", "life", RUN).is_done
    for user, spec in (
        ("bob", {"suspend": True}),
        ("alice", {"suspend": False}),
        ("bob", {"shutdown": "Drain"}),
        ("alice", {"shutdown": "Terminate"}),
    ):
        said = recorded.patch(user, "life", {"spec": spec})
        assert said.is_done, said.text
    found = recorded.records("life")
    times = {key: value for key, value in found.items() if key.endswith("-at")}
    assert {key: value for key, value in found.items() if key not in times} == {
        "created-by": "alice",
        "suspended-by": "bob",
        "resumed-by": "alice",
        "drained-by": "bob",
        "terminated-by": "alice",
    }
    assert len(times) == 5
    assert all(TIME.fullmatch(value) for value in times.values())


def test_the_webhook_replaces_what_somebody_else_was_to_have_done(recorded):
    """Such as the annotations of an exported manifest."""
    assert recorded.create("bob", "FlowRun", "copy", RUN, annotations={f"{AUDIT_GROUP}/created-by": "alice"}).is_done
    assert recorded.records("copy")["created-by"] == "bob"
    assert recorded.patch("alice", "copy", {"metadata": {"annotations": None}}).is_done
    assert recorded.records("copy")["created-by"] == "bob"


@pytest.mark.parametrize("options", [(), ("--server-side",)], ids=["apply", "server-side apply"])
def test_applying_again_changes_nothing_and_diff_is_empty(recorded, options):
    spec = {"cron": ["@yearly"], "runTemplate": {"spec": RUN}}
    name = f"applied-{len(options)}"
    text = json.dumps(manifest("Schedule", name, spec))
    assert recorded.run("alice", "apply", "-f-", *options, text=text).is_done
    before = json.loads(recorded.run("alice", "get", "schedule", name, "-o", "json").text)["metadata"]
    said = recorded.run("alice", "diff", "-f-", *options, text=text)
    assert (said.is_done, said.text) == (True, "")
    said = recorded.run("bob" if not options else "alice", "apply", "-f-", *options, text=text)
    assert said.is_done, said.text
    after = json.loads(recorded.run("alice", "get", "schedule", name, "-o", "json").text)["metadata"]
    assert after["annotations"] == before["annotations"]
    assert after["generation"] == before["generation"]
    found = recorded.records(name, kind="schedule")
    assert (found["changed-by"], found["changed-generation"]) == ("alice", str(after["generation"]))
    assert recorded.patch("bob", name, {"spec": {"cron": ["@daily"]}}, kind="schedule").is_done
    found = recorded.records(name, kind="schedule")
    assert (found["changed-by"], found["changed-generation"]) == ("bob", str(after["generation"] + 1))


def test_runs_that_the_operator_creates_name_who_is_behind_them_and_a_template_cannot(recorded, api, connection):
    with Scene(api, connection, recorded.namespace) as scene:
        template: dict[str, Any] = {"spec": {"flowSpec": {"tasks": [{"name": "a", "image": "busybox"}]}}}
        assert recorded.create("bob", "Schedule", "past", {"cron": ["@yearly"], "runTemplate": template}).is_done
        span = {"from": "2023-12-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"}
        assert recorded.create("alice", "Backfill", "past", {"schedule": {"name": "past"}, **span}).is_done
        run = scene.until(
            lambda: next((name for name in scene.now["flowruns"] if name.startswith("past-")), None), "a run"
        )
        assert run is not None
        assert recorded.records(run) == {"on-behalf-of": "alice"}
        template["metadata"] = {"annotations": {f"{AUDIT_GROUP}/created-by": "alice"}}
        assert recorded.create("bob", "Schedule", "forger", {"cron": ["@yearly"], "runTemplate": template}).is_done
        scene.until(
            lambda: (
                "forger" in scene.now["schedules"]
                and "must not contain audit.penstock.dev/created-by"
                in json.dumps(scene.now["schedules"]["forger"].status)
            ),
            "the Schedule to be refused",
        )


def test_people_are_shown_who_did_it(recorded, typed, api, connection):
    with Scene(api, connection, recorded.namespace) as scene:
        assert recorded.create("alice", "FlowRun", "shown", PAUSED).is_done
        scene.reach("Paused", "shown")
        assert recorded.patch("alice", "shown", {"spec": {"suspend": True}}).is_done
        assert "Suspended by alice" in scene.event("Suspended", "shown").message
        approvals = [{"task": "ask", "decision": "Approve", "comment": "go"}]
        assert recorded.patch("bob", "shown", {"spec": {"approvals": approvals, "suspend": False}}).is_done
        scene.reach("Completed", "shown")
        assert scene.event("Approved", "shown").message == "task ask was approved by bob: go"
    _, lines = once(typed, "describe", "shown", "--namespace", recorded.namespace)
    text = "\n".join(lines)
    assert re.search(r"asked by +alice", text)
    assert re.search(r'ask: Approve by bob, .*: "go"', text)
    assert re.search(r"resumed +by bob, ", text)
    _, lines = once(typed, "get", "runs", "-o", "wide", "--namespace", recorded.namespace)
    assert [line for line in lines if re.match(r"shown .*\balice\b", line)], lines
    wide = recorded.run("alice", "get", "flowrun", "shown", "-o", "wide").text
    assert re.search(r"\balice\b", wide)


def test_the_webhooks_do_not_see_what_the_operator_creates(policy):
    kinds = {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    hooks = {hook["name"]: hook for each in policy if each["kind"] in kinds for hook in each["webhooks"]}
    account = f"system:serviceaccount:{RELEASE_NAMESPACE}:{ACCOUNT}"
    for name, failure_policy in (("audit.penstock.dev", "Ignore"), ("approvals.penstock.dev", "Fail")):
        conditions = [each["expression"] for each in hooks[name]["matchConditions"]]
        assert f"request.userInfo.username != '{account}'" in conditions
        assert hooks[name]["failurePolicy"] == failure_policy
