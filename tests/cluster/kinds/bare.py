"""`bare`: a real cluster of one node made of processes of this machine. It takes root on Linux, not Docker.

One at a time on a machine, and none beside another node: see claim.py.
"""

import os
import sys
from pathlib import Path

from tests.cluster import base_image, binaries, claim, containerd, debian, leftovers, network, node
from tests.cluster.cache import locked
from tests.cluster.component import Component, Health, wait_ready
from tests.cluster.component import start as start_component
from tests.cluster.control_plane import api_server, components, prepare, start_control_plane
from tests.cluster.handle import Cluster
from tests.cluster.image import archived
from tests.cluster.nodes import node_health, wait_nodes_ready, wait_pods_welcome
from tests.cluster.plan import Plan, make_plan
from tests.cluster.process import Processes, running
from tests.cluster.progress import say

PROGRAMS = (
    debian.CONTAINERD,
    debian.RUNC,
    debian.CNI_BRIDGE,
    debian.IPTABLES,
    debian.IP,
    debian.OPENSSL,
    debian.BUSYBOX,
)
IMAGE_PROGRAMS = (debian.DEBOOTSTRAP,)
BINARIES = (*binaries.CONTROL_PLANE, *binaries.NODE)
NODE_PROGRAMS = {"kubelet", "kube-proxy", "k3s", "k0s", "rke2"}
NODE_TIMEOUT_S = 60.0


def refusal() -> str | None:
    """Root on Linux, the programs or a way to install them, and no other node on this machine."""
    if sys.platform != "linux":
        return "it is made of Linux processes: use --kind kind"
    if os.geteuid() != 0:
        return "it takes root: run this with sudo, or use --kind kind or fake"
    if missing := debian.missing_refusal([*PROGRAMS, *IMAGE_PROGRAMS]):
        return missing
    return _occupied()


def start(*, name: str, state_dir: Path, nodes: int) -> None:
    """Start control plane, containerd, kubelet and kube-proxy, and load the base image."""
    containerd.check_path_length(state_dir)
    debian.install(PROGRAMS)
    binaries.build(BINARIES)
    archives = [base_image.pause_archive(), base_image.base_archive()]
    _free_the_machine()
    claim.take(state_dir)
    with locked("addresses"):
        plan = make_plan(name=name, kind="bare", state_dir=state_dir, nodes=1, networks=network.used_networks())
        plan.save()
    prepare(plan)
    containerd.write_config(plan)
    node.write_config(plan)
    network.add_interfaces(plan)
    processes = Processes(state_dir)
    runtime = containerd.component(plan)
    start_component(runtime, processes)
    start_control_plane(plan, processes)
    wait_ready([runtime], processes)
    for archive in archives:
        containerd.import_image(state_dir, archive)
    for component in (node.kubelet(plan), node.proxy(plan)):
        start_component(component, processes)
    wait_ready(_components(plan), processes)
    wait_nodes_ready(api_server(plan), count=1, timeout_s=NODE_TIMEOUT_S)
    wait_pods_welcome(api_server(plan))


def stop(state_dir: Path) -> None:
    """End every process and container, and give the machine back its network, mounts and cgroups."""
    processes = Processes(state_dir)
    # What has the same name for every cluster is only touched by the one that has the machine.
    has_machine = _has_machine(state_dir)
    # First those that would start something again.
    for name in ("kubelet", "kube-proxy"):
        processes.stop(name)
    if processes.is_alive("containerd"):
        containerd.remove_containers(state_dir)
    if has_machine:
        leftovers.kill_pod_processes()
    for name in reversed(processes.names()):
        processes.stop(name)
    processes.stop_orphans()
    leftovers.unmount_below(state_dir)
    if has_machine:
        leftovers.remove_pod_cgroups()
        node.clean_up_proxy()
        network.remove_kubernetes_chains()
    if plan := Plan.load(state_dir):
        network.remove_interfaces(plan)
    claim.release(state_dir)


def health(state_dir: Path) -> list[Health]:
    """Of each process and of the node."""
    plan = Plan.must_load(state_dir)
    processes = Processes(state_dir)
    parts = [component.health(processes) for component in _components(plan)]
    return [*parts, *node_health(api_server(plan))]


def cluster(state_dir: Path) -> Cluster:
    """How to use it."""
    return Cluster.of_plan(Plan.must_load(state_dir), bin_dir=binaries.build(["kubectl"]))


def load_image(state_dir: Path, image: str) -> None:
    """Import it into containerd."""
    with archived(image) as archive:
        containerd.import_image(state_dir, archive)
    say(f"loaded {image}")


def _components(plan: Plan) -> list[Component]:
    return [*components(plan), containerd.component(plan), node.kubelet(plan), node.proxy(plan)]


def _has_machine(state_dir: Path) -> bool:
    found = claim.current()
    return found is not None and found.state_dir == state_dir


def _occupied() -> str | None:
    """Who else is a node on this machine."""
    if found := claim.current():
        # One that died is cleaned up after on the way.
        return found.refusal if found.is_live else None
    for program, pid in running(NODE_PROGRAMS):
        return f"{program} (pid {pid}) runs here, and a machine can be one node only: use --kind existing or fake"
    return None


def _free_the_machine() -> None:
    found = claim.current()
    if found and not found.is_live:
        say(f"cluster {found.state_dir.name!r} died without `down`: cleaning up after it")
        stop(found.state_dir)
