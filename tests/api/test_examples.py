"""The examples of events and Backfills on the real operator. Pods of fake nodes say what the test has them say."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.api import names
from tests.api.delivery import SECRET, Sender
from tests.api.replica import Replica, free_port
from tests.api.scene import Scene, fake

pytestmark = pytest.mark.api

EXAMPLES = Path(__file__).parents[2] / "examples"
SAID = {
    "greet": {"greeting": "Hello, events!"},
    "count": {"characters": 14},
    "look-up": {"rain_mm": 0.5},
}
"""Outputs of tasks, by name."""


def apply(scene: Scene, file: str) -> None:
    """Create the Flows, Schedules and Backfills of an example."""
    for manifest in yaml.safe_load_all((EXAMPLES / file).read_text()):
        spec = manifest["spec"]
        if manifest["kind"] == "Flow":
            for task in spec["tasks"]:
                task["podTemplate"] = fake(outputs=json.dumps(SAID[task["name"]])) if task["name"] in SAID else {}
        if manifest["kind"] != "FlowRun":
            scene.create(manifest["kind"], manifest["metadata"]["name"], spec)


def conditions(scene: Scene, kind: str, name: str) -> dict[str, Any]:
    found = scene.now[kind].get(name)
    return {} if found is None else {one["type"]: one for one in found.status.get("conditions", ())}


def test_the_examples_of_events_react_to_each_of_them(scene, kubeconfig, tmp_path):
    port = free_port()
    options = ("--event-kinds", "v1/ConfigMap=configmaps", "--event-port", str(port))
    secret: Any = {"metadata": {"name": "penstock-webhook"}, "stringData": {"example": SECRET}}
    scene.core.create_namespaced_secret(scene.namespace, secret)
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace, options=options):
        apply(scene, "hello.yaml")
        apply(scene, "events.yaml")
        apply(scene, "outside/events.yaml")
        for name in ("reactions", "outside"):
            scene.until(
                lambda name=name: conditions(scene, "schedules", name).get("Listening", {}).get("status") == "True",
                f"the Schedule {name} to listen",
            )
        config_map: Any = {"metadata": {"name": "today"}, "data": {"who": "objects"}}
        scene.core.create_namespaced_config_map(scene.namespace, config_map)
        watched: Any = {"metadata": {"labels": {"watched-by": "outside"}}}
        scene.core.patch_namespaced_config_map("today", scene.namespace, watched)
        sender = Sender(port, scene.namespace)
        sender.wait()
        body = {"type": "example.sent", "data": {"sender": "the test"}}
        assert sender.post(body, to="outside/called").status == HTTPStatus.ACCEPTED
        scene.start_of("hello", "greeting", params={"who": "events"})

        def reactions() -> dict[str, str]:
            runs = scene.now["flowruns"].values()
            ours = [run for run in runs if names.LABEL_SCHEDULE in run.metadata.labels]
            return {run.metadata.labels[names.LABEL_EVENT]: run.spec["params"]["what"] for run in ours}

        scene.until(lambda: len(reactions()) == 3, "a run of each event")
        assert reactions() == {
            "greeted": "greeting said: Hello, events!",
            "changed": "today is for objects",
            "called": "delivery msg_1 from the test",
        }


def test_the_example_of_a_backfill_runs_five_days(scene, kubeconfig, tmp_path):
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        # In any order: the Backfill waits for what it names.
        apply(scene, "backfill.yaml")
        apply(scene, "umbrella.yaml")
        scene.until(
            lambda: conditions(scene, "backfills", "umbrella-in-march").get("Succeeded", {}).get("status") == "True",
            "the Backfill to succeed",
        )
    days = sorted(run.spec["params"]["day"] for run in scene.now["flowruns"].values())
    assert days == [f"2014-03-0{day}" for day in range(3, 8)]
