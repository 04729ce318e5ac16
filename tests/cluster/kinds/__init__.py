"""The kinds of test cluster, one module each, all with the functions of the protocol `Kind`."""

from pathlib import Path
from typing import Protocol

from tests.cluster.component import Health
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.kinds import bare, existing, fake, kind
from tests.cluster.progress import say

__all__ = ["KINDS", "Kind", "choose"]


class Kind(Protocol):
    """What a module of this package offers."""

    def refusal(self) -> str | None:
        """Why this kind does not work on this machine; None when it does."""

    def start(self, *, name: str, state_dir: Path, nodes: int) -> None:
        """Start a cluster and wait until it can be used; the state folder is new and empty."""

    def stop(self, state_dir: Path) -> None:
        """Undo whatever `start` did, also when it came only half way or died with the machine."""

    def health(self, state_dir: Path) -> list[Health]:
        """How each of its parts is."""

    def cluster(self, state_dir: Path) -> Cluster:
        """How to use it."""

    def load_image(self, state_dir: Path, image: str) -> None:
        """Make an image of this machine known to its nodes."""


KINDS: dict[str, Kind] = {"existing": existing, "kind": kind, "bare": bare, "fake": fake}
# From the best to what works nearly everywhere. Not `existing`: nobody's cluster becomes a test's by accident.
AUTOMATIC = ("kind", "bare", "fake")


def choose(wanted: str) -> str:
    """The kind to start; `auto` takes the best that can work here and says why.

    Raises:
        ClusterError: the kind that was asked for does not work here.
    """
    if wanted == "auto":
        for candidate in AUTOMATIC:
            refusal = KINDS[candidate].refusal()
            if refusal is None:
                say(f"auto: kind {candidate!r} can work here")
                return candidate
            say(f"auto: not {candidate!r}: {refusal}")
        raise ClusterError("no kind of cluster can work here")
    if wanted not in KINDS:
        raise ClusterError(f"there is no kind {wanted!r}: choose auto, {', '.join(KINDS)}")
    if refusal := KINDS[wanted].refusal():
        raise ClusterError(f"a cluster of kind {wanted!r} does not work here: {refusal}")
    return wanted
