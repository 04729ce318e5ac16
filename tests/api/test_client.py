"""The client against a real API server: refusals as it words them, credentials as they change."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client
from kubernetes import watch

from penstock.kube import errors
from penstock.kube.client import JSON_PATCH, MERGE_PATCH, METADATA, METADATA_LIST, ApiClient
from penstock.kube.connection import Connection
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import CONFIGMAPS, PODS, Resource
from penstock_operator.metrics import Metrics
from tests.api.faults import FaultProxy

pytestmark = pytest.mark.api

PREDICATES = {
    name: getattr(errors, name)
    for name in (
        "is_already_exists",
        "is_conflict",
        "is_expired",
        "is_namespace_terminating",
        "is_not_found",
        "is_precondition_failed",
        "is_quota",
        "is_transient",
    )
}


def said(error: ApiError) -> set[str]:
    """Names of the predicates that hold."""
    return {name for name, holds in PREDICATES.items() if holds(error)}


def request(connection, *arguments, **named):
    async def scenario():
        async with ApiClient(connection, metrics=Metrics()) as client:
            return await client.request(*arguments, **named)

    return asyncio.run(scenario())


def refusal(connection, *arguments, **named) -> ApiError:
    with pytest.raises(ApiError) as caught:
        request(connection, *arguments, **named)
    return caught.value


def body(value) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def config_map(core, namespace):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "there"}, "data": {"value": "1"}})


def test_a_name_that_is_taken_is_reported(connection, namespace, config_map):
    error = refusal(connection, "POST", CONFIGMAPS.path(namespace), body=body({"metadata": {"name": "there"}}))
    assert said(error) == {"is_already_exists"}
    assert error.status == 409


def test_an_object_that_is_not_there_is_reported(connection, namespace):
    error = refusal(connection, "GET", CONFIGMAPS.path(namespace, "nowhere"))
    assert said(error) == {"is_not_found"}
    assert str(error) == '404 NotFound: configmaps "nowhere" not found'


def test_a_kind_that_is_not_there_is_reported(connection, namespace):
    assert said(refusal(connection, "GET", Resource("no.example", "v1", "things").path(namespace))) == {"is_not_found"}


def test_an_outdated_resource_version_is_a_conflict(connection, namespace, config_map):
    patch = {"metadata": {"resourceVersion": "1"}, "data": {"value": "2"}}
    path = CONFIGMAPS.path(namespace, "there")
    assert said(refusal(connection, "PATCH", path, body=body(patch), content_type=MERGE_PATCH)) == {"is_conflict"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/value", "value": "other"},
        {"op": "test", "path": "/data/missing", "value": "1"},
        {"op": "replace", "path": "/missing/value", "value": "1"},
    ],
    ids=["a test that fails", "a test of what is not there", "a path that is not there"],
)
def test_a_json_patch_that_does_not_fit_is_a_failed_precondition(connection, namespace, config_map, operation):
    path = CONFIGMAPS.path(namespace, "there")
    error = refusal(connection, "PATCH", path, body=body([operation]), content_type=JSON_PATCH)
    assert said(error) == {"is_precondition_failed"}


def test_a_json_patch_with_an_invalid_result_is_not_a_failed_precondition(connection, namespace, config_map):
    patch = [{"op": "add", "path": "/data/not a key", "value": "1"}]
    path = CONFIGMAPS.path(namespace, "there")
    error = refusal(connection, "PATCH", path, body=body(patch), content_type=JSON_PATCH)
    assert said(error) == set()
    assert [cause.field for cause in error.details.causes] == ["data[not a key]"]


def test_another_uid_is_a_conflict_and_the_object_stays(connection, namespace, config_map, core):
    path = CONFIGMAPS.path(namespace, "there")
    error = refusal(connection, "DELETE", path, body=body({"preconditions": {"uid": "another"}}))
    assert said(error) == {"is_conflict"}
    core.read_namespaced_config_map("there", namespace)


# Of a service account that exists: that of a new namespace named `default` comes some time later.
POD = {
    "metadata": {"name": "pod"},
    "spec": {"serviceAccountName": "tester", "containers": [{"name": "main", "image": "none"}]},
}


def give_quota(core, namespace, **hard):
    core.create_namespaced_resource_quota(namespace, {"metadata": {"name": "quota"}, "spec": {"hard": hard}})
    # Admission looks quotas up in a cache of its own, which has this one when its use was counted.
    stream = watch.Watch()
    for event in stream.stream(core.list_namespaced_resource_quota, namespace, timeout_seconds=30):
        if event["object"].status.hard:
            stream.stop()
            return
    pytest.fail("the quota was not counted within 30 s")


def test_a_full_quota_is_distinguished_from_every_other_forbidden(connection, namespace, core):
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "tester"}})
    give_quota(core, namespace, pods="0")
    error = refusal(connection, "POST", PODS.path(namespace), body=body(POD))
    assert said(error) == {"is_quota"}
    assert error.status == 403


def test_a_pod_that_lacks_what_a_quota_counts_is_not_a_full_quota(connection, namespace, core):
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "tester"}})
    give_quota(core, namespace, **{"requests.cpu": "1"})
    error = refusal(connection, "POST", PODS.path(namespace), body=body(POD))
    assert said(error) == set()
    assert "must specify requests.cpu" in error.message


def test_a_namespace_that_is_being_deleted_is_reported(connection, core):
    created = core.create_namespace({"metadata": {"generateName": "test-terminating-"}})
    namespace = created.metadata.name
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "holds", "finalizers": ["penstock.dev/test"]}})
    try:
        core.delete_namespace(namespace)
        error = refusal(connection, "POST", CONFIGMAPS.path(namespace), body=body({"metadata": {"name": "late"}}))
        assert said(error) == {"is_namespace_terminating"}
    finally:
        core.patch_namespaced_config_map("holds", namespace, {"metadata": {"finalizers": None}})


def test_the_reply_can_be_metadata_alone(connection, namespace, config_map):
    reply = request(connection, "GET", CONFIGMAPS.path(namespace, "there"), accept=METADATA)
    assert json.loads(reply.body)["kind"] == "PartialObjectMetadata"


def test_a_body_of_more_than_a_megabyte_is_sent(connection, namespace):
    big = {"metadata": {"name": "big"}, "binaryData": {"value": "A" * (2**20 + 2**18)}}
    assert request(connection, "POST", CONFIGMAPS.path(namespace), body=body(big), accept=METADATA).status == 201


def reading(connection, read):
    async def scenario():
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            return await read(client, proxy)

    return asyncio.run(scenario())


@pytest.fixture
def eight_config_maps(core, namespace):
    for number in range(8):
        metadata = {"name": f"c{number}", "labels": {"parity": "odd" if number % 2 else "even"}}
        core.create_namespaced_config_map(namespace, {"metadata": metadata, "data": {"value": str(number)}})


def test_an_object_is_read_as_what_the_caller_wants_it_to_be(connection, namespace, config_map):
    async def read(client, _):
        whole = await client.get(CONFIGMAPS, namespace, "there", kind=dict[str, Any])
        part = await client.get(CONFIGMAPS, namespace, "there", kind=PartialObject, accept=METADATA)
        assert whole["data"] == {"value": "1"}
        assert part.metadata.name == "there"
        assert part.metadata.uid == whole["metadata"]["uid"]

    reading(connection, read)


def test_reading_an_object_that_does_not_exist_returns_none_and_other_refusals_are_raised(connection, namespace):
    async def read(client, proxy):
        assert await client.get(CONFIGMAPS, namespace, "nowhere", kind=PartialObject) is None
        proxy.fail(lambda seen: "nowhere" in seen.path, status=403, reason="Forbidden")
        with pytest.raises(ApiError, match="403 Forbidden"):
            await client.get(CONFIGMAPS, namespace, "nowhere", kind=PartialObject)

    reading(connection, read)


def test_a_list_reads_page_after_page(connection, namespace, eight_config_maps):
    async def read(client, proxy):
        items = client.list(CONFIGMAPS, kind=dict[str, Any], namespace=namespace, page_items=3)
        # A namespace also has the ConfigMap of the root certificate.
        found = [item["metadata"]["name"] async for item in items if "data" in item and "value" in item["data"]]
        assert found == [f"c{number}" for number in range(8)]
        assert proxy.count(lambda seen: seen.is_list) == 3

    reading(connection, read)


def test_a_list_is_as_narrow_and_as_short_as_it_is_asked_for(connection, namespace, eight_config_maps):
    async def read(client, _):
        selected = client.list(
            CONFIGMAPS,
            kind=PartialObject,
            namespace=namespace,
            label_selector="parity=odd",
            field_selector="metadata.name!=c3",
            accept=METADATA_LIST,
        )
        assert [item.metadata.name async for item in selected] == ["c1", "c5", "c7"]

    reading(connection, read)


def test_a_list_of_nothing_is_empty(connection, namespace):
    async def read(client, _):
        return [item async for item in client.list(PODS, kind=PartialObject, namespace=namespace)]

    assert reading(connection, read) == []


def test_a_list_whose_continue_token_expired_says_so(connection, namespace, eight_config_maps):
    async def read(client, proxy):
        proxy.fail(lambda seen: "continue" in seen.query, times=1, status=410, reason="Expired")
        items = client.list(CONFIGMAPS, kind=PartialObject, namespace=namespace, page_items=3)
        names = [(await anext(items)).metadata.name for _ in range(3)]
        with pytest.raises(ApiError) as caught:
            await anext(items)
        assert said(caught.value) == {"is_expired"}
        assert names == ["c0", "c1", "c2"]

    reading(connection, read)


def test_every_request_is_counted(connection, namespace):
    metrics = Metrics()

    async def scenario() -> None:
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=metrics) as client:
            await client.request("GET", CONFIGMAPS.path(namespace), query={"limit": "1"})
            with pytest.raises(ApiError):
                await client.request("GET", PODS.path(namespace, "nowhere", "status"))
            proxy.fail(lambda seen: seen.method == "POST", cut=True)
            with pytest.raises(ApiUnreachableError):
                await client.request("POST", PODS.path(namespace), body=b"{}")
            async with client.stream(PODS.path(namespace), query={"watch": "1"}, inactivity_s=10):
                pass

    asyncio.run(scenario())
    counted = {
        (sample.labels["verb"], sample.labels["resource"], sample.labels["code"]): sample.value
        for metric in metrics.api_requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("list", "configmaps", "200"): 1,
        ("get", "pods/status", "404"): 1,
        ("create", "pods", "error"): 1,
        ("watch", "pods", "200"): 1,
    }


def test_a_server_that_says_nothing_is_given_up_in_time(connection, namespace):
    async def scenario() -> None:
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            proxy.fail(lambda _: True, hang=True)
            with pytest.raises(ApiUnreachableError, match=r"GET /api/v1/.*: .*[Tt]imeout"):
                await client.request("GET", CONFIGMAPS.path(namespace), timeout_s=0.2)

    asyncio.run(scenario())


def test_no_server_at_all_is_reported_with_its_address():
    async def scenario() -> None:
        async with ApiClient(Connection("http://127.0.0.1:1"), metrics=Metrics()) as client:
            with pytest.raises(ApiUnreachableError, match=r"127\.0\.0\.1:1"):
                await client.request("GET", CONFIGMAPS.path("default"))

    asyncio.run(scenario())


def test_requests_beyond_the_limit_wait_but_urgent_ones_do_not(connection, namespace):
    async def scenario() -> None:
        async with (
            FaultProxy(connection) as proxy,
            ApiClient(proxy.connection, metrics=Metrics(), connection_limit=1) as client,
        ):
            proxy.fail(lambda seen: seen.path.endswith("/slow"), hang=True)
            slow = asyncio.create_task(client.request("GET", CONFIGMAPS.path(namespace, "slow")))
            await proxy.wait_for_requests(lambda seen: seen.path.endswith("/slow"), 1)
            waiting = asyncio.create_task(client.request("GET", CONFIGMAPS.path(namespace), query={"limit": "1"}))
            await client.request("GET", "/version", urgent=True)
            assert not waiting.done()
            slow.cancel()
            await waiting

    asyncio.run(scenario())


class Account:
    """A service account that may read ConfigMaps, and its tokens."""

    def __init__(self, api, core, namespace):
        self.core = core
        self.namespace = namespace
        core.create_namespaced_service_account(namespace, {"metadata": {"name": "tester"}})
        rbac = kubernetes_client.RbacAuthorizationV1Api(api)
        subject = {"kind": "ServiceAccount", "name": "tester", "namespace": namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
        binding: Any = {"metadata": {"name": "tester"}, "roleRef": role, "subjects": [subject]}
        rbac.create_namespaced_role_binding(namespace, binding)

    def token(self):
        request = {"spec": {"expirationSeconds": 600, "audiences": None}}
        reply = self.core.create_namespaced_service_account_token("tester", self.namespace, request)
        return reply.status.token


@pytest.fixture
def account(api, core, namespace) -> Account:
    return Account(api, core, namespace)


def user_kubeconfig(kubeconfig, path, user) -> Connection:
    """Load a kubeconfig like the administrator's, with another user."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": user}]
    for cluster in config["clusters"]:
        authority = cluster["cluster"].get("certificate-authority")
        if authority:
            cluster["cluster"]["certificate-authority"] = str((kubeconfig.parent / authority).resolve())
    path.write_text(yaml.safe_dump(config))
    return Connection.load({"KUBECONFIG": str(path)})


