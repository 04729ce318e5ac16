"""A cluster whose Pods run, with Penstock installed by its chart, as a user would have it.

The variable CLUSTER chooses the kind (auto, kind, bare, existing). PENSTOCK_TEST_CLUSTER names a cluster that is up
already; it is kept, and the operator in it is upgraded to the code of this work tree.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cluster
from tests.e2e.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
IMAGE = "penstock:e2e"
PYTHON_IMAGE = "docker.io/library/python:3.13-slim"
SYSTEM_NAMESPACE = "penstock-system"
NAME_VARIABLE = "PENSTOCK_TEST_CLUSTER"


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[cluster.Cluster]:
    """A cluster with the images that the tests need."""
    name = os.environ.get(NAME_VARIABLE)
    kept = name is not None
    name = name or f"e2e-{os.getpid()}"
    try:
        running = cluster.up(name, os.environ.get("CLUSTER", "auto"))
        if not running.runs_containers:
            pytest.fail("no cluster whose Pods run can be started here: be root on Linux, or have a Docker engine")
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


@pytest.fixture
def namespace(admin: Kubectl, penstock: str) -> Iterator[str]:
    """A namespace of the test's own, under the `restricted` Pod Security Standard."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    admin.run("create", "namespace", name)
    admin.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    admin.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def kubectl(admin: Kubectl, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""
    return admin.in_namespace(namespace)
