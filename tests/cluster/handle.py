"""What a test holds of a running cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.plan import Plan


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up.

    Attributes:
        name: as it was asked for.
        kind: `fake`, `bare`, `kind` or `existing`.
        kubeconfig: the file that makes a client its administrator.
        bin_dir: the folder with kubectl, to put on PATH.
        state_dir: certificates, logs and data of this cluster.
        server: the URL of its API server.
    """

    name: str
    kind: str
    kubeconfig: Path
    bin_dir: Path
    state_dir: Path
    server: str

    @property
    def runs_containers(self) -> bool:
        """Whether its Pods run programs; those of `fake` only say so."""
        return self.kind != "fake"

    @classmethod
    def of_plan(cls, plan: Plan, *, bin_dir: Path) -> "Cluster":
        """One that is made of processes of this machine."""
        return cls(
            name=plan.name,
            kind=plan.kind,
            kubeconfig=plan.kubeconfig,
            bin_dir=bin_dir,
            state_dir=plan.state_dir,
            server=plan.server,
        )

    def environment(self) -> dict[str, str]:
        """This process's environment with KUBECONFIG and PATH set for the cluster."""
        path = os.pathsep.join([str(self.bin_dir), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}
