"""A real Prometheus that scrapes what a test runs."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import debian

SCRAPED_WITHIN_S = 60


class Prometheus:
    """Answers questions about what was scraped.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the vector that an expression has now, as in the API: metric and value each."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            result: list[dict[str, Any]] = json.load(reply)["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """Return the first value of an expression; 0 if it has none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else 0.0

    def settles_at_least(self, expression: str, wanted: float) -> bool:
        """Ask until the value is there or the time has passed: Prometheus does not report when it has scraped."""
        deadline = time.monotonic() + SCRAPED_WITHIN_S
        while time.monotonic() < deadline:
            if self.value(expression) >= wanted:
                return True
        return False


@contextmanager
def scraping(targets: Sequence[str], folder: Path, *, port: int) -> Iterator[Prometheus]:
    """Have a Prometheus scrape some addresses every second.

    Args:
        targets: host and port each.
        folder: for its data.
        port: for its own API.
    """
    configuration = folder / "prometheus.yaml"
    scrape = {"job_name": "penstock", "static_configs": [{"targets": list(targets)}]}
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
    command = [
        str(debian.prometheus()),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w+") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "prometheus.log")
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + SCRAPED_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            continue
    pytest.fail(f"Prometheus did not start: {log.read_text()[-2000:]}")
