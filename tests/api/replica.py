"""A replica of the operator as a process of its own, as a Deployment would run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from prometheus_client.parser import text_string_to_metric_families

from penstock.kube.lease import FIRST_EPOCH_FROM
from tests.api.account import account_kubeconfig

LEASE_NAMESPACE = "default"

STOP_S = 30
SHOWN_CHARACTERS = 20_000


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def make_released_lease(kubeconfig: Path, name: str) -> None:
    """Create a Lease that was released, if there is none."""
    epoch = int((datetime.now(UTC) - FIRST_EPOCH_FROM).total_seconds())
    body: Any = {"metadata": {"name": name}, "spec": {"holderIdentity": "", "leaseTransitions": epoch}}
    with kubernetes_config.new_client_from_config(str(kubeconfig)) as client:
        try:
            kubernetes_client.CoordinationV1Api(client).create_namespaced_lease(LEASE_NAMESPACE, body)
        except kubernetes_client.ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise


class Replica:
    """Runs from the start of the block to its end, unless the test ends it before.

    Nothing starts it again if it ends by itself, as a Deployment would: that fails the test. Its log is printed at the
    end, so that a test that fails shows it.

    Args:
        kubeconfig: of the API server, or of a proxy in front of it.
        folder: where the log goes.
        namespace: the one to watch; empty: all.
        lease: name of the Lease; replicas with the same one elect a leader.
        identity: name of the replica.
        options: further options.
        creates_lease: whether it makes a Lease that does not exist, and waits for seconds before; otherwise it finds
            one that was released.
    """

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        *,
        namespace: str,
        lease: str,
        identity: str = "",
        options: tuple = (),
        creates_lease: bool = False,
    ) -> None:
        self.identity = identity or f"replica-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.log_path = folder / f"{self.identity}.log"
        self._command = [
            sys.executable, "-m", "penstock_operator",
            "--namespace", namespace,
            "--lease-namespace", LEASE_NAMESPACE,
            "--lease-name", lease,
            "--identity", self.identity,
            "--bind-address", "127.0.0.1",
            "--http-port", str(self.port),
            *options,
        ]  # fmt: skip
        self._is_end_expected = False
        account = account_kubeconfig(kubeconfig)
        self._make_lease = (
            partial(make_released_lease, kubeconfig, lease) if account.exists() and not creates_lease else None
        )
        # A proxy's kubeconfig has none beside it: there the administrator's rights have to do.
        self._environment = os.environ | {"KUBECONFIG": str(account if account.exists() else kubeconfig)}

    def __enter__(self) -> Self:
        if self._make_lease is not None:
            self._make_lease()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        code = self._process.poll()
        if code is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            print(f"{self.identity} logged:\n{self.log[-SHOWN_CHARACTERS:]}")
        assert code is None or self._is_end_expected, f"{self.identity} ended by itself, exit code {code}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory_mib(self, field: str) -> float:
        """Return how much memory it has, `VmRSS`, or has had at most, `VmHWM`."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return float(fields[field].split()[0]) / 1024

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it without a chance to say or do anything more."""
        self._is_end_expected = True
        self._process.kill()
        self._process.wait()

    def signal_end(self) -> None:
        """Tell it to end, and do not wait for it."""
        self._is_end_expected = True
        self._process.terminate()

    def terminate(self) -> int:
        """Tell it to end, and return its exit code."""
        self._process.terminate()
        return self.wait()

    def pause(self) -> None:
        """Stop its time, as a machine does that swaps or migrates."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for it to end by itself, and return its exit code."""
        self._is_end_expected = True
        return self._process.wait(STOP_S)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as reply:
            text: str = reply.read().decode()
            return text

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until_metric(self, value: float, name: str, **labels: str) -> None:
        """Ask for a metric until it has a value: what is counted is counted a moment after others can see it."""
        ends_at = time.monotonic() + STOP_S
        while (seen := self.metric(name, **labels)) != value:
            assert time.monotonic() < ends_at, f"{name}{labels} is {seen:g} and not {value:g}"

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10) as reply:
                return bool(reply.status == 200)
        except urllib.error.HTTPError:
            return False
