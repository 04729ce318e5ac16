"""Replies as they come over a connection: in pieces, and only if their length is beyond doubt."""

import tracemalloc

import pytest

from penstock.kube.http_reply import MAX_HEAD_BYTES, InvalidReplyError, ReplyReader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

WHOLE = [
    pytest.param(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", (201, "", b"{}", False), id="of a length"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", (200, "", b"", False), id="without a body"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", (204, "", b"", False), id="that has no body"),
    pytest.param(
        CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", (200, "", b"abc0123456789", False), id="chunked"
    ),
    pytest.param(CHUNKED + b"1\r\na\r\n0\r\nX: y\r\n\r\n", (200, "", b"a", False), id="with trailers"),
    pytest.param(
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        (429, "7", b"x", True),
        id="after which the server closes the connection",
    ),
    pytest.param(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        (200, "", b"x", False),
        id="that was announced",
    ),
]


@pytest.mark.parametrize(("text", "want"), WHOLE)
def test_a_reply_is_read_however_it_is_cut(text, want):
    assert ReplyReader().feed(text) == want
    reader = ReplyReader()
    assert [reader.feed(text[at : at + 1]) for at in range(len(text))] == [None] * (len(text) - 1) + [want]


def test_a_reply_without_a_length_ends_with_the_connection():
    reader = ReplyReader()
    assert reader.feed(b"HTTP/1.0 503 Service Unavailable\r\n\r\nno ") is None
    assert reader.feed(b"server") is None
    assert reader.finish() == (503, "", b"no server", True)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", id="of a length"),
        pytest.param(CHUNKED + b"1\r\na\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="its head"),
    ],
)
def test_a_part_of_a_reply_is_not_a_reply(text):
    reader = ReplyReader()
    assert reader.feed(text) is None
    assert reader.finish() is None


def test_a_body_is_copied_once():
    body = b"x" * 2**22
    reader = ReplyReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)) is None
    tracemalloc.start()
    try:
        reply = reader.feed(body)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reply is not None
    assert reply.body == body
    # What was collected, and the bytes that are returned.
    assert peak_bytes < 2.5 * len(body)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200", id="more than one reply"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", id="both lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="an encoding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", id="no header"),
        pytest.param(CHUNKED + b"-1\r\n", id="no size of a chunk"),
        pytest.param(CHUNKED + b"1\r\nabc", id="a chunk that is longer than its size"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a" * MAX_HEAD_BYTES, id="a head without end"),
    ],
)
def test_what_is_ambiguous_is_refused(text):
    with pytest.raises(InvalidReplyError):
        ReplyReader().feed(text)
