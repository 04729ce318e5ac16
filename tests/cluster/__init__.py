"""Test clusters for Penstock: `python3 -m tests.cluster up`, or `up()` from a fixture. See README.md beside this file."""

from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.lifecycle import down, get, health, load_image, up

__all__ = ["Cluster", "ClusterError", "down", "get", "health", "load_image", "up"]
