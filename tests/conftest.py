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

WITHOUT_OPERATORS = frozenset(
    f"test_{subject}.py"
    for subject in (
        "admission", "cache", "cache_forgery", "cache_storm", "chart", "cli", "cli_control", "cli_hostile",
        "cli_schedule", "cli_terminal", "cli_view", "client", "crds", "deploy", "doctor_protection", "event_readers",
        "flow_sweep", "flow_turns", "install", "lease", "manifests", "object_store", "orphaned_runs", "policy",
        "recorder", "reflector", "schedules", "smoke", "stops", "terminal_safety", "uninstall", "writer",
    )
)  # fmt: skip
"""Modules of tests/api that start no operator as a process. They run beside the others, on a cluster of their own: so
tests/api/test_rights.py finds what all operators asked for in the log of one cluster."""

# As in every process that evaluates expressions.
limit_expression_memory()


def pytest_report_header(config: pytest.Config) -> str:
    try:
        real = choose(os.environ.get("CLUSTER") or "auto")
    except ClusterError as error:
        real = f"none ({error})"
    return f"clusters: tests/api on kind 'fake' (a real API server, fake nodes), tests/e2e on kind {real!r}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (_turn(item.nodeid), item.get_closest_marker("last") is not None))


def _scope(nodeid: str) -> str:
    """Return what a test shares a cluster with, or its own name if it needs none."""
    folder, _, module = nodeid.partition("::")[0].removeprefix("tests/").partition("/")
    if folder == "api" and module in WITHOUT_OPERATORS:
        return "api without operators"
    return folder if folder in ("api", "e2e") else nodeid


def _turn(nodeid: str) -> int:
    """Return a smaller number for what takes longer in one process."""
    longest = ("e2e", "api", "api without operators")
    scope = _scope(nodeid)
    return longest.index(scope) if scope in longest else len(longest)


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives all tests of a cluster to one process, and others to any, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClusterScheduling:
    return ClusterScheduling(config, log)
