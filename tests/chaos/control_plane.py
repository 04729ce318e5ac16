"""The control plane of a cluster with fake nodes, whose programs are killed and started again."""

from __future__ import annotations

import signal
from dataclasses import replace

from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from penstock.kube.connection import Connection
from tests.api.account import account_kubeconfig, make_account
from tests.api.crds import apply_crds
from tests.chaos.ledger import API_SERVER_FLAGS
from tests.cluster.api_server import wait_until
from tests.cluster.component import start
from tests.cluster.control_plane import api_server, components
from tests.cluster.handle import Cluster
from tests.cluster.kinds.fake import kwok
from tests.cluster.plan import LOOPBACK, Plan, is_free_port
from tests.cluster.process import Processes

GONE_S = 30.0
READY_S = 90.0
CLIENTS = ("controller-manager", "scheduler", "kwok")
KWOK_FLAGS = ("--node-lease-duration-seconds=0",)
"""With the Leases of nodes, a kwok that is started again does nothing until those of the last one have expired."""


class ControlPlane:
    """etcd, API server and the rest, each kept running; the API server so that etcd's history can be read."""

    def __init__(self, cluster: Cluster) -> None:
        self._kubeconfig = cluster.kubeconfig
        self._plan = Plan.must_load(cluster.state_dir)
        self._processes = Processes(cluster.state_dir)
        found = [*components(self._plan), kwok(self._plan)]
        self._components = {component.name: component for component in found}
        for name, flags in (("apiserver", API_SERVER_FLAGS), ("kwok", KWOK_FLAGS)):
            own = self._components[name]
            self._components[name] = replace(own, command=[*own.command, *flags])
        self._away: set[str] = set()
        self.server = api_server(self._plan)
        self.etcd = f"http://{LOOPBACK}:{self._plan.ports['etcd']}"

    def prepare(self) -> None:
        """Restart the API server and kwok with flags of their own."""
        self.kill("apiserver")
        self.kill("kwok")
        self.bring_all_back()

    def install(self) -> Connection:
        """Apply our CRDs; returns a connection with the rights that the chart gives an operator."""
        configuration = kubernetes_client.Configuration()
        kubernetes_config.load_kube_config(config_file=str(self._kubeconfig), client_configuration=configuration)
        with kubernetes_client.ApiClient(configuration) as api:
            apply_crds(api)
            make_account(api, self._kubeconfig)
        return Connection.load({"KUBECONFIG": str(account_kubeconfig(self._kubeconfig))})

    def kill(self, name: str) -> None:
        """End a program without a chance to say goodbye; it stays away until `bring_back`."""
        self._away.add(name)
        if process := self._processes.get(name):
            process.signal(signal.SIGKILL)
            port = self._plan.ports.get(name)
            # Its first thread may be gone while others still hold the port.
            wait_until(
                lambda: not process.is_alive and (port is None or is_free_port(port)),
                timeout_s=GONE_S,
                explain=lambda: f"{name} survives SIGKILL",
            )

    def bring_back(self, name: str) -> None:
        """Start a program again."""
        self._away.discard(name)
        self.keep_running()

    def bring_all_back(self) -> None:
        """Start whatever does not run, and wait until all is well."""
        self._away.clear()

        def is_well() -> bool:
            # Also what ends while it is waited for, such as an API server that found its port taken or no etcd.
            self.keep_running()
            return not self._unready()

        wait_until(is_well, timeout_s=READY_S, explain=lambda: f"not ready: {self._unready()}")

    def renew_clients(self) -> None:
        """Restart what watches the API server: after many failures, it would try again only once in half a minute."""
        for name in CLIENTS:
            self.kill(name)
        self.bring_all_back()

    def _unready(self) -> list[str]:
        healths = (component.health(self._processes) for component in self._components.values())
        return [f"{health.name}: {health.detail}" for health in healths if not health.is_well]

    def keep_running(self) -> None:
        """Start again what has ended, as a kubelet does with static Pods."""
        for name, component in self._components.items():
            if name not in self._away and not self._processes.is_alive(name):
                start(component, self._processes)

    def nodes(self) -> list[str]:
        """Return the names of the fake nodes."""
        return [f"{self._plan.name}-{index}" for index in range(self._plan.nodes)]