def test_a_token_that_was_replaced_on_disk_is_read_again_after_a_401(kubeconfig, tmp_path, namespace, account):
    token = tmp_path / "token"
    token.write_text("outdated")
    connection = user_kubeconfig(kubeconfig, tmp_path / "config", {"tokenFile": str(token)})

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            token.write_text(account.token())
            replies = [client.request("GET", CONFIGMAPS.path(namespace), query={"limit": "1"}) for _ in range(5)]
            assert {reply.status for reply in await asyncio.gather(*replies)} == {200}

    asyncio.run(scenario())


def test_an_exec_plugin_is_asked_again_after_a_401(kubeconfig, tmp_path, namespace, account):
    token, calls, plugin = tmp_path / "token", tmp_path / "calls", tmp_path / "plugin"
    token.write_text("outdated")
    plugin.write_text(
        "#!/bin/sh\n"
        f"echo >> {calls}\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}\' '
        f'"$(cat {token})"\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    connection = user_kubeconfig(kubeconfig, tmp_path / "config", user)

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            token.write_text(account.token())
            replies = [client.request("GET", CONFIGMAPS.path(namespace), query={"limit": "1"}) for _ in range(5)]
            assert {reply.status for reply in await asyncio.gather(*replies)} == {200}

    asyncio.run(scenario())
    assert len(calls.read_text().splitlines()) == 2


def test_credentials_that_stay_refused_are_an_error_and_not_asked_for_again_and_again(connection, namespace):
    loads = []

    def configure():
        loads.append(1)
        raise OSError("the volume is gone")

    refused = Connection(
        connection.server,
        ssl_context=connection.ssl_context,
        headers={"Authorization": "Bearer wrong"},
        configure=configure,
    )

    async def scenario() -> None:
        async with ApiClient(refused, metrics=Metrics()) as client:
            for _ in range(3):
                with pytest.raises(ApiError, match="401 Unauthorized"):
                    await client.request("GET", CONFIGMAPS.path(namespace))

    asyncio.run(scenario())
    assert len(loads) == 1
