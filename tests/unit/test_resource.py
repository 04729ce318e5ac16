from __future__ import annotations

import pytest

from penstock.kube.resources import FLOWRUNS, LEASES, PODS, Resource, request_labels

NAMESPACES = Resource("", "v1", "namespaces")


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("ns"), "/api/v1/namespaces/ns/pods"),
        (PODS.path("ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status"),
        (FLOWRUNS.path("ns", "a"), "/apis/penstock.dev/v1alpha1/namespaces/ns/flowruns/a"),
        (LEASES.path("ns"), "/apis/coordination.k8s.io/v1/namespaces/ns/leases"),
        (NAMESPACES.path(name="ns"), "/api/v1/namespaces/ns"),
        (PODS.path("ns", "../secrets/x"), "/api/v1/namespaces/ns/pods/..%2Fsecrets%2Fx"),
    ],
)
def test_paths(path, want):
    assert path == want


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_to_a_collection_is_refused(name):
    with pytest.raises(ValueError, match="is not a valid object name"):
        PODS.path("ns", name)


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("GET", PODS.path(), ("list", "pods")),
        ("GET", PODS.path("ns"), ("list", "pods")),
        ("GET", PODS.path("ns", "a"), ("get", "pods")),
        ("POST", PODS.path("ns"), ("create", "pods")),
        ("PATCH", FLOWRUNS.path("ns", "a", "status"), ("patch", "flowruns/status")),
        ("PUT", LEASES.path("ns", "a"), ("update", "leases")),
        ("DELETE", PODS.path("ns", "a"), ("delete", "pods")),
        ("GET", NAMESPACES.path(name="ns"), ("get", "namespaces")),
        ("GET", NAMESPACES.path(), ("list", "namespaces")),
        ("GET", "/version", ("list", "")),
    ],
)
def test_a_request_is_named_as_kubernetes_names_it(method, path, want):
    assert request_labels(method, path) == want


def test_a_watch_is_named_so():
    assert request_labels("GET", PODS.path(), is_watch=True) == ("watch", "pods")
