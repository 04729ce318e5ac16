"""The few calls that starting a cluster makes to its API server, without a client library."""

import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

POLL_S = 0.05
REQUEST_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class ApiServer:
    """An API server with an administrator's token."""

    url: str
    ca: Path
    token: str

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        """The decoded answer to one request.

        Raises:
            urllib.error.HTTPError: it answered with an error.
            OSError: it did not answer.
        """
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
        )
        with self._opener.open(request, timeout=timeout_s) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return bool(self.call("GET", "/readyz") == "ok")
        except (OSError, http.client.HTTPException):
            return False

    def nodes(self) -> dict[str, bool]:
        """Each node, and whether it is ready."""
        return {
            node["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"].get("conditions", [])
            )
            for node in self.call("GET", "/api/v1/nodes")["items"]
        }

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self.ca)
        # No proxy: the server is on this machine, whatever the environment says.
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )


def answers(url: str) -> bool:
    """Whether a health endpoint on this machine says 200; its certificate, self-signed at its start, is not checked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=HEALTH_TIMEOUT_S) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, http.client.HTTPException):
        return False


def wait_until(condition: Callable[[], bool], *, timeout_s: float, explain: Callable[[], str]) -> None:
    """Ask again and again until it holds.

    Args:
        condition: what to wait for; may raise ClusterError to give up at once.
        timeout_s: how long.
        explain: what to say when it does not come to hold.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise ClusterError(explain())
        time.sleep(POLL_S)
