"""Which cluster has the machine."""

from pathlib import Path

import pytest

from tests.cluster import claim
from tests.cluster.errors import ClusterError
from tests.cluster.process import Processes


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "FILE", tmp_path / "claim.json")


def test_a_claim_is_live_while_the_process_that_starts_the_cluster_runs(tmp_path: Path):
    claim.take(tmp_path / "one")

    found = claim.current()

    assert found
    assert found.state_dir == tmp_path / "one"
    assert found.is_live
    assert [file.name for file in tmp_path.iterdir()] == ["claim.json"]


def test_a_second_claim_is_refused_with_what_to_do(tmp_path: Path):
    claim.take(tmp_path / "one")

    with pytest.raises(ClusterError, match="run `down --name one` first"):
        claim.take(tmp_path / "two")


def test_only_the_owner_gives_the_machine_back(tmp_path: Path):
    claim.take(tmp_path / "one")

    claim.release(tmp_path / "two")
    assert claim.current()
    claim.release(tmp_path / "one")
    assert claim.current() is None
    claim.take(tmp_path / "two")


def test_a_claim_outlives_its_starter_as_long_as_a_part_of_the_cluster_runs(tmp_path: Path):
    processes = Processes(tmp_path / "one")
    starter = processes.start("starter", ["/bin/sleep", "60"])
    processes.start("kubelet", ["/bin/sleep", "60"])
    found = claim.Claim(state_dir=tmp_path / "one", starter=starter)
    try:
        processes.stop("starter")
        assert found.is_live
    finally:
        processes.stop("kubelet")
    assert not found.is_live
