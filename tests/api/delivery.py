"""Signed deliveries to the operator's webhooks of Schedules, as a sender makes them."""

from __future__ import annotations

import base64
import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from penstock.engine.triggers.webhook_signature import sign

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Reply(NamedTuple):
    status: int
    body: Any


class Sender:
    """Posts deliveries."""

    def __init__(self, port: int, namespace: str) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}/events/{namespace}"

    def post(self, body: Any, *, to: str = "on/it", delivery: str = "msg_1", **changed: Any) -> Reply:
        """Post a delivery; `changed` are headers, `key` signs, `late_s` is its age."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = _signed_headers(content, delivery, **changed)
        request = urllib.request.Request(f"{self.base}/{to}", data=content, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return Reply(reply.status, json.loads(reply.read()))
        except urllib.error.HTTPError as error:
            return Reply(error.code, json.loads(error.read() or b"{}"))

    def send(self, *, to: str = "on/it", delivery: str = "msg_1") -> socket.socket:
        """Send a delivery of nothing, and return the connection, on which no answer has been read."""
        path = urllib.parse.urlsplit(f"{self.base}/{to}").path
        fields = {"Host": "x", "Content-Length": "2", **_signed_headers(b"{}", delivery)}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n{{}}".encode())
        return connection

    def wait(self) -> None:
        """Wait until the server listens."""
        ends_at = time.monotonic() + 30
        while time.monotonic() < ends_at:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionRefusedError:
                continue
            return
        raise AssertionError("no server listens for webhooks")


def _signed_headers(content: bytes, delivery: str, **changed: Any) -> dict[str, str]:
    timestamp = int(time.time()) - int(changed.pop("late_s", 0))
    signature = base64.b64encode(sign(delivery, timestamp, content, changed.pop("key", KEY))).decode()
    headers = {"id": delivery, "timestamp": str(timestamp), "signature": f"v1,{signature}"} | changed
    return {f"webhook-{name}": value for name, value in headers.items()}
