"""What an earlier version left in the middle of its work is carried to its end: nothing is lost, nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.api.names import LABEL_RUN
from tests.upgrade.journey import end
from tests.upgrade.recording import FOLDER, play

pytestmark = pytest.mark.api


@pytest.mark.parametrize("recording", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_what_an_earlier_version_left_ends_as_it_must(kubeconfig, replica, scene, recording: Path):
    # Once in a cluster: the garbage collector takes objects of one uid in two namespaces for one.
    count = play(recording, kubeconfig.parent, scene.namespace)
    recorded = scene.until(lambda: len(scene.ever["pods"]) == count["Pod"] and set(scene.ever["pods"]), "all Pods")
    with replica(options=("--admission-policy", "true")):
        end(scene)
    left = {pod.metadata.uid for pod in scene.pods()}
    # A Schedule's history keeps three runs, and their Pods.
    gone = [pod for pod in scene.pods(ever=True) if pod.metadata.uid in recorded - left]
    still = {pod.metadata.labels[LABEL_RUN] for pod in gone} & set(scene.now["flowruns"])
    assert not still, "Pods of the earlier version were deleted, and their runs were not"
