"""Two minutes of chaos, on a cluster of its own: its control plane is killed. `make chaos` runs for longer."""

from __future__ import annotations

import os

import pytest

from tests import cluster
from tests.chaos.world import World

# On a busy machine, its own deadlines speak before this one.
pytestmark = [pytest.mark.api, pytest.mark.timeout(900)]

SEED = 1
MINUTES = 2.0


@pytest.fixture
def own_cluster():
    name = f"chaos-tests-{os.getpid()}"
    try:
        yield cluster.up(name, "fake")
    finally:
        cluster.down(name)


def test_every_flow_ends_as_it_must_and_nothing_is_left_while_everything_around_it_breaks(own_cluster, tmp_path):
    verdict = World(own_cluster, tmp_path, seed=SEED).run(MINUTES)
    print(verdict)
    assert not verdict.violations, str(verdict)
    assert verdict.faults
    assert verdict.pods
