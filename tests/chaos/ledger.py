"""The history of every object, in the order in which etcd stored it: no watch that broke can have missed any of it."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PREFIX = "/registry/"
END = "/registry/~end"
"""A key that is stored last, so that a reader knows when to stop."""
SILENCE_S = 60.0
WATCHED = {
    "pods": "pods",
    "jobs/batch": "jobs",
    "jobs": "jobs",
    "persistentvolumeclaims": "claims",
    "penstock.dev/flowruns": "flowruns",
    "penstock.dev/schedules": "schedules",
    "penstock.dev/backfills": "backfills",
}
API_SERVER_FLAGS = ("--storage-media-type=application/json", "--etcd-compaction-interval=0")
"""With which the API server stores objects so that they can be read here, and keeps all that it ever stored."""


class Change(NamedTuple):
    """One object, as one revision of etcd has it.

    Attributes:
        revision: of etcd.
        kind: its plural: pods, jobs, claims, flowruns, schedules or backfills.
        body: the object; None: it was deleted.
    """

    revision: int
    kind: str
    namespace: str
    name: str
    body: dict[str, Any] | None


def history(etcd: str) -> Iterator[Change]:
    """Read everything that was ever stored of the kinds in `WATCHED`.

    Args:
        etcd: URL of etcd's client port. Its JSON gateway is described at
            https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/.
    """
    put(etcd, {END: "{}"})
    request = {"key": _encode(PREFIX), "range_end": _encode(PREFIX[:-1] + "0"), "start_revision": "1"}
    with _call(etcd, "/v3/watch", {"create_request": request}) as lines:
        for line in lines:
            for event in json.loads(line)["result"].get("events", ()):
                key = base64.b64decode(event["kv"]["key"]).decode()
                if key == END:
                    return
                if change := _read(key, event):
                    yield change


def put(etcd: str, values: Mapping[str, str]) -> None:
    """Store values by their keys, past the API server.

    Each is a revision of its own, as everything that the API server stores: a watch that continues at a revision of
    several would miss the rest of them.
    """
    for key, value in values.items():
        _call(etcd, "/v3/kv/put", {"key": _encode(key), "value": _encode(value)}).read()


def _read(key: str, event: dict[str, Any]) -> Change | None:
    resource, _, rest = key.removeprefix(PREFIX).rpartition("/")
    resource, _, namespace = resource.rpartition("/")
    kind = WATCHED.get(resource)
    if kind is None:
        return None
    revision = int(event["kv"]["mod_revision"])
    body = None if event.get("type") == "DELETE" else json.loads(base64.b64decode(event["kv"]["value"]))
    return Change(revision, kind, namespace, rest, body)


def _call(etcd: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{etcd}{path}", data=json.dumps(body).encode(), method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(request, timeout=SILENCE_S)


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
