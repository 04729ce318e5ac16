"""A Python flow to deploy, and what is found in the cluster then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client as kubernetes_client

from tests.api.scene import Scene

ETL = """
    from penstock import flow, task

    @task
    def double(x: int) -> int:
        return FACTOR * x

    @flow
    def etl(count: int = 3, day: str = "today") -> int:
        return double(count)
"""
INLINE = ("--inline", "--image", "busybox")
Deploy = Callable[..., tuple[int, list[str]]]


def code_maps(core: kubernetes_client.CoreV1Api, namespace: str) -> list[Any]:
    found: list[Any] = core.list_namespaced_config_map(namespace, label_selector="penstock.dev/code-of").items
    return found


def get(scene: Scene, plural: str, name: str) -> dict[str, Any]:
    custom: Any = scene.custom
    found: dict[str, Any] = custom.get_namespaced_custom_object(
        "penstock.dev", "v1alpha1", scene.namespace, plural, name
    )
    return found


def kinds(lines: list[str]) -> list[str]:
    return [line.split("/")[0] + " " + line.rpartition(" ")[2] for line in lines]


PARAMS = [{"name": "day"}, {"name": "count", "type": "integer", "default": 1}]


def orders(scene: Scene, *tasks: dict[str, Any], **fields: Any) -> None:
    scene.create("Flow", "orders", {"params": PARAMS, "tasks": list(tasks), **fields})
