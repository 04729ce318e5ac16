"""Reads that are repeated until they succeed: without their answer nothing can be decided."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, TypeVar

import msgspec

from penstock.kube.client import ApiClient, Response
from penstock.kube.errors import ApiError, ApiUnreachableError, is_not_found
from penstock.kube.resources import PODS, Resource
from penstock_operator.workloads.pod_status import Pod

logger = logging.getLogger(__name__)

READ_AGAIN_S: Final = 5.0

T = TypeVar("T")


class _PodList(msgspec.Struct, frozen=True):
    items: tuple[Pod, ...] = ()


_PODS: Final = msgspec.json.Decoder(_PodList)


class RetryingReader:
    """Reads objects until the API server answers.

    Args:
        client: the way to the API server.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def read_object(
        self, resource: Resource, namespace: str, name: str, decoder: msgspec.json.Decoder[T]
    ) -> T | None:
        """Read an object; None if there is none."""
        reply = await self._get(resource.path(namespace, name), {})
        return None if reply is None else decoder.decode(reply.body)

    async def list_pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Return the Pods of a namespace that a label selector selects, as they are now."""
        reply = await self._get(PODS.path(namespace), {"labelSelector": selector})
        return () if reply is None else _PODS.decode(reply.body).items

    async def _get(self, path: str, query: dict[str, str]) -> Response | None:
        while True:
            try:
                return await self._client.request("GET", path, query=query)
            except ApiError as error:
                if is_not_found(error):
                    return None
                logger.info("Failed to read %s; trying again: %s", path, error)
            except ApiUnreachableError as error:
                logger.info("Failed to read %s; trying again: %s", path, error)
            await asyncio.sleep(READ_AGAIN_S)
