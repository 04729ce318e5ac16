"""A cluster whose Pods run, with Penstock installed by its chart, as a user would have it.

The variable CLUSTER chooses the kind (auto, kind, bare, existing). A cluster that is up already under the name in
PENSTOCK_TEST_CLUSTER, or under the default name (that of `make demo`), is used and kept: a machine has room for one
bare cluster. The operator in it is upgraded to the code of this work tree.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import cluster
from tests.cluster import binaries
from tests.e2e.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
IMAGE = "penstock:e2e"
PYTHON_IMAGE = "docker.io/library/python:3.13-slim"
SYSTEM_NAMESPACE = "penstock-system"
STORE_IMAGE = "penstock-object-store:e2e"
STORE_PORT = 7070
BUCKET = "results"
NAME_VARIABLE = "PENSTOCK_TEST_CLUSTER"


def is_up(name: str) -> bool:
    """Whether a cluster of this name is up whose Pods run."""
    try:
        return cluster.get(name).runs_containers and all(part.is_well for part in cluster.health(name))
    except cluster.ClusterError:
        return False


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[cluster.Cluster]:
    """A cluster with the images that the tests need."""
    name = os.environ.get(NAME_VARIABLE, cluster.DEFAULT_NAME)
    kept = is_up(name)
    name = name if kept or NAME_VARIABLE in os.environ else f"e2e-{os.getpid()}"
    try:
        running = cluster.up(name, None if kept else os.environ.get("CLUSTER", "auto"))
        if not running.runs_containers:
            pytest.fail("no cluster whose Pods run can be started here: be root on Linux, or have a Docker engine")
        print(f"\nend-to-end tests run on cluster {running.name} of kind {running.kind}")
        for tag, context in ((IMAGE, ROOT), (PYTHON_IMAGE, ROOT / "demo" / "python")):
            cluster.build_image(tag, context=context)
            cluster.load_image(running, tag)
        yield running
    finally:
        if not kept:
            cluster.down(name)


@pytest.fixture(scope="session")
def admin(real_cluster: cluster.Cluster) -> Kubectl:
    """kubectl, as the administrator."""
    return Kubectl(real_cluster.environment())


@pytest.fixture(scope="session")
def penstock(real_cluster: cluster.Cluster, admin: Kubectl) -> str:
    """Penstock, installed by its chart; returns the operator's namespace."""
    repository, tag = IMAGE.split(":")
    admin.helm(
        "upgrade", "--install", "penstock", str(ROOT / "helm" / "penstock"),
        "--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m",
        "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
        "--set-string", f"podAnnotations.build={uuid.uuid4().hex[:8]}",
    )  # fmt: skip
    return SYSTEM_NAMESPACE


@contextmanager
def new_namespace(admin: Kubectl) -> Iterator[str]:
    """Make a namespace under the `restricted` Pod Security Standard; it is deleted in the end."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    admin.run("create", "namespace", name)
    admin.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    admin.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(admin: Kubectl, penstock: str) -> Iterator[str]:
    """A namespace of the test's own."""
    with new_namespace(admin) as name:
        yield name


@pytest.fixture
def kubectl(admin: Kubectl, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""
    return admin.in_namespace(namespace)


@pytest.fixture(scope="module")
def shared(admin: Kubectl, penstock: str) -> Iterator[Kubectl]:
    """kubectl in a namespace of all tests of a module, which start their runs together."""
    with new_namespace(admin) as name:
        yield admin.in_namespace(name)


class Volume(NamedTuple):
    """A volume that a claim of its class gets."""

    storage_class: str
    folder: Path
    """Where it is on its node."""


@pytest.fixture
def volume(real_cluster: cluster.Cluster, admin: Kubectl) -> Iterator[Volume]:
    """A volume of the node, for clusters without a provisioner; its folder belongs to root."""
    if real_cluster.kind != "bare":
        pytest.skip(f"the node of a cluster of kind {real_cluster.kind!r} has another file system than this test")
    (node,) = admin.get_all("nodes")
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    folder = real_cluster.state_dir / "volumes" / name
    folder.mkdir(parents=True)
    place = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node["metadata"]["name"]]}
    persistent_volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": name,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}},
        },
    }
    admin.apply(json.dumps(persistent_volume))
    try:
        yield Volume(name, folder)
    finally:
        admin.run("delete", "persistentvolume", name, "--wait=false")
        shutil.rmtree(folder)


class ObjectStore(NamedTuple):
    """A server that speaks S3."""

    url: str
    """Where to put things."""
    credentials: dict[str, str]
    """The environment of whoever does; Pods have it, with the server's address, from the Secret `object-store`."""


@pytest.fixture
def object_store(real_cluster: cluster.Cluster, kubectl: Kubectl, tmp_path: Path) -> ObjectStore:
    """A server that speaks S3, in a Pod behind the Service `object-store`."""
    context = tmp_path / "object-store"
    context.mkdir()
    shutil.copy(binaries.binary("versitygw"), context / "versitygw")
    (context / "Dockerfile").write_text("ARG BASE=python:3.13-slim\nFROM ${BASE}\nCOPY versitygw /versitygw\n")
    cluster.build_image(STORE_IMAGE, context=context)
    cluster.load_image(real_cluster, STORE_IMAGE)
    # A bucket is a folder of the server's.
    serve = f"mkdir -p /data/{BUCKET} /meta && exec /versitygw --port :{STORE_PORT} posix --sidecar /meta /data"
    container = {
        "image": STORE_IMAGE,
        "command": ["sh", "-c", serve],
        "env": [{"name": "ROOT_ACCESS_KEY", "value": "user"}, {"name": "ROOT_SECRET_KEY", "value": "password"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "meta", "mountPath": "/meta"}],
    }
    address = serve_from_pod(kubectl, "object-store", STORE_PORT, container, empty_folders=("data", "meta"))
    credentials = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "password"}
    variables = {**credentials, "AWS_ENDPOINT_URL": f"http://{address}:{STORE_PORT}"}
    kubectl.run(
        "create", "secret", "generic", "object-store", *(f"--from-literal={k}={v}" for k, v in variables.items())
    )
    return ObjectStore(f"s3://{BUCKET}/penstock", credentials)


def serve_from_pod(
    kubectl: Kubectl, name: str, port: int, container: Mapping[str, Any], *, empty_folders: tuple[str, ...] = ()
) -> str:
    """Have a container of a Pod serve a port, behind a Service of the same name; returns the Service's address."""
    container = {
        "name": "server",
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **container,
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": folder, "emptyDir": {}} for folder in empty_folders],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    metadata = {"name": name, "labels": {"app": name}}
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
    kubectl.wait(f"pod/{name}", "condition=Ready")
    kubectl.run("expose", "pod", name, f"--port={port}")
    address: str = kubectl.get("service", name)["spec"]["clusterIP"]
    return address
