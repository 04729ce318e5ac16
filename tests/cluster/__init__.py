"""Test clusters for Penstock: `python3 -m tests.cluster up`, or `up()` from a fixture; see README.md here."""

from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.image import build_image
from tests.cluster.lifecycle import DEFAULT_NAME, down, get, health, load_image, up

__all__ = ["DEFAULT_NAME", "Cluster", "ClusterError", "build_image", "down", "get", "health", "load_image", "up"]
