"""A real API server for every test in this folder, and a fresh namespace for each.

Set PENSTOCK_TEST_KUBECONFIG to use a cluster that is up; otherwise one with fake nodes is started, and stopped at the
end.
"""

from __future__ import annotations

import os
import textwrap
import uuid
from collections.abc import Callable, Coroutine, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from penstock.kube.connection import Connection
from tests import cluster
from tests.api.account import Right, make_account
from tests.api.command_line import FLOW, Objects, Start, Typed, once
from tests.api.crds import apply_crds
from tests.api.deploying import ETL, Deploy
from tests.api.proxy import Proxy
from tests.api.replica import Replica
from tests.api.scene import Scene

KUBECONFIG_VARIABLE = "PENSTOCK_TEST_KUBECONFIG"


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The administrator's kubeconfig of a cluster that has our CRDs."""
    given = os.environ.get(KUBECONFIG_VARIABLE)
    if given:
        yield Path(given)
        return
    name = f"api-tests-{os.getpid()}"
    try:
        yield cluster.up(name, "fake").kubeconfig
    finally:
        cluster.down(name)


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[kubernetes_client.ApiClient]:
    """The official client, for everything that a test does besides what it tests."""
    configuration = kubernetes_client.Configuration()
    kubernetes_config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    with kubernetes_client.ApiClient(configuration) as client:
        yield client


@pytest.fixture(scope="session", autouse=True)
def rights(kubeconfig: Path, api: kubernetes_client.ApiClient) -> set[Right]:
    """The rights that the chart gives, with which every operator of the tests runs."""
    return make_account(api, kubeconfig)


@pytest.fixture(scope="session")
def crds(api: kubernetes_client.ApiClient) -> None:
    """Our CRDs, applied and established."""
    apply_crds(api)


@pytest.fixture
def core(api: kubernetes_client.ApiClient) -> kubernetes_client.CoreV1Api:
    return kubernetes_client.CoreV1Api(api)


@pytest.fixture
def batch(api: kubernetes_client.ApiClient) -> kubernetes_client.BatchV1Api:
    return kubernetes_client.BatchV1Api(api)


@pytest.fixture
def namespace(core: kubernetes_client.CoreV1Api) -> Iterator[str]:
    """A namespace of the test's own; it is deleted in the background after the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    core.create_namespace(kubernetes_client.V1Namespace(metadata=kubernetes_client.V1ObjectMeta(name=name)))
    yield name
    try:
        core.delete_namespace(name)
    except kubernetes_client.ApiException as error:
        # The test may have been about its deletion.
        if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            raise


@pytest.fixture
def volume(core: kubernetes_client.CoreV1Api, namespace: str) -> Iterator[str]:
    """A volume that waits to be claimed; its storage class, in which it is alone."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "storageClassName": namespace,
        "hostPath": {"path": "/nowhere"},
    }
    body: Any = {"metadata": {"name": namespace}, "spec": spec}
    core.create_persistent_volume(body)
    yield namespace
    core.delete_persistent_volume(namespace)


@pytest.fixture
def connection(kubeconfig: Path) -> Connection:
    """The operator's own connection, as the cluster's administrator."""
    return Connection.load({"KUBECONFIG": str(kubeconfig)})


@pytest.fixture
def scene(api: kubernetes_client.ApiClient, connection: Connection, crds: None, namespace: str) -> Iterator[Scene]:
    """The test's namespace, with everything that happens in it seen."""
    with Scene(api, connection, namespace) as observed:
        yield observed


@pytest.fixture
def objects(api: kubernetes_client.ApiClient, crds: None, namespace: str) -> Objects:
    """The test's namespace with a Flow in it, where the test writes the statuses."""
    objects = Objects(api, namespace)
    objects.create(FLOW)
    return objects


@pytest.fixture
def typed(kubeconfig: Path, namespace: str) -> Start:
    """Starts `penstock` with these words in the test's namespace."""

    def start(*words: str, kubeconfig: Path = kubeconfig) -> Coroutine[Any, Any, Typed]:
        return Typed.start(*words, kubeconfig=kubeconfig, namespace=namespace)

    return start


@pytest.fixture(scope="module")
def operator(kubeconfig: Path, crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """One operator for all tests of a module: it leads alone, and watches every namespace."""
    folder = tmp_path_factory.mktemp("operator")
    lease = f"module-{uuid.uuid4().hex[:8]}"
    with Replica(kubeconfig, folder, namespace="", lease=lease, creates_lease=True) as replica:
        yield replica
        assert "Traceback" not in replica.log
    assert "Shutting down: received a termination signal" in replica.log


@pytest.fixture
def at_work(scene: Scene, operator: Replica) -> Scene:
    """The test's namespace, with the module's operator at work."""
    return scene


@pytest.fixture
def replica(
    kubeconfig: Path, scene: Scene, tmp_path: Path, api: kubernetes_client.ApiClient
) -> Iterator[Callable[..., Replica]]:
    """Makes replicas that watch the test's namespace and share its Lease, one after the other unless they are named.

    No operator of all namespaces may run beside them: each would depose the other.
    """

    def make(through: Path = kubeconfig, *, identity: str = "same", **options: Any) -> Replica:
        return Replica(
            through, tmp_path, namespace=scene.namespace, lease=scene.namespace, identity=identity, **options
        )

    yield make
    leases = kubernetes_client.CoordinationV1Api(api)
    leases.delete_collection_namespaced_lease("default", field_selector=f"metadata.name={scene.namespace}")


@pytest.fixture
def proxy(connection: Connection, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the API server that breaks connections when a test says so."""
    with Proxy(connection, tmp_path) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a Python flow."""
    path = tmp_path / "etl.py"
    path.write_text(textwrap.dedent(ETL.replace("FACTOR", "2")))
    return path


@pytest.fixture
def deploy(typed: Start, file: Path) -> Deploy:
    """Deploys that flow."""

    def deploy(*words: str) -> tuple[int, list[str]]:
        return once(typed, "deploy", str(file), *words)

    return deploy


@pytest.fixture
def where(crds: None, namespace: str, kubeconfig: Path) -> dict[str, str]:
    """Which cluster, as `run_deployment` takes it."""
    return {"namespace": namespace, "kubeconfig": str(kubeconfig)}
