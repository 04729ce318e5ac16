"""A cluster that is not made of this package's processes, spoken to with kubectl and a kubeconfig."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.command import must_run, run
from tests.cluster.component import Health
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster

FILE = "remote.json"
REQUEST_TIMEOUT_S = 15


@dataclass(frozen=True)
class Remote:
    """How to reach it.

    Attributes:
        kubeconfig: the path of the file.
        context: the context of it that is current.
        server: the URL of its API server.
    """

    kubeconfig: str
    context: str
    server: str

    @classmethod
    def discover(cls, kubeconfig: Path) -> "Remote":
        """What the current context of a kubeconfig says.

        Raises:
            ClusterError: the file can't be read or has no current context.
        """
        config = json.loads(must_run(_kubectl(kubeconfig, ["config", "view", "--minify", "--output=json"])))
        server = config["clusters"][0]["cluster"]["server"]
        return cls(kubeconfig=str(kubeconfig), context=config["current-context"], server=server)

    @classmethod
    def load(cls, state_dir: Path) -> "Remote":
        try:
            return cls(**json.loads((state_dir / FILE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(
                f"{state_dir} holds no cluster that can be read: run `down --name {state_dir.name}`"
            ) from error

    def save(self, state_dir: Path) -> None:
        (state_dir / FILE).write_text(json.dumps(asdict(self), indent=1))

    def cluster(self, *, kind: str, state_dir: Path) -> Cluster:
        """How to use it."""
        return Cluster(
            name=state_dir.name,
            kind=kind,
            kubeconfig=Path(self.kubeconfig),
            bin_dir=binaries.build(["kubectl"]),
            state_dir=state_dir,
            server=self.server,
        )

    def health(self) -> list[Health]:
        """Of its API server and nodes."""
        asked = run(_kubectl(Path(self.kubeconfig), ["get", "nodes", "--output=json"]))
        if asked.returncode:
            return [Health("apiserver", is_well=False, detail=asked.stderr.strip())]
        nodes = []
        for node in json.loads(asked.stdout)["items"]:
            conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
            is_ready = conditions.get("Ready") == "True"
            nodes.append(Health(f"node {node['metadata']['name']}", is_well=is_ready, detail=f"Ready: {is_ready}"))
        return [Health("apiserver", is_well=True, detail=self.server), *nodes]


def _kubectl(kubeconfig: Path, arguments: list[str]) -> list[str | Path]:
    options = [f"--kubeconfig={kubeconfig}", f"--request-timeout={REQUEST_TIMEOUT_S}s"]
    return [binaries.binary("kubectl"), *options, *arguments]
