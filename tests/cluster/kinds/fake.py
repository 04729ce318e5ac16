"""`fake`: a control plane and nodes that only exist on paper, whose Pods kwok moves through their phases.

It needs neither root nor containers. What a Pod does is written in its annotations: see stages.yaml.
"""

import sys
from pathlib import Path
from urllib.error import HTTPError

from tests.cluster import binaries, network
from tests.cluster.cache import locked
from tests.cluster.component import Component, Health, wait_ready
from tests.cluster.component import start as start_component
from tests.cluster.control_plane import api_server, components, kubeconfig_of, prepare, start_control_plane
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.nodes import node_health, wait_nodes_ready, wait_pods_welcome
from tests.cluster.plan import LOOPBACK, Plan, make_plan
from tests.cluster.process import Processes
from tests.cluster.progress import say

STAGES = Path(__file__).parent.parent / "stages.yaml"
BINARIES = (*binaries.CONTROL_PLANE, "kwok")
NODE_LEASE_S = 40
NODE_TIMEOUT_S = 30.0


def refusal() -> str | None:
    """Any Linux will do."""
    return None if sys.platform == "linux" else "fake clusters are made of Linux processes: use --kind kind"


def start(*, name: str, state_dir: Path, nodes: int) -> None:
    """Start the control plane, the nodes and kwok."""
    binaries.build(BINARIES)
    with locked("addresses"):
        plan = make_plan(name=name, kind="fake", state_dir=state_dir, nodes=nodes, networks=network.used_networks())
        plan.save()
    prepare(plan)
    processes = Processes(state_dir)
    start_control_plane(plan, processes)
    start_component(kwok(plan), processes)
    _create_nodes(plan)
    wait_ready([*components(plan), kwok(plan)], processes)
    wait_nodes_ready(api_server(plan), count=nodes, timeout_s=NODE_TIMEOUT_S)
    wait_pods_welcome(api_server(plan))


def stop(state_dir: Path) -> None:
    """End its processes, the API server's clients first."""
    processes = Processes(state_dir)
    for name in reversed(processes.names()):
        processes.stop(name)
    if orphans := processes.stop_orphans():
        say(f"ended {len(orphans)} processes without a pid file")


def health(state_dir: Path) -> list[Health]:
    """Of each process and node."""
    plan = Plan.must_load(state_dir)
    processes = Processes(state_dir)
    parts = [component.health(processes) for component in [*components(plan), kwok(plan)]]
    return [*parts, *node_health(api_server(plan))]


def cluster(state_dir: Path) -> Cluster:
    """How to use it."""
    return Cluster.of_plan(Plan.must_load(state_dir), bin_dir=binaries.build(["kubectl"]))


def load_image(state_dir: Path, image: str) -> None:
    """Nothing to do."""
    say(f"{image}: the nodes of {state_dir.name!r} are fake and run no image, so there is nothing to load")


def kwok(plan: Plan) -> Component:
    """What moves the Pods of fake nodes through their phases."""
    address = f"{LOOPBACK}:{plan.ports['kwok']}"
    command: list[str | Path] = [
        binaries.path_of("kwok"),
        f"--kubeconfig={kubeconfig_of(plan, 'kwok')}",
        f"--config={STAGES}",
        "--manage-all-nodes",
        f"--node-lease-duration-seconds={NODE_LEASE_S}",
        f"--cidr={plan.pod_cidr}",
        f"--server-address={address}",
        "--v=WARN",
    ]
    return Component.with_health_url("kwok", command, f"http://{address}/healthz")


def _create_nodes(plan: Plan) -> None:
    server = api_server(plan)
    for index in range(plan.nodes):
        name = f"{plan.name}-{index}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        try:
            server.call("POST", "/api/v1/nodes", node)
        except HTTPError as error:
            raise ClusterError(f"creating node {name} failed: {error.read().decode()}") from error
