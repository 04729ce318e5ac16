"""The machine's network: what it is used for, and what a `bare` cluster adds to it and takes away again."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.command import must_run, run
from tests.cluster.debian import IP, IPTABLES
from tests.cluster.plan import Plan

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# Where `down` finds what forwarding was before.
FORWARDING_BEFORE = "ip_forward.before"


def used_networks() -> list[str]:
    """The CIDRs that this machine has addresses in or routes to, the default route apart; empty without `ip`."""
    ip = IP.find()
    if not ip:
        return []
    found = []
    for arguments in (["-json", "-4", "route", "show", "table", "all"], ["-json", "-4", "address"]):
        rows = json.loads(run([ip, *arguments]).stdout or "[]")
        found += [row["dst"] for row in rows if row.get("dst") not in {None, "default"}]
        for row in rows:
            found += [f"{address['local']}/{address['prefixlen']}" for address in row.get("addr_info", [])]
    return found


def add_interfaces(plan: Plan) -> None:
    """Give the node an address, and the machine a way to Pods and Services.

    Raises:
        ClusterError: the kernel refuses.
    """
    # A bridge without ports, because some kernels have no interfaces of type dummy; a kubelet refuses loopback ones.
    _ip(["link", "add", plan.node_bridge, "type", "bridge"])
    _ip(["address", "add", f"{plan.node_address}/32", "dev", plan.node_bridge])
    _ip(["link", "set", plan.node_bridge, "up"])
    # A Service address is translated after routing: without a route, a machine without a default one can't send to it.
    _ip(["route", "add", plan.service_cidr, "dev", plan.node_bridge, "src", plan.node_address])
    before = plan.state_dir / FORWARDING_BEFORE
    before.write_text(FORWARDING.read_text())
    FORWARDING.write_text("1")
    for table, chain, rule in _rules(plan):
        _iptables(["--table", table, "--insert", chain, *rule])


def remove_interfaces(plan: Plan) -> None:
    """Undo `add_interfaces`, however far it came, and the bridge that the CNI plugin made."""
    for table, chain, rule in _rules(plan):
        # Once for each time that it is there: an `up` that was interrupted may have left one.
        while run([IPTABLES.path(), "--wait", "--table", table, "--delete", chain, *rule]).returncode == 0:
            pass
    for bridge in (plan.pod_bridge, plan.node_bridge):
        run([IP.path(), "link", "delete", bridge])
    before = plan.state_dir / FORWARDING_BEFORE
    if before.exists():
        FORWARDING.write_text(before.read_text())


def remove_kubernetes_chains() -> None:
    """Remove what chains kubelet and kube-proxy leave to each other; for a machine without another node."""
    for table in ("mangle", "nat", "filter"):
        saved = run([IPTABLES.path().with_name("iptables-save"), "--table", table]).stdout.splitlines()
        chains = [line[1:].split()[0] for line in saved if line.startswith(":KUBE-")]
        for line in saved:
            words = shlex.split(line)
            if words[:1] == ["-A"] and words[1] not in chains and words[-1] in chains:
                run([IPTABLES.path(), "--wait", "--table", table, "--delete", *words[1:]])
        for action in ("--flush", "--delete-chain"):
            for chain in chains:
                run([IPTABLES.path(), "--wait", "--table", table, action, chain])


def _rules(plan: Plan) -> list[tuple[str, str, list[str]]]:
    comment = ["--match", "comment", "--comment", f"penstock-test {plan.name}"]
    return [
        # Pods reach what is beyond this machine under its address.
        (
            "nat",
            "POSTROUTING",
            ["--source", plan.pod_cidr, "!", "--destination", plan.pod_cidr, *comment, "--jump", "MASQUERADE"],
        ),
        # A Docker engine makes the default of forwarding DROP.
        ("filter", "FORWARD", ["--in-interface", plan.pod_bridge, *comment, "--jump", "ACCEPT"]),
        ("filter", "FORWARD", ["--out-interface", plan.pod_bridge, *comment, "--jump", "ACCEPT"]),
    ]


def _ip(arguments: Sequence[str]) -> None:
    must_run([IP.path(), *arguments])


def _iptables(arguments: Sequence[str]) -> None:
    must_run([IPTABLES.path(), "--wait", *arguments])
