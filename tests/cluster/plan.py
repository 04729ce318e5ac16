"""What is decided about a cluster of this machine before anything of it starts: ports, addresses, names.

Two clusters must not clash silently, so a choice avoids both what is in use on the machine and what other clusters of
the cache have written down, running or not.
"""

import ipaddress
import json
import secrets
import socket
import zlib
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir
from tests.cluster.errors import ClusterError

# Below the range that the kernel gives to outgoing connections, and below the one of Kubernetes' node ports.
FIRST_PORT, LAST_PORT = 20000, 29999
PORT_NAMES = (
    "etcd",
    "etcd-peer",
    "apiserver",
    "controller-manager",
    "scheduler",
    "kwok",
    "kubelet",
    "kubelet-health",
    "proxy-health",
    "proxy-metrics",
)
# The second number of 10.N.0.0/16, of which a cluster takes one as a whole.
FIRST_NET, LAST_NET = 200, 249
LOOPBACK = "127.0.0.1"
FILE = "cluster.json"


@dataclass(frozen=True)
class Plan:
    """The decisions for one cluster.

    Attributes:
        name: of the cluster.
        kind: `fake` or `bare`.
        state_dir: where everything of it is kept.
        ports: by the names of `PORT_NAMES`, one block of ten.
        net: N of 10.N.0.0/16.
        nodes: how many fake nodes.
        token: the administrator's.
    """

    name: str
    kind: str
    state_dir: Path
    ports: dict[str, int]
    net: int
    nodes: int
    token: str

    @property
    def host(self) -> str:
        """The address of the API server; Pods must reach it, so a loopback one serves fake nodes only."""
        return LOOPBACK if self.kind == "fake" else self.node_address

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.ports['apiserver']}"

    @property
    def node_address(self) -> str:
        return f"10.{self.net}.255.1"

    @property
    def pod_cidr(self) -> str:
        return f"10.{self.net}.0.0/17"

    @property
    def service_cidr(self) -> str:
        return f"10.{self.net}.128.0/18"

    @property
    def service_address(self) -> str:
        """The first of the range, which Kubernetes gives to the API server itself."""
        return f"10.{self.net}.128.1"

    @property
    def node_bridge(self) -> str:
        """The interface that carries the node's address; the kernel's limit is 15 characters."""
        return f"pst{self.net}node"

    @property
    def pod_bridge(self) -> str:
        return f"pst{self.net}pods"

    @property
    def kubeconfig(self) -> Path:
        return self.state_dir / "kubeconfig"

    @property
    def certificates(self) -> Path:
        return self.state_dir / "certificates"

    def save(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        fields = asdict(self) | {"state_dir": str(self.state_dir)}
        file = self.state_dir / FILE
        file.touch(mode=0o600)
        file.write_text(json.dumps(fields, indent=1))

    @classmethod
    def must_load(cls, state_dir: Path) -> "Plan":
        """The plan of a state folder.

        Raises:
            ClusterError: it has none.
        """
        if plan := cls.load(state_dir):
            return plan
        raise ClusterError(f"{state_dir} holds no cluster that can be read: run `down --name {state_dir.name}`")

    @classmethod
    def load(cls, state_dir: Path) -> "Plan | None":
        """The plan of a state folder; None when it has none that can be read."""
        try:
            fields = json.loads((state_dir / FILE).read_text())
            return cls(**fields | {"state_dir": Path(fields["state_dir"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def make_plan(*, name: str, kind: str, state_dir: Path, nodes: int, networks: Collection[str]) -> Plan:
    """Choose for a new cluster; to be called, and its result saved, under a lock.

    Args:
        name: of the cluster; the choice begins at a place that depends on it, so it is mostly the same each time.
        kind: `fake` or `bare`.
        state_dir: where its things go.
        nodes: how many fake nodes.
        networks: CIDRs that this machine has addresses in or routes to.

    Raises:
        ClusterError: everything is taken.
    """
    others = [other for other in saved_plans() if other.name != name]
    return Plan(
        name=name,
        kind=kind,
        state_dir=state_dir,
        ports=choose_ports(name, taken={port for other in others for port in other.ports.values()}),
        net=choose_net(name, networks=networks, taken={other.net for other in others}),
        nodes=nodes,
        token=secrets.token_hex(16),
    )


def saved_plans() -> Iterator[Plan]:
    """Those of all clusters of the cache."""
    for file in (cache_dir() / "clusters").glob(f"*/{FILE}"):
        if plan := Plan.load(file.parent):
            yield plan


def choose_ports(name: str, *, taken: Collection[int]) -> dict[str, int]:
    """A block of ports, none of them taken or in use."""
    blocks = range(FIRST_PORT, LAST_PORT, len(PORT_NAMES))
    for block in _rotated(name, blocks):
        ports = range(block, block + len(PORT_NAMES))
        if not any(port in taken for port in ports) and all(is_free_port(port) for port in ports):
            return dict(zip(PORT_NAMES, ports, strict=True))
    raise ClusterError(f"no {len(PORT_NAMES)} free ports side by side from {FIRST_PORT} to {LAST_PORT}: stop a cluster")


def choose_net(name: str, *, networks: Collection[str], taken: Collection[int]) -> int:
    """N of a 10.N.0.0/16 that overlaps with no network and is not taken."""
    used = [ipaddress.ip_network(network, strict=False) for network in networks]
    for net in _rotated(name, range(FIRST_NET, LAST_NET + 1)):
        mine = ipaddress.ip_network(f"10.{net}.0.0/16")
        if net not in taken and not any(mine.overlaps(network) for network in used if network.version == 4):
            return net
    raise ClusterError(
        f"every network from 10.{FIRST_NET}.0.0/16 to 10.{LAST_NET}.0.0/16 overlaps with a route or address here: "
        "stop a cluster or a VPN"
    )


def _rotated(name: str, choices: range) -> Iterator[int]:
    start = zlib.crc32(name.encode()) % len(choices)
    yield from choices[start:]
    yield from choices[:start]


def is_free_port(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose old connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
