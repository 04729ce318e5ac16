"""How soon work continues after a failure, on a cluster with fake nodes of which the API server is killed.

    .venv/bin/python -m bench.recovery [--rounds 5] [--only outage] [--away 60] [--json FILE]

Two replicas with the default times of the Lease; one that ends is started again under another name, as a Pod that was
replaced. A run of one task is created at the moment that counts, and the time goes until its Pod exists.

outage      the API server is killed and away for a minute; the time goes from the first request that it accepts
killed      the leader gets SIGKILL
terminated  the leader gets SIGTERM
paused      the leader gets SIGSTOP, and half a minute later SIGCONT; counted is what it writes after that
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

from bench.page import machine, rows
from bench.shapes import API_VERSION, IMAGE
from penstock.api import names
from penstock.kube.connection import Connection
from tests import cluster
from tests.api.faults import Seen
from tests.api.proxy import Proxy
from tests.api.replica import Replica
from tests.chaos.control_plane import ControlPlane
from tests.cluster.handle import Cluster

POLL_S: Final = 0.02
LIMIT_S: Final = 120.0
PAUSE_S: Final = 30.0
CALM_S: Final = 5.0
"""Between two rounds."""
LEASE: Final = "recovery"
LEASE_PATH: Final = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{LEASE}"
RUNS: Final = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/default/flowruns"
PODS: Final = "/api/v1/namespaces/default/pods"


def is_write(seen: Seen) -> bool:
    """Whether a request could change anything."""
    return seen.method != "GET"


class Member:
    """One replica of a Deployment, behind a proxy that counts what it sends."""

    def __init__(self, label: str, connection: Connection, folder: Path) -> None:
        self.proxy = Proxy(connection, folder / label)
        self.proxy.__enter__()
        self._label = label
        self._folder = folder
        self._starts = 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self.replica = Replica(
            self.proxy.kubeconfig, self._folder, namespace="", lease=LEASE, identity=f"{self._label}-{self._starts}"
        )
        self.replica.__enter__()

    def keep_running(self) -> None:
        """Start it again if it has ended."""
        if self.replica.has_ended:
            self.replica.wait()
            self._start()

    def close(self) -> None:
        """End it."""
        if not self.replica.has_ended:
            self.replica.terminate()
        self.proxy.__exit__(None, None, None)


class Recovery:
    """The cluster and the replicas.

    Args:
        up: a cluster of its own.
        folder: for logs.
        away_s: how long the API server is away.
    """

    def __init__(self, up: Cluster, folder: Path, *, away_s: float) -> None:
        self.plane = ControlPlane(up)
        self._away_s = away_s
        self.plane.prepare()
        connection = self.plane.install()
        labels = ("one", "two")
        for label in labels:
            (folder / label).mkdir()
        self.members = [Member(label, connection, folder) for label in labels]

    def close(self) -> None:
        """End the replicas."""
        for member in self.members:
            member.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self.plane.server.call(method, path, body, timeout_s=2)
        except (HTTPError, OSError, ValueError):
            return None

    def until(self, condition: Callable[[], Any], what: str, within_s: float = LIMIT_S) -> float:
        """Wait for something, keeping everything running; returns when it was, on the monotonic clock."""
        ends_at = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > ends_at:
                raise SystemExit(f"waited {within_s:g} s for {what}")
            self.keep_running()
            time.sleep(POLL_S)
        return time.monotonic()

    def keep_running(self) -> None:
        """Start again what has ended."""
        self.plane.keep_running()
        for member in self.members:
            member.keep_running()

    def calm(self) -> Member:
        """Wait until a replica leads and works, and both have run for a while; returns the leader."""
        self.first_pod()
        self.until(lambda: all("is starting" in one.replica.log for one in self.members), "both to have started")
        self.wait(CALM_S)
        holder = self._call("GET", LEASE_PATH)["spec"]["holderIdentity"]
        return next(member for member in self.members if member.replica.identity == holder)

    def wait(self, pause_s: float) -> None:
        """Let time pass."""
        ends_at = time.monotonic() + pause_s
        self.until(lambda: time.monotonic() >= ends_at, "time to pass", pause_s + LIMIT_S)

    def first_pod(self, since: float | None = None) -> float:
        """Create a run; returns the seconds until its Pod is there, by default from when the run was accepted."""
        name = f"run-{uuid.uuid4().hex[:8]}"
        spec = {"flowSpec": {"tasks": [{"name": "main", "image": IMAGE}]}}
        body = {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}
        accepted_at = self.until(lambda: self._call("POST", RUNS, body), "the API server")
        path = f"{PODS}?labelSelector={names.LABEL_RUN}={name}"
        there_at = self.until(lambda: (self._call("GET", path) or {}).get("items"), f"the first Pod of {name}")
        return there_at - (accepted_at if since is None else since)

    # What is measured

    def outage(self) -> float:
        """Kill the API server, and start it a minute later; seconds from its first answer to the first Pod."""
        self.calm()
        self.plane.kill("apiserver")
        self.wait(self._away_s)
        self.plane.bring_back("apiserver")
        return self.first_pod()

    def killed(self) -> float:
        """Kill the leader; seconds to the first Pod."""
        leader = self.calm()
        leader.replica.kill()
        return self.first_pod(time.monotonic())

    def terminated(self) -> float:
        """Terminate the leader; seconds to the first Pod."""
        leader = self.calm()
        leader.replica.signal_end()
        return self.first_pod(time.monotonic())

    def paused(self) -> float:
        """Stop the leader's time while it is at work; number of its writes after that."""
        leader = self.calm()
        tasks = [{"name": "each", "image": IMAGE, "forEach": {"count": 200}, "maxParallel": 20}]
        tasks[0]["podTemplate"] = {"metadata": {"annotations": {"fake.penstock.dev/run-for": "1s"}}}
        body = {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"generateName": "many-"}}
        self._call("POST", RUNS, {**body, "spec": {"flowSpec": {"tasks": tasks}}})
        begun = leader.proxy.seen(is_write)
        self.until(lambda: leader.proxy.seen(is_write) > begun + 30, "the leader to be at work")
        leader.replica.pause()
        self.wait(PAUSE_S)
        sent = leader.proxy.seen(is_write)
        leader.replica.resume()
        ends_at = time.monotonic() + LIMIT_S
        while not leader.replica.has_ended:
            if time.monotonic() > ends_at:
                raise SystemExit("the paused leader does not end")
            time.sleep(POLL_S)
        written = leader.proxy.last(is_write, sent)
        print(*written, sep="\n", end="\n" if written else "")
        return float(len(written))


def main() -> None:
    """Measure, and print every value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measured = (Recovery.outage, Recovery.killed, Recovery.terminated, Recovery.paused)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=[one.__name__ for one in measured], action="append")
    parser.add_argument("--away", type=float, default=60.0, metavar="SECONDS", help="how long the API server is away")
    parser.add_argument("--json", type=Path, help="write the values to this file too")
    options = parser.parse_args()
    name = f"recovery-{os.getpid()}"
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            recovery = Recovery(cluster.up(name, "fake"), Path(folder), away_s=options.away)
            try:
                for one in measured:
                    if one.__name__ in (options.only or [one.__name__]):
                        found[one.__name__] = [round(one(recovery), 2) for _ in range(options.rounds)]
                        print(one.__name__, found[one.__name__], flush=True)
            finally:
                recovery.close()
        finally:
            cluster.down(name)
    table: list[dict[str, float | str]] = [
        {"what": what, "median": statistics.median(values), "most": max(values), "all": " ".join(map(str, values))}
        for what, values in found.items()
    ]
    print(f"{machine(options.rounds)}.\n\n{rows(table)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
