"""Approvals that name who may decide: refused at admission to all others, and counted only with a proved record."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kubernetes import client as kubernetes_client

from penstock.api.names import AUDIT_GROUP
from penstock.kube.connection import Connection
from tests.api.audit_scene import (
    RUN,
    TOKEN,
    People,
    give_edit,
    installed_webhooks,
    policies,
    rendered_release,
    replica_options,
    until_refused,
    webhooks,
)
from tests.api.command_line import once
from tests.api.impersonation import bind
from tests.api.replica import Replica, free_port
from tests.api.review_scene import LOOPBACK, write_certificate
from tests.api.scene import Scene

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

APPROVERS = {"groups": ["release-managers"], "users": ["carol"]}
FLOW = {"tasks": [{"name": "ask", "approval": {"message": "Go?", "approvers": APPROVERS}}]}
APPROVE = [{"task": "ask", "decision": "Approve"}]
REFUSED = "may not decide about task ask: it is decided by the users carol and the groups release-managers"
NOT_PROVED = "Approve does not count, because it is not proved who decided"


@pytest.fixture
def people(api: kubernetes_client.ApiClient, kubeconfig: Path, scene: Scene) -> People:
    give_edit(api, scene.namespace, ("alice", "bob", "carol", "mallory"))
    return People(kubeconfig, scene.namespace)


def approve_with(line: str) -> dict[str, Any]:
    """Return the patch that approves, with this record of who does it."""
    return {"spec": {"approvals": APPROVE}, "metadata": {"annotations": {f"{AUDIT_GROUP}/decisions": line}}}


class Guarded(NamedTuple):
    """A namespace whose operator has its webhooks, with the policy in force."""

    people: People
    scene: Scene


@pytest.fixture(scope="module")
def guarded(
    api: kubernetes_client.ApiClient, kubeconfig: Path, crds: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    core: Any = kubernetes_client.CoreV1Api(api)
    name = f"test-{uuid.uuid4().hex[:12]}"
    core.create_namespace({"metadata": {"name": name}})
    give_edit(api, name, ("alice", "bob", "carol", "mallory"))
    people = People(kubeconfig, name)
    rendered, port, folder = rendered_release(name), free_port(), tmp_path_factory.mktemp("guarded")
    authority = write_certificate(folder)
    with (
        policies(api, rendered, "-audit"),
        Replica(kubeconfig, folder, namespace=name, lease=name, options=replica_options(folder, port)),
        webhooks(api, rendered, people, port=port, authority=authority),
        Scene(api, Connection.load({"KUBECONFIG": str(kubeconfig)}), name) as scene,
    ):
        # The webhook corrects what is forged, but for what seems to be restored.
        until_refused(people, "alice", "FlowRun", RUN, "may restore", labels={"penstock.dev/restored": ""})
        yield Guarded(people, scene)
    core.delete_namespace(name)


def test_only_an_approver_decides_and_others_are_shown_who_does(guarded):
    people, scene = guarded
    scene.create("Flow", "guarded", FLOW)
    scene.start_of("guarded", "decided")
    scene.reach("Paused", "decided")
    said = people.patch("bob", "decided", {"spec": {"approvals": APPROVE}})
    assert not said.is_done
    assert f"bob {REFUSED}" in said.text
    assert people.patch("alice", "decided", {"spec": {"approvals": APPROVE}}).is_done
    assert scene.finish("decided")["state"] == "Completed"
    line = people.records("decided")["decisions"].split("\t")
    assert (line[:2], line[3:]) == (["ask", "Approve"], ["user:alice", "group:release-managers"])


def test_the_command_line_says_why_one_may_not_decide(api, core, guarded, typed, kubeconfig, tmp_path):
    scene = guarded.scene
    core.create_namespaced_service_account(scene.namespace, {"metadata": {"name": "attacker"}})
    bind(api, f"{scene.namespace}:attacker", "edit", namespace=scene.namespace)
    token = core.create_namespaced_service_account_token("attacker", scene.namespace, {"spec": {}}).status.token
    content = yaml.safe_load(kubeconfig.read_text())
    content["users"] = [{**user, "user": {"token": token}} for user in content["users"]]
    own = tmp_path / "attacker.kubeconfig"
    own.write_text(yaml.safe_dump(content))
    scene.start(*FLOW["tasks"], name="typed")
    scene.reach("Paused", "typed")
    words = ("approve", "typed", "ask", "--namespace", scene.namespace)
    code, lines = once(lambda *words: typed(*words, kubeconfig=own), *words)
    assert code != 0
    assert f"system:serviceaccount:{scene.namespace}:attacker {REFUSED}" in "\n".join(lines)


def test_a_user_who_is_named_decides_and_rejects(guarded):
    people, scene = guarded
    scene.start(*FLOW["tasks"], name="rejected")
    scene.reach("Paused", "rejected")
    reject = [{"task": "ask", "decision": "Reject"}]
    assert people.patch("carol", "rejected", {"spec": {"approvals": reject}}).is_done
    assert scene.finish("rejected")["state"] == "Failed"
    assert scene.entry("ask", "rejected")["reason"] == "Rejected"


def test_a_run_is_decided_in_advance_by_an_approver_alone(guarded):
    people, scene = guarded
    spec = {"flowSpec": FLOW, "approvals": APPROVE}
    assert REFUSED in people.create("mallory", "FlowRun", "mine", spec).text
    assert people.create("carol", "FlowRun", "advance", spec).is_done
    assert scene.finish("advance")["state"] == "Completed"


def test_the_revision_of_the_run_says_who_decides(guarded):
    """Whoever may edit the Flow does not become an approver of runs that have begun."""
    people, scene = guarded
    scene.create("Flow", "edited", FLOW)
    scene.start_of("edited", "begun")
    scene.reach("Paused", "begun")
    open_to_all = {"tasks": [{"name": "ask", "approval": {"approvers": {"users": ["bob"]}}}]}
    scene.patch("Flow", "edited", {"spec": open_to_all})
    assert REFUSED in people.patch("bob", "begun", {"spec": {"approvals": APPROVE}}).text


def test_a_retry_asks_the_approvers_of_the_run_that_it_retries(guarded):
    people, scene = guarded
    tasks = [*FLOW["tasks"], {"name": "end", "dependsOn": ["ask"], "image": "busybox"}]
    scene.create("Flow", "retried", {"tasks": tasks})
    scene.start_of("retried", "first")
    scene.reach("Paused", "first")
    scene.patch("FlowRun", "first", {"spec": {"shutdown": "Terminate"}})
    scene.finish("first")
    spec = {"retryOf": {"name": "first"}, "approvals": APPROVE}
    assert REFUSED in people.create("bob", "FlowRun", "again", spec).text
    assert people.create("alice", "FlowRun", "again", spec).is_done
    assert scene.finish("again")["state"] == "Completed"
    # What alice approved may be repeated; for anything else the approvers are asked.
    assert people.create("bob", "FlowRun", "once-more", {"retryOf": {"name": "again", "from": "end"}}).is_done
    scene.reach("Paused", "once-more")


def test_a_decision_before_the_flow_exists_counts_by_the_flow_that_comes(guarded):
    """Nothing says who may decide yet; the operator judges again by the revision."""
    people, scene = guarded
    for user in ("bob", "carol"):
        assert people.create(user, "FlowRun", user, {"flow": {"name": "later"}, "approvals": APPROVE}).is_done
    scene.create("Flow", "later", FLOW)
    assert scene.finish("carol")["state"] == "Completed"
    scene.reach("Paused", "bob")
    assert scene.entry("ask", "bob")["message"].startswith("Approve by bob does not count: it is decided by")
    assert scene.status("bob")["reason"] == "DecisionNotProved"


def test_while_no_webhook_answers_nobody_decides_and_everybody_can_suspend_and_cancel(api, people, scene, tmp_path):
    rendered, port = rendered_release(people.namespace), free_port()
    authority = write_certificate(tmp_path)
    scene.start(*FLOW["tasks"])
    with (
        policies(api, rendered, "-audit"),
        installed_webhooks(api, rendered, port=port, authority=authority),
    ):
        for _ in range(500):
            said = people.run(
                "carol", "patch", "flowrun", "run", "--type=merge", "--dry-run=server",
                '--patch={"spec": {"approvals": [{"task": "ask", "decision": "Approve"}]}}',
            )  # fmt: skip
            if "failed calling webhook" in said.text:
                break
        else:
            pytest.fail(f"a decision was accepted, or refused for another reason: {said.text}")
        assert TOKEN not in said.text, "the token of the other webhooks is shown"
        for spec in ({"suspend": True}, {"suspend": False}, {"shutdown": "Cancel"}):
            said = people.patch("bob", "run", {"spec": spec})
            assert said.is_done, said.text


def test_a_decision_around_the_webhook_does_not_count_and_the_run_says_why(api, replica, people, scene):
    """The webhook is not installed; the policy is."""
    rendered = rendered_release(people.namespace)
    with policies(api, rendered, "-audit"), replica(options=("--admission-policy", "true")):
        until_refused(
            people, "alice", "FlowRun", RUN, "name yourself", annotations={f"{AUDIT_GROUP}/created-by": "bob"}
        )
        scene.start(*FLOW["tasks"])
        scene.reach("Paused")
        forged = "ask\tApprove\t2026-11-30T00:00:00Z\tuser:mallory\tgroup:release-managers"
        assert "records who decided" in people.patch("mallory", "run", approve_with(forged)).text
        own = "ask\tApprove\t2026-11-30T00:00:00Z\tuser:mallory\tgroup:developers"
        assert people.patch("mallory", "run", approve_with(own)).is_done
        scene.until(lambda: scene.status().get("reason") == "DecisionNotProved", "the run to say why it waits")
        assert scene.status()["state"] == "Paused"
        assert "Approve by mallory does not count" in scene.status()["message"]


def test_with_the_policy_off_a_forged_record_counts_for_nothing(replica, people, scene):
    with replica():
        scene.start(*FLOW["tasks"])
        scene.reach("Paused")
        forged = "ask\tApprove\t2026-11-30T00:00:00Z\tuser:carol\tgroup:release-managers"
        assert people.patch("mallory", "run", approve_with(forged)).is_done
        scene.until(lambda: scene.status().get("reason") == "DecisionNotProved", "the run to say why it waits")
        assert NOT_PROVED in scene.status()["message"]
        assert scene.status()["state"] == "Paused"
    with replica():
        # Another leader reads the same.
        scene.start({"name": "later", "image": "busybox"}, name="later")
        scene.finish("later")
        assert scene.status()["state"] == "Paused"


def test_approvals_without_approvers_are_decided_by_whoever_may_change_the_run(replica, people, scene):
    with replica():
        scene.start({"name": "ask", "approval": {}})
        scene.reach("Paused")
        assert people.patch("mallory", "run", {"spec": {"approvals": APPROVE}}).is_done
        assert scene.finish()["state"] == "Completed"


def test_a_schedule_with_approvals_in_its_template_creates_no_runs(replica, scene):
    with replica():
        template = {"spec": {"flowSpec": FLOW, "approvals": APPROVE}}
        scene.create("Schedule", "s", {"cron": ["* * * * *"], "runTemplate": template})
        scene.until(
            lambda: "spec.runTemplate.spec.approvals: must not be set" in str(scene.now["schedules"].get("s")),
            "the Schedule to be not ready",
        )


def test_the_token_of_the_webhook_about_approvals_is_of_no_use_for_the_others(replica, tmp_path):
    """Users see the URL of a webhook that refuses because it does not answer."""
    port = free_port()
    write_certificate(tmp_path)
    paths = {
        hook["name"]: hook["clientConfig"]["service"]["path"]
        for each in rendered_release("x")
        if each["kind"] in {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
        for hook in each["webhooks"]
    }
    audit, approvals = paths["audit.penstock.dev"], paths["approvals.penstock.dev"]
    derived = approvals.split("/")[2]
    with replica(options=replica_options(tmp_path, port)):
        assert post(port, audit) == 200
        assert post(port, approvals) == 200
        assert post(port, f"/validate/{derived}/audit") == 404
        assert post(port, f"/validate/{derived}/flows") == 404
        assert post(port, f"/validate/{TOKEN}/approvals") == 404


def post(port: int, path: str) -> int:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(f"https://{LOOPBACK}:{port}{path}", data=b"{}", method="POST")
    for _ in range(10_000):
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:  # it does not listen yet
            continue
    pytest.fail("the replica does not listen")
