"""Schedules with events in a namespace under observation, and what makes such events."""

from __future__ import annotations

from typing import Any

from penstock.api import names
from tests.api.delivery import SECRET
from tests.api.scene import Scene, Seen, task

REPORT = {"params": [{"name": "what", "default": "nothing"}], "tasks": [task(args=["$(params.what)"])]}


def schedule(scene: Scene, event: dict[str, Any], name: str = "on", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"flowSpec": REPORT, **spec.pop("run", {})}}
    return scene.create("Schedule", name, {"events": [{"name": "it", **event}], "runTemplate": template, **spec})


def conditions(scene: Scene, name: str = "on") -> dict[str, dict[str, Any]]:
    found = scene.now["schedules"].get(name)
    return {} if found is None else {one["type"]: one for one in found.status.get("conditions", ())}


def listening(scene: Scene, name: str = "on", *, reason: str = "Listening") -> dict[str, Any]:
    """Wait until a Schedule says this of its events."""
    try:
        scene.until(
            lambda: conditions(scene, name).get("Listening", {}).get("reason") == reason, f"{name} to say {reason}", 30
        )
    except AssertionError:
        raise AssertionError(f"{name} does not say {reason}: {conditions(scene, name)}") from None
    return conditions(scene, name)["Listening"]


def made(scene: Scene, schedule: str = "on", *, ever: bool = False) -> list[Seen]:
    """The runs that a Schedule created, in the order of their creation."""
    found = list((scene.ever if ever else scene.now)["flowruns"].values())
    ours = [run for run in found if run.metadata.labels.get(names.LABEL_SCHEDULE) == schedule]
    return sorted(ours, key=lambda run: (run.metadata.creation_timestamp, run.metadata.name))


def made_one(scene: Scene, schedule: str = "on") -> Seen:
    scene.until(lambda: made(scene, schedule), "a run to be made")
    (run,) = made(scene, schedule)
    return run


def config_map(scene: Scene, name: str, labels: dict[str, str] | None = None, **data: str) -> Any:
    body: Any = {"metadata": {"name": name, "labels": labels or {}}, "data": data}
    return scene.core.create_namespaced_config_map(scene.namespace, body)


def config(**fields: Any) -> dict[str, Any]:
    return {"resource": {"apiVersion": "v1", "kind": "ConfigMap", **fields}}


def secret(scene: Scene, value: str = SECRET, name: str = "penstock-webhook", key: str = "orders") -> None:
    body: Any = {"metadata": {"name": name}, "stringData": {key: value}}
    scene.core.create_namespaced_secret(scene.namespace, body)


def webhook(**fields: Any) -> dict[str, Any]:
    return {"webhook": {"secretRef": {"name": "penstock-webhook", "key": "orders"}, **fields}}
