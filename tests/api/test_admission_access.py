"""Who learns what from the admission webhook of an operator: the API server alone, and users by what they may read."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes_client

from penstock.api.names import API_VERSION
from tests.api.impersonation import bind
from tests.api.replica import Replica, free_port
from tests.api.review_scene import LOOPBACK, configured, write_certificate
from tests.api.scene import Scene
from tests.cluster import binaries

pytestmark = pytest.mark.api

TOKEN = "t0k3n" * 8
DEADLINE_S = 30.0
CONFIDENTIAL = "Nightingale"
SECRET_FLOW = {
    "params": [
        {"name": "iban", "description": f"IBAN of project {CONFIDENTIAL}"},
        {"name": "region", "enum": ["eu-secret-1"], "default": "eu-secret-1"},
    ],
    "tasks": [{"name": "a", "image": "busybox:1.36"}],
}
SECRET_SCHEDULE = {"cron": ["@daily"], "runTemplate": {"spec": {"flow": {"name": "secret"}, "params": {"iban": "x"}}}}
OURS = ("flowruns", "schedules", "backfills")
ACCOUNTS: dict[str, list[dict[str, Any]]] = {
    "writer": [{"apiGroups": ["penstock.dev"], "resources": list(OURS), "verbs": ["create"]}],
    "reader": [
        {"apiGroups": ["penstock.dev"], "resources": list(OURS), "verbs": ["create"]},
        {"apiGroups": ["penstock.dev"], "resources": ["flows", "flowruns", "schedules"], "verbs": ["get"]},
    ],
}


class Said(NamedTuple):
    """What kubectl said."""

    is_done: bool
    text: str


class Tenants:
    """The API server as several service accounts of one namespace see it."""

    def __init__(self, kubeconfig: Path, namespace: str, replica: Replica, port: int) -> None:
        self.namespace = namespace
        self.replica = replica
        self.port = port
        self._kubectl = [str(binaries.binary("kubectl")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]

    def run(self, account: str, *words: str, text: str | None = None) -> Said:
        """Run kubectl as an account."""
        user = f"--as=system:serviceaccount:{self.namespace}:{account}"
        done = subprocess.run([*self._kubectl, user, *words], input=text, capture_output=True, text=True, check=False)
        return Said(done.returncode == 0, f"{done.stdout}{done.stderr}")

    def create(self, account: str, kind: str, spec: dict[str, Any], *, dry_run: bool = False) -> Said:
        """Create one of our objects as an account."""
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"generateName": "x-"}, "spec": spec}
        options = ["--dry-run=server"] if dry_run else []
        return self.run(account, "create", "-f-", "--validate=false", *options, text=json.dumps(body))

    def post(self, path: str, review: dict[str, Any]) -> tuple[int, str]:
        """Post to the webhook without the API server, as any Pod can."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        request = urllib.request.Request(f"https://{LOOPBACK}:{self.port}{path}", json.dumps(review).encode())
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def make_accounts(api: kubernetes_client.ApiClient, namespace: str) -> None:
    rbac = kubernetes_client.RbacAuthorizationV1Api(api)
    for name, rules in ACCOUNTS.items():
        role: Any = {"metadata": {"name": name}, "rules": rules}
        rbac.create_namespaced_role(namespace, role)
        bind(api, f"{namespace}:{name}", name, namespace=namespace, kind="Role")


@pytest.fixture
def tenants(api, kubeconfig, scene: Scene, replica, tmp_path) -> Iterator[Tenants]:
    authority, port = write_certificate(tmp_path), free_port()
    (tmp_path / "token").write_text(TOKEN)
    options = (
        "--webhook-port", str(port),
        "--webhook-cert-dir", str(tmp_path),
        "--webhook-token-file", str(tmp_path / "token"),
    )  # fmt: skip
    make_accounts(api, scene.namespace)
    scene.create("Flow", "secret", SECRET_FLOW)
    scene.create("Schedule", "secret", SECRET_SCHEDULE | {"suspend": True})
    url = f"https://{LOOPBACK}:{port}/validate/{TOKEN}"
    with (
        replica(options=options) as running,
        configured(api, scene.namespace, url=url, authority=authority, failurePolicy="Ignore"),
    ):
        found = Tenants(kubeconfig, scene.namespace, running, port)
        wait_until_called(found)
        yield found


