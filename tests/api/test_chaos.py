"""Two minutes in which everything around some flows breaks; `make chaos` runs for as long as one likes."""

from __future__ import annotations

import os

import pytest

from tests import cluster
from tests.chaos.world import World

pytestmark = pytest.mark.api

SEED = 1
MINUTES = 2.0


def test_flows_end_as_they_must_while_everything_around_them_breaks(tmp_path):
    name = f"chaos-tests-{os.getpid()}"
    try:
        verdict = World(cluster.up(name, "fake"), tmp_path, seed=SEED, longest_pause_s=10.0).run(MINUTES)
    finally:
        cluster.down(name)
    print(verdict)
    assert not verdict.violations, str(verdict)
