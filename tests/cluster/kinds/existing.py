"""`existing`: the cluster that KUBECONFIG points to. Nothing of it is started or stopped."""

import os
from pathlib import Path

from tests.cluster.component import Health
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.kinds import kind
from tests.cluster.progress import say
from tests.cluster.remote import Remote

# How `kind` names the contexts of its clusters.
KIND_CONTEXT = "kind-"


def refusal() -> str | None:
    """A kubeconfig, which may still not answer: that takes a kubectl to find out."""
    kubeconfig = _kubeconfig()
    return None if kubeconfig.is_file() else f"there is no kubeconfig {kubeconfig}: set KUBECONFIG"


def start(*, name: str, state_dir: Path, nodes: int) -> None:
    """Remember it, if it answers."""
    remote = Remote.discover(_kubeconfig())
    if broken := [part for part in remote.health() if not part.is_well]:
        raise ClusterError(f"{remote.server} (context {remote.context!r}): {broken[0].name}: {broken[0].detail}")
    say(f"using {remote.server} (context {remote.context!r})")
    remote.save(state_dir)


def stop(state_dir: Path) -> None:
    """Nothing: it was there before."""


def health(state_dir: Path) -> list[Health]:
    """Of its API server and nodes."""
    return Remote.load(state_dir).health()


def cluster(state_dir: Path) -> Cluster:
    """How to use it."""
    return Remote.load(state_dir).cluster(kind="existing", state_dir=state_dir)


def load_image(state_dir: Path, image: str) -> None:
    """Only where the cluster is one of kind's; others have ways of their own."""
    context = Remote.load(state_dir).context
    if not context.startswith(KIND_CONTEXT):
        raise ClusterError(
            f"how {image!r} gets to the nodes of {context!r} is that cluster's business: push it to a registry that "
            f"they pull from, or use its own way, such as `minikube image load {image}` or `k3d image import {image}`"
        )
    kind.load_into(context.removeprefix(KIND_CONTEXT), image)


def _kubeconfig() -> Path:
    # The variable may name several files; the first is the one that says which context is current.
    paths = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return Path(paths[0]).absolute() if paths else Path.home() / ".kube" / "config"
