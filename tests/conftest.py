"""Tells which clusters the tests run on."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from penstock.memory_limit import limit_expression_memory
from tests.cluster import ClusterError
from tests.cluster.kinds import choose

# How long an example takes is the machine's affair, and a test that depends on it fails at random.
hypothesis.settings.register_profile("penstock", deadline=None)
hypothesis.settings.load_profile("penstock")

SHARED_CLUSTERS = frozenset({"api", "e2e"})
"""Folders whose tests share one cluster, and run one after the other in one process."""

# As in every process that evaluates expressions.
limit_expression_memory()


def pytest_report_header(config: pytest.Config) -> str:
    try:
        real = choose(os.environ.get("CLUSTER") or "auto")
    except ClusterError as error:
        real = f"none ({error})"
    return f"clusters: tests/api on kind 'fake' (a real API server, fake nodes), tests/e2e on kind {real!r}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives all tests of a cluster to one process, and others to any."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return folder if folder in SHARED_CLUSTERS else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClusterScheduling:
    return ClusterScheduling(config, log)