def wait_until_called(tenants: Tenants) -> None:
    """Wait until the API server calls the webhook, which then warns of a retry of nothing."""
    ends_at = time.monotonic() + DEADLINE_S
    said = Said(is_done=False, text="nothing")
    while time.monotonic() < ends_at:
        said = tenants.create("reader", "FlowRun", {"retryOf": {"name": "nothing"}}, dry_run=True)
        if "does not exist" in said.text:
            return
    pytest.fail(f"the API server never called the webhook; it said last: {said.text}")


RUN = {"flow": {"name": "secret"}}
FORGED = {
    "request": {
        "uid": "1",
        "operation": "CREATE",
        "namespace": "NAMESPACE",
        "userInfo": {"username": "admin", "groups": ["system:masters"]},
        "object": {"spec": RUN},
    }
}


def test_a_user_who_may_read_the_flow_is_shown_what_is_wrong_with_the_params(tenants):
    said = tenants.create("reader", "FlowRun", RUN)
    assert not said.is_done
    assert "spec.params.iban" in said.text
    assert CONFIDENTIAL in said.text


def test_a_user_who_may_not_read_the_flow_is_shown_nothing_about_it(tenants, scene):
    said = tenants.create("writer", "FlowRun", RUN)
    assert said.is_done
    assert "you are not allowed to read Flow secret" in said.text
    assert "iban" not in said.text
    assert CONFIDENTIAL not in said.text
    # The operator finds it when the run starts.
    scene.until(
        lambda: any(run.status.get("state") == "Failed" for run in scene.now["flowruns"].values()), "the run to fail"
    )


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("FlowRun", {"flow": {"name": "NAME"}}, id="a Flow"),
        pytest.param("FlowRun", {"retryOf": {"name": "NAME"}}, id="a run"),
        pytest.param(
            "Schedule", {"cron": ["@daily"], "runTemplate": {"spec": {"flow": {"name": "NAME"}}}}, id="a Flow of runs"
        ),
        pytest.param(
            "Backfill",
            {"schedule": {"name": "NAME"}, "from": "1970-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            id="a Schedule",
        ),
    ],
)
def test_a_user_is_not_shown_whether_an_object_exists_that_the_user_may_not_read(tenants, scene, kind, spec):
    scene.create("FlowRun", "secret", {"flow": {"name": "secret"}, "params": {"iban": "x"}})

    def answer(account: str, name: str) -> str:
        said = tenants.create(account, kind, json.loads(json.dumps(spec).replace("NAME", name)), dry_run=True)
        return re.sub(r"\bx-[a-z0-9]{5}\b", "x", said.text.replace(name, "NAME"))

    assert answer("writer", "secret") == answer("writer", "absent")
    assert answer("reader", "secret") != answer("reader", "absent")


@pytest.mark.parametrize(
    "path", ["/validate/flowruns", f"/validate/{TOKEN[::-1]}/flowruns"], ids=["none", "a wrong one"]
)
def test_a_caller_without_the_token_learns_nothing_whoever_it_says_the_user_is(tenants, scene, path):
    review = json.loads(json.dumps(FORGED).replace("NAMESPACE", scene.namespace))
    before = tenants.replica.metric("penstock_api_requests_total", verb="get", resource="flows")
    assert tenants.post(path, review) == (404, "not found\n")
    assert tenants.replica.metric("penstock_api_requests_total", verb="get", resource="flows") == before
    status, said = tenants.post(f"/validate/{TOKEN}/flowruns", review)
    assert (status, CONFIDENTIAL in said) == (200, True)


def test_a_user_with_the_role_edit_cannot_read_the_token(tenants, api, scene):
    bind(api, f"{scene.namespace}:editor", "edit", namespace=scene.namespace)
    said = tenants.run("editor", "get", "validatingwebhookconfigurations", scene.namespace)
    assert not said.is_done
    assert "Forbidden" in said.text


def test_what_a_user_may_read_is_asked_once_in_a_while(tenants):
    for _ in range(3):
        assert not tenants.create("reader", "FlowRun", RUN).is_done
        assert tenants.create("writer", "FlowRun", RUN, dry_run=True).is_done
    asked = tenants.replica.metric("penstock_api_requests_total", verb="create", resource="localsubjectaccessreviews")
    # One more by the fixture, about another object.
    assert asked == 3
