"""`kind`: Kubernetes in Docker, where an engine runs."""

import shutil
from pathlib import Path

from tests.cluster import base_image, binaries
from tests.cluster.command import must_run, run
from tests.cluster.component import Health
from tests.cluster.handle import Cluster
from tests.cluster.image import archived, docker
from tests.cluster.progress import say
from tests.cluster.remote import Remote

# Before the name of a cluster, so that `down` never deletes one that somebody made by hand.
PREFIX = "penstock-test-"
READY_TIMEOUT_S = 180


def refusal() -> str | None:
    """A Docker engine."""
    return None if docker() else "no Docker engine answers (`docker version`)"


def start(*, name: str, state_dir: Path, nodes: int) -> None:
    """Create it and load the base image."""
    kubeconfig = state_dir / "kubeconfig"
    options = [f"--name={PREFIX}{name}", f"--kubeconfig={kubeconfig}", f"--wait={READY_TIMEOUT_S}s"]
    say("creating it with kind; the first time, Docker fetches the image of its nodes")
    must_run([_kind(), "create", "cluster", *options])
    Remote.discover(kubeconfig).save(state_dir)
    load_image(state_dir, base_image.BASE_TAG)


def stop(state_dir: Path) -> None:
    """Delete it."""
    run([_kind(), "delete", "cluster", f"--name={PREFIX}{state_dir.name}", f"--kubeconfig={state_dir / 'kubeconfig'}"])


def health(state_dir: Path) -> list[Health]:
    """Of its API server and nodes."""
    return Remote.load(state_dir).health()


def cluster(state_dir: Path) -> Cluster:
    """How to use it."""
    return Remote.load(state_dir).cluster(kind="kind", state_dir=state_dir)


def load_image(state_dir: Path, image: str) -> None:
    """Copy it to the nodes."""
    load_into(f"{PREFIX}{state_dir.name}", image)


def load_into(kind_name: str, image: str) -> None:
    """Copy an image to the nodes of a cluster that `kind` knows by this name."""
    with archived(image) as archive:
        must_run([_kind(), "load", "image-archive", archive, f"--name={kind_name}"])


def _kind() -> Path:
    found = shutil.which("kind")
    return Path(found) if found else binaries.binary("kind")
