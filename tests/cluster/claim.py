"""Which `bare` cluster has this machine: kube-proxy's rules and the cgroup of all Pods have one name for everyone.

The claim is a file in /run, where every cache of the machine sees it, and which a reboot takes away with all that it
stands for.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.process import Process, Processes

FILE = Path("/run/penstock-test-bare.json")
# Any one of these alive means that the cluster is.
PARTS = ("kubelet", "kube-proxy", "containerd")


@dataclass(frozen=True)
class Claim:
    """A cluster that has the machine, or had it when it died.

    Attributes:
        state_dir: of the cluster.
        starter: the process that started it, which has no parts yet at first.
    """

    state_dir: Path
    starter: Process

    @property
    def is_live(self) -> bool:
        return self.starter.is_alive or any(map(Processes(self.state_dir).is_alive, PARTS))

    @property
    def refusal(self) -> str:
        """What to tell others."""
        name = self.state_dir.name
        return (
            f"cluster {name!r} (state {self.state_dir}) is the node of this machine, and there can be one: "
            f"run `down --name {name}` first"
        )


def current() -> Claim | None:
    """The claim there is, live or left behind."""
    with suppress(OSError, ValueError, KeyError):
        fields = json.loads(FILE.read_text())
        starter = Process(pid=fields["pid"], start_ticks=fields["start_ticks"])
        return Claim(state_dir=Path(fields["state_dir"]), starter=starter)
    return None


def take(state_dir: Path) -> None:
    """Claim the machine for a cluster that this process starts.

    Raises:
        ClusterError: another was faster.
    """
    starter = Process.this()
    fields = {"state_dir": str(state_dir), "pid": starter.pid, "start_ticks": starter.start_ticks}
    scratch = FILE.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(fields))
    try:
        # A link appears whole, and only where there is nothing.
        os.link(scratch, FILE)
    except FileExistsError as error:
        if other := current():
            raise ClusterError(other.refusal) from error
        raise ClusterError(f"{FILE} can't be read: remove it, if no `bare` cluster is up") from error
    finally:
        scratch.unlink()


def release(state_dir: Path) -> None:
    """Give the machine back, if it is this cluster's."""
    claim = current()
    if claim and claim.state_dir == state_dir:
        FILE.unlink()
