"""Reads a reply of HTTP/1.1 from the pieces in which it comes. Pure.

Only what a reply to one of our requests may be: RFC 9112, without HEAD, compression and upgrades. What is ambiguous
about its length is refused, because the rest of it would be taken for the next reply.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_CHUNK_LINE_BYTES: Final = 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_BODY: Final = frozenset({204, 304})


class InvalidReplyError(ConnectionError):
    """What came is not a reply that can be read: the connection is of no further use."""


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    retry_after: str
    """The header Retry-After; empty if there is none."""
    body: bytes
    is_last: bool
    """Whether the server closes the connection after it."""


class _Head(NamedTuple):
    status: int
    retry_after: str
    length: int | None
    """None: chunked, or until the connection is closed."""
    is_chunked: bool
    is_last: bool


class ReplyReader:
    """Collects one reply."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._at = 0
        """Where in the buffer the next chunk begins."""
        self._chunks: list[bytes] = []

    def feed(self, piece: bytes) -> Reply | None:
        """Add what has come; returns the reply once it is whole.

        Raises:
            InvalidReplyError: it is not a reply, or more than one.
        """
        self._buffer += piece
        head = self._head or self._read_head()
        if head is None:
            return None
        if head.is_chunked:
            return self._read_chunks(head)
        if head.length is None or len(self._buffer) < head.length:
            return None
        # Not a slice of the buffer itself: it would be a copy, and the bytes of it another.
        return self._whole(head, bytes(memoryview(self._buffer)[: head.length]), head.length)

    def finish(self) -> Reply | None:
        """Return the reply when the server has closed the connection; None if it is not whole."""
        head = self._head
        if head is None or head.is_chunked or head.length is not None:
            return None
        return self._whole(head, bytes(self._buffer), len(self._buffer))

    def _whole(self, head: _Head, body: bytes, end: int) -> Reply:
        if len(self._buffer) > end:
            raise InvalidReplyError("the server sent more than a reply")
        return Reply(head.status, head.retry_after, body, head.is_last)

    def _read_head(self) -> _Head | None:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
                raise InvalidReplyError(f"the head of the reply exceeds {MAX_HEAD_BYTES} bytes")
            if end < 0:
                return None
            head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            # Others only announce the reply.
            if head.status >= 200:  # noqa: PLR2004 - RFC 9110, 15.2: the first final status
                self._head = head
                return head

    def _read_chunks(self, head: _Head) -> Reply | None:
        buffer = self._buffer
        while True:
            line_end = buffer.find(b"\r\n", self._at)
            if line_end < 0:
                if len(buffer) - self._at > MAX_CHUNK_LINE_BYTES:
                    raise InvalidReplyError("a chunk of the reply has no size")
                return None
            text = bytes(buffer[self._at : line_end]).partition(b";")[0].strip()
            if _HEX.fullmatch(text) is None:
                raise InvalidReplyError("the size of a chunk of the reply is not a number")
            size = int(text, 16)
            if not size:
                # Trailers may follow, then an empty line.
                end = buffer.find(b"\r\n\r\n", line_end)
                return None if end < 0 else self._whole(head, b"".join(self._chunks), end + 4)
            start = line_end + 2
            if len(buffer) < start + size + 2:
                return None
            if buffer[start + size : start + size + 2] != b"\r\n":
                raise InvalidReplyError("a chunk of the reply is longer than its size")
            self._chunks.append(bytes(buffer[start : start + size]))
            self._at = start + size + 2


def _parse_head(text: bytes) -> _Head:
    status_line, *lines = text.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise InvalidReplyError("the server did not answer with HTTP/1.1")
    status, fields = int(match[2]), _read_fields(lines)
    length, is_chunked = _read_length(fields)
    if status in _NO_BODY:
        length, is_chunked = 0, False
    is_last = (
        match[1] == b"0" or (length is None and not is_chunked) or b"close" in fields.get(b"connection", b"").lower()
    )
    return _Head(status, fields.get(b"retry-after", b"").decode("latin-1"), length, is_chunked, is_last)


def _read_fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Return the headers by their names in lower case; of several of one name all values, as a list."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            raise InvalidReplyError("a header of the reply cannot be read")
        field, value = name.lower(), value.strip()
        fields[field] = value if field not in fields else b", ".join((fields[field], value))
    return fields


def _read_length(fields: dict[bytes, bytes]) -> tuple[int | None, bool]:
    """Return the length of the body, None if no header has it, and whether it comes in chunks."""
    length, encoding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if encoding is not None:
        if length is not None or encoding.lower() != b"chunked":
            raise InvalidReplyError("the length of the reply is ambiguous")
        return None, True
    if length is None:
        return None, False
    if _LENGTH.fullmatch(length) is None:
        raise InvalidReplyError("the length of the reply cannot be read")
    return int(length), False
