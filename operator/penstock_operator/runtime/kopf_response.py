"""Replies of the API server as kopf reads them: none is nested too deeply for kopf to decode and to copy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from penstock.kube.lines import LineSplitter
from penstock.kube.nesting import cut_depth

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class KopfResponse(aiohttp.ClientResponse):
    """A reply that kopf decodes as a whole, or line by line if it is a watch.

    An error in either ends kopf, and with it the leader.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the headers, and have the body of a watch read through `_ShallowLines`."""
        await super().start(connection)
        self.content = cast("aiohttp.StreamReader", _ShallowLines(self.content))
        return self

    async def json(self, **_: Any) -> Any:
        """Decode the body, of whatever type."""
        return json.loads(cut_depth(await self.read()))


class _ShallowLines:
    """A stream of lines of JSON; whatever else a stream can do, the stream itself does."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        splitter = LineSplitter()
        async for piece in self._stream.iter_chunked(size):
            for line in splitter.feed(piece):
                yield cut_depth(line) + b"\n"
