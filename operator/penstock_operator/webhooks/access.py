"""What the user of a request may read, by the API server's own word."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.kube.client import ApiClient
from penstock.kube.resources import ACCESS_REVIEWS, Resource
from penstock_operator.runtime.bounded import BoundedMap

REMEMBERED_S: Final = 30.0
REMEMBERED: Final = 1000
ANSWER_S: Final = 2.0
"""The API server waits for admission's answer, and the object must be read within the same time."""


class _AccessStatus(msgspec.Struct, frozen=True):
    allowed: bool = False


class _AccessReview(msgspec.Struct, frozen=True):
    status: _AccessStatus = _AccessStatus()


class _Answer(NamedTuple):
    asked_at: float
    is_allowed: bool


class AccessReviews:
    """Asks the API server, and remembers its answers for a moment.

    Reviews are `LocalSubjectAccessReview`, which a Role of one namespace can allow:
    https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access.

    Args:
        client: the way to the API server.
        clock: monotonic seconds.
    """

    def __init__(self, client: ApiClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._answers: BoundedMap[bytes, _Answer] = BoundedMap(REMEMBERED)
        self._asking: dict[bytes, asyncio.Task[bool]] = {}

    async def may_get(self, user: Mapping[str, Any], resource: Resource, namespace: str, name: str) -> bool:
        """Whether a user may read an object; the answer may be `REMEMBERED_S` seconds old.

        Args:
            user: `userInfo` of an AdmissionReview.
            resource: the object's kind.
            namespace: the object's.
            name: the object's.

        Raises:
            ApiError: the API server refused to say.
            ApiUnreachableError: it did not answer.
        """
        body = msgspec.json.encode(_review(user, resource, namespace, name), order="sorted")
        key = hashlib.sha256(body).digest()
        known = self._answers.get(key)
        if known is not None and self._clock() - known.asked_at < REMEMBERED_S:
            return known.is_allowed
        asking = self._asking.get(key)
        if asking is None:
            # A thousand runs that are created together ask once.
            asking = self._asking[key] = asyncio.create_task(self._ask(key, namespace, body))
            asking.add_done_callback(lambda task: self._on_answer(key, task))
        return await asyncio.shield(asking)

    async def _ask(self, key: bytes, namespace: str, body: bytes) -> bool:
        asked_at = self._clock()
        path = ACCESS_REVIEWS.path(namespace)
        reply = await self._client.request("POST", path, body=body, timeout_s=ANSWER_S, urgent=True)
        is_allowed = msgspec.json.decode(reply.body, type=_AccessReview).status.allowed
        self._answers.pop(key, None)
        self._answers[key] = _Answer(asked_at, is_allowed)
        return is_allowed

    def _on_answer(self, key: bytes, task: asyncio.Task[bool]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            # Whoever waited for it may have given up: then no other caller asks for its error.
            task.exception()


def _review(user: Mapping[str, Any], resource: Resource, namespace: str, name: str) -> dict[str, Any]:
    spec = {
        "user": user.get("username", ""),
        "uid": user.get("uid", ""),
        "groups": user.get("groups") or [],
        "extra": user.get("extra") or {},
        "resourceAttributes": {
            "verb": "get",
            "group": resource.group,
            "version": resource.version,
            "resource": resource.plural,
            "namespace": namespace,
            "name": name,
        },
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": spec,
    }
