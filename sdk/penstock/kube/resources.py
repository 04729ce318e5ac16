"""Where each kind of object lives in the API server."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from penstock.api import names

_NOT_NAMES: Final = frozenset({"", ".", ".."})
"""Names that a URL takes for the collection, or for what is above it."""


class Resource(NamedTuple):
    """A kind of object, by the words of its URL."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str

    def path(self, namespace: str = "", name: str | None = None, subresource: str = "") -> str:
        """Build the path of a collection, an object or its subresource.

        Args:
            namespace: empty for all namespaces (collections only).
            name: None for the collection.
            subresource: such as `status`.

        Raises:
            ValueError: the name would lead to another path.
        """
        path = _collection(self, namespace)
        if name is not None:
            if name in _NOT_NAMES:
                raise ValueError(f"{name!r} is not a valid object name")
            path += f"/{quote(name, safe='')}"
        if subresource:
            path += f"/{subresource}"
        return path


@lru_cache(maxsize=4096)
def _collection(resource: Resource, namespace: str) -> str:
    path = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if namespace:
        path += f"/namespaces/{quote(namespace, safe='')}"
    return f"{path}/{resource.plural}"


FLOWS: Final = Resource(names.GROUP, names.VERSION, "flows")
FLOWRUNS: Final = Resource(names.GROUP, names.VERSION, "flowruns")
SCHEDULES: Final = Resource(names.GROUP, names.VERSION, "schedules")
BACKFILLS: Final = Resource(names.GROUP, names.VERSION, "backfills")
FLOW_DEFAULTS: Final = Resource(names.GROUP, names.VERSION, "flowdefaults")
PODS: Final = Resource("", "v1", "pods")
SECRETS: Final = Resource("", "v1", "secrets")
JOBS: Final = Resource("batch", "v1", "jobs")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims")
CONFIGMAPS: Final = Resource("", "v1", "configmaps")
EVENTS: Final = Resource("events.k8s.io", "v1", "events")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
ACCESS_REVIEWS: Final = Resource("authorization.k8s.io", "v1", "localsubjectaccessreviews")


class RequestLabels(NamedTuple):
    """What a request is, in the words of metrics and of Kubernetes' audit log."""

    verb: str
    resource: str


_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def request_labels(method: str, path: str, *, is_watch: bool = False) -> RequestLabels:
    """Return the labels of a request: a bounded set, so that they can label a metric.

    Args:
        method: HTTP method.
        path: as `Resource.path` builds it.
        is_watch: the request is for a stream of changes.
    """
    parts = path.split("/")
    at = 3 if parts[1] == "api" else 4
    if len(parts) > at + 2 and parts[at] == "namespaces":
        at += 2
    resource = parts[at] if len(parts) > at else ""
    if len(parts) > at + 2:
        resource = f"{resource}/{parts[at + 2]}"
    if is_watch:
        return RequestLabels("watch", resource)
    verb = _VERBS.get(method) or ("get" if len(parts) > at + 1 else "list")
    return RequestLabels(verb, resource)
