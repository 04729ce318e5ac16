"""A containerd of the cluster's own: its root, state and socket are in the state folder."""

import subprocess
from pathlib import Path

from tests.cluster.base_image import PAUSE_TAG
from tests.cluster.command import run
from tests.cluster.component import Component
from tests.cluster.debian import CNI_BRIDGE, CONTAINERD
from tests.cluster.errors import ClusterError
from tests.cluster.overlay import can_mount_overlay
from tests.cluster.plan import Plan

NAMESPACE = "k8s.io"
# The longest path of a Unix socket, unix(7), less its closing zero.
LONGEST_SOCKET_PATH = 107
COMMAND_TIMEOUT_S = 120


def socket_path(state_dir: Path) -> Path:
    return state_dir / "containerd.sock"


def check_path_length(state_dir: Path) -> None:
    """Refuse a state folder whose sockets would not work, before they fail without saying why."""
    # The longest is the kubelet's, below its own folder.
    longest = state_dir / "kubelet" / "pod-resources" / "kubelet.sock.0123456789"
    if len(str(longest)) > LONGEST_SOCKET_PATH:
        raise ClusterError(f"{state_dir} is too long a path for Unix sockets: set PENSTOCK_CACHE to a shorter one")


def write_config(plan: Plan) -> None:
    """Write the configuration files of containerd and of its network plugin."""
    _write_config(plan)
    _write_network(plan)


def component(plan: Plan) -> Component:
    """Containerd itself."""
    command: list[str | Path] = [CONTAINERD.path(), "--config", _config_path(plan.state_dir)]
    return Component(name="containerd", command=command, is_ready=lambda: _answers(plan.state_dir))


def import_image(state_dir: Path, archive: Path) -> None:
    """Load an image archive.

    Raises:
        ClusterError: containerd does not take it.
    """
    done = _ctr(state_dir, ["images", "import", "--no-unpack", str(archive)])
    if done.returncode:
        raise ClusterError(f"containerd does not import {archive}:\n{done.stderr.strip()}")


def remove_containers(state_dir: Path) -> None:
    """Kill and remove every container, as long as containerd answers; what is left, others have to sweep."""
    tasks = _ctr(state_dir, ["tasks", "ls", "--quiet"]).stdout.split()
    if tasks:
        _ctr(state_dir, ["tasks", "rm", "--force", *tasks])


def _ctr(state_dir: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    # ctr comes with containerd, always beside it.
    options = [f"--address={socket_path(state_dir)}", f"--namespace={NAMESPACE}"]
    return run([CONTAINERD.path().with_name("ctr"), *options, *arguments], timeout_s=COMMAND_TIMEOUT_S)


def _answers(state_dir: Path) -> bool:
    return socket_path(state_dir).exists() and _ctr(state_dir, ["version"]).returncode == 0


def _config_path(state_dir: Path) -> Path:
    return state_dir / "containerd.toml"


def _write_config(plan: Plan) -> None:
    state_dir = plan.state_dir
    snapshotter = "overlayfs" if can_mount_overlay(state_dir) else "native"
    _config_path(state_dir).write_text(f"""\
version = 2
root = "{state_dir}/containerd/root"
state = "{state_dir}/containerd/state"

[grpc]
  address = "{socket_path(state_dir)}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_TAG}"
  # Without CAP_SYS_RESOURCE, as inside a container, a lower score than one's own is refused.
  restrict_oom_score_adj = true
  disable_apparmor = true
  # So that unmounting all below the state folder takes them with it.
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{snapshotter}"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_BRIDGE.path().parent}"
  conf_dir = "{state_dir}/cni"
""")


def _write_network(plan: Plan) -> None:
    folder = plan.state_dir / "cni"
    folder.mkdir(exist_ok=True)
    # ipMasq is off: the one rule that it takes is with the cluster's other rules, where `down` finds it.
    (folder / "10-pods.conflist").write_text(f"""\
{{
  "cniVersion": "0.4.0",
  "name": "{plan.name}",
  "plugins": [
    {{
      "type": "bridge",
      "bridge": "{plan.pod_bridge}",
      "isGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {{
        "type": "host-local",
        "ranges": [[{{"subnet": "{plan.pod_cidr}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}],
        "dataDir": "{plan.state_dir}/cni-addresses"
      }}
    }}
  ]
}}
""")
