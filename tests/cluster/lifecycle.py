"""Bringing clusters up and down, whatever their kind."""

import os
import shutil
import time
from pathlib import Path

from tests.cluster.cache import cluster_dir, locked
from tests.cluster.component import Health
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.kinds import KINDS, choose
from tests.cluster.progress import Stopwatch, say

DEFAULT_NAME = "penstock"
DEFAULT_NODES = 3
HEALTH_ATTEMPTS = 3
HEALTH_RETRY_S = 1.0
# Written first and last: what is between was interrupted.
KIND_FILE, READY_FILE = "kind", "ready"


def up(name: str = DEFAULT_NAME, kind: str | None = None, *, nodes: int = DEFAULT_NODES) -> Cluster:
    """The cluster of this name, started when it is not up.

    Args:
        name: several clusters can be up at once, each under its own.
        kind: `auto` or one of `KINDS`; by default what the variable CLUSTER says, else `auto`.
        nodes: how many, where they are fake.

    Raises:
        ClusterError: it can't be started here, or is up as another kind.
    """
    kind = kind or os.environ.get("CLUSTER") or "auto"
    state_dir = cluster_dir(name)
    with locked(f"cluster-{name}"):
        if current := _kind_of(state_dir):
            if (state_dir / READY_FILE).exists() and _is_well(current, state_dir):
                if kind not in {"auto", current}:
                    raise ClusterError(f"cluster {name!r} is up as kind {current!r}: run `down --name {name}` first")
                say(f"{name!r} is up already (kind {current})")
                return KINDS[current].cluster(state_dir)
            say(f"{name!r} is not well or was left behind: cleaning up after it")
            _remove(state_dir)
        kind = choose(kind)
        watch = Stopwatch()
        state_dir.mkdir(parents=True, exist_ok=True)
        (state_dir / KIND_FILE).write_text(kind)
        say(f"starting {name!r} (kind {kind})")
        try:
            KINDS[kind].start(name=name, state_dir=state_dir, nodes=nodes)
        except BaseException:
            say(f"{name!r} did not come up; its state and logs stay in {state_dir} until `down` or the next `up`")
            KINDS[kind].stop(state_dir)
            raise
        (state_dir / READY_FILE).touch()
        say(f"{name!r} is up in {watch}")
        return KINDS[kind].cluster(state_dir)


def down(name: str = DEFAULT_NAME) -> bool:
    """Stop the cluster of this name and undo all that it did; whether there was one."""
    state_dir = cluster_dir(name)
    with locked(f"cluster-{name}"):
        if not state_dir.exists():
            return False
        _remove(state_dir)
        return True


def health(name: str = DEFAULT_NAME) -> list[Health]:
    """How the parts of the cluster of this name are."""
    state_dir = cluster_dir(name)
    return KINDS[_kind_or_raise(state_dir)].health(state_dir)


def get(name: str = DEFAULT_NAME) -> Cluster:
    """The cluster of this name, which must have been started.

    Raises:
        ClusterError: it was not.
    """
    state_dir = cluster_dir(name)
    kind = _kind_or_raise(state_dir)
    if not (state_dir / READY_FILE).exists():
        raise ClusterError(f"cluster {name!r} did not come up: run `up --name {name}`")
    return KINDS[kind].cluster(state_dir)


def load_image(cluster: Cluster, image: str) -> None:
    """Make an image that `image` built known to the nodes of a cluster."""
    KINDS[cluster.kind].load_image(cluster.state_dir, image)


def _kind_of(state_dir: Path) -> str | None:
    try:
        kind = (state_dir / KIND_FILE).read_text()
    except FileNotFoundError:
        return None
    return kind if kind in KINDS else None


def _kind_or_raise(state_dir: Path) -> str:
    if kind := _kind_of(state_dir):
        return kind
    raise ClusterError(f"no cluster {state_dir.name!r} is up: run `up --name {state_dir.name}`")


def _is_well(kind: str, state_dir: Path) -> bool:
    # Asked more than once: a busy machine answers late, and who is taken for dead loses all data.
    for _ in range(HEALTH_ATTEMPTS):
        if all(part.is_well for part in KINDS[kind].health(state_dir)):
            return True
        time.sleep(HEALTH_RETRY_S)
    return False


def _remove(state_dir: Path) -> None:
    if kind := _kind_of(state_dir):
        KINDS[kind].stop(state_dir)
    shutil.rmtree(state_dir)
