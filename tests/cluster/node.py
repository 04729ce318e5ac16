"""The one real node of a `bare` cluster: kubelet and kube-proxy."""

import json
from pathlib import Path
from typing import Any

from tests.cluster.binaries import path_of
from tests.cluster.command import run
from tests.cluster.component import Component
from tests.cluster.containerd import socket_path
from tests.cluster.control_plane import kubeconfig_of, node_name
from tests.cluster.plan import LOOPBACK, Plan

KUBELET_API = "kubelet.config.k8s.io/v1beta1"
PROXY_API = "kubeproxy.config.k8s.io/v1alpha1"
MOST_PODS = 250
CLEANUP_TIMEOUT_S = 60
# The kubelet renews it four times in this time.
LEASE_S = 16


def write_config(plan: Plan) -> None:
    """Write the configuration files of both."""
    for file, config in ((_kubelet_file(plan), _kubelet_config(plan)), (_proxy_file(plan), _proxy_config(plan))):
        file.write_text(json.dumps(config, indent=1))


def kubelet(plan: Plan) -> Component:
    """The kubelet."""
    command: list[str | Path] = [
        path_of("kubelet"),
        f"--config={_kubelet_file(plan)}",
        f"--kubeconfig={kubeconfig_of(plan, 'kubelet')}",
        f"--root-dir={plan.state_dir / 'kubelet'}",
        f"--cert-dir={plan.state_dir / 'kubelet' / 'pki'}",
        f"--hostname-override={node_name(plan)}",
        f"--node-ip={plan.node_address}",
    ]
    return Component.with_health_url("kubelet", command, f"http://{LOOPBACK}:{plan.ports['kubelet-health']}/healthz")


def proxy(plan: Plan) -> Component:
    """kube-proxy, which makes Service addresses work for Pods and for this machine's own processes."""
    command: list[str | Path] = [path_of("kube-proxy"), f"--config={_proxy_file(plan)}"]
    return Component.with_health_url("kube-proxy", command, f"http://{LOOPBACK}:{plan.ports['proxy-health']}/healthz")


def clean_up_proxy() -> None:
    """Take the rules of kube-proxy out of the machine's tables."""
    program = path_of("kube-proxy")
    if program.exists():
        run([program, "--cleanup"], timeout_s=CLEANUP_TIMEOUT_S)


def _kubelet_file(plan: Plan) -> Path:
    return plan.state_dir / "kubelet.json"


def _proxy_file(plan: Plan) -> Path:
    return plan.state_dir / "kube-proxy.json"


def _kubelet_config(plan: Plan) -> dict[str, Any]:
    """For a machine that may itself be a container, with cgroups of either version, without systemd."""
    state_dir = plan.state_dir
    ca = plan.certificates / "ca.crt"
    return {
        "apiVersion": KUBELET_API,
        "kind": "KubeletConfiguration",
        "address": plan.node_address,
        "port": plan.ports["kubelet"],
        "healthzBindAddress": LOOPBACK,
        "healthzPort": plan.ports["kubelet-health"],
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{socket_path(state_dir)}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "enforceNodeAllocatable": [],
        # The machine's disk and memory are others' business: the tests' Pods are not to be evicted for it.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "maxPods": MOST_PODS,
        "nodeLeaseDurationSeconds": LEASE_S,
        "podLogsDir": str(state_dir / "pod-logs"),
        "volumePluginDir": str(state_dir / "volume-plugins"),
        "serializeImagePulls": False,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "eventRecordQPS": 0,
        "registryPullQPS": 0,
    }


def _proxy_config(plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": PROXY_API,
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node_name(plan),
        "clusterCIDR": plan.pod_cidr,
        "clientConnection": {"kubeconfig": str(kubeconfig_of(plan, "proxy"))},
        "healthzBindAddress": f"{LOOPBACK}:{plan.ports['proxy-health']}",
        "metricsBindAddress": f"{LOOPBACK}:{plan.ports['proxy-metrics']}",
        "oomScoreAdj": 0,
        # The kernel's own limits stay as they are: inside a container they can't be set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {
            # Answers from a Pod on the same bridge would go past the rules that translated the request, where the
            # kernel has no br_netfilter.
            "masqueradeAll": True,
            "localhostNodePorts": False,
            # Tests wait for each new Service; there are few of them.
            "minSyncPeriod": "100ms",
        },
    }
