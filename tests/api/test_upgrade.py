"""What an earlier version left in the middle of its work is carried to its end: nothing is lost, nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upgrade.journey import end
from tests.upgrade.recording import FOLDER, play

pytestmark = pytest.mark.api


@pytest.mark.parametrize("policy", ["true", "false"], ids=["with the admission policy", "without it"])
@pytest.mark.parametrize("recording", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_what_an_earlier_version_left_ends_as_it_must(kubeconfig, replica, scene, recording: Path, policy: str):
    count = play(recording, kubeconfig.parent, scene.namespace)
    recorded = scene.until(lambda: len(scene.ever["pods"]) == count["Pod"] and dict(scene.ever["pods"]), "all Pods")
    with replica(options=("--admission-policy", policy)):
        end(scene)
    left = {pod.metadata.uid for pod in scene.pods()}
    assert recorded.keys() <= left, "a Pod of the earlier version was deleted"
