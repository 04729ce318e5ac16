"""Manifests of runs, written as their tasks alone."""

from __future__ import annotations

import json
from typing import Any

import yaml

IMAGE = "python:3.13-slim"
"""What the examples name; conftest loads it into the cluster."""
RESTRICTED = "{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"
"""securityContext of a container that is not `main`: its podTemplate must say what the namespace asks for."""
FIRST_ATTEMPT_HANGS = json.dumps('#!/bin/sh\nif [ "$ATTEMPT" = 1 ]; then sleep 600; fi\n')
"""A script that somebody has to end once, as YAML."""
FIRST_ATTEMPT_EXITS_WHEN_STOPPED = json.dumps(
    "#!/bin/sh\nif [ \"$ATTEMPT\" = 1 ]; then trap 'exit 0' TERM; echo ready; sleep 600 & wait; fi\n"
)
"""The same, with a program that exits with 0 on SIGTERM, as YAML."""
UNTIL_RELEASED = json.dumps("until [ -e /tmp/go ]; do sleep 0.1; done")
"""A script that runs until `Kubectl.release` ends it, as YAML."""

_DEFAULTS: dict[str, Any] = {
    "image": IMAGE,
    "env": [
        {"name": "ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['penstock.dev/attempt']"}}},
    ],
    # A program that is process 1 hears no SIGTERM unless it asks for it, and most of these don't.
    "podTemplate": {"spec": {"terminationGracePeriodSeconds": 1}},
}


def manifest(kind: str, name: str, spec: dict[str, Any]) -> str:
    """Return an object of ours; one document of a stream of YAML."""
    body = {"apiVersion": "penstock.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return f"---\n{json.dumps(body)}\n"


def flow(name: str, tasks: str, **spec: Any) -> str:
    """Return a Flow.

    Args:
        name: of the Flow.
        tasks: its tasks, as YAML. `$ATTEMPT` in a task is the number of its attempt.
        spec: further fields of its spec.
    """
    return manifest("Flow", name, _flow_spec(tasks, spec))


def flow_run(name: str, tasks: str, **spec: Any) -> str:
    """Return a run of a Flow spec of its own; the arguments are those of `flow`."""
    return manifest("FlowRun", name, {"flowSpec": _flow_spec(tasks, spec)})


def run_of(flow: str, name: str, **spec: Any) -> str:
    """Return a run of a Flow.

    Args:
        flow: name of the Flow.
        name: of the run.
        spec: further fields of the run's spec.
    """
    return manifest("FlowRun", name, {"flow": {"name": flow}, **spec})


def _flow_spec(tasks: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"defaults": _DEFAULTS, "tasks": yaml.safe_load(tasks), **spec}


def task(run: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a run's status says of a task."""
    entry: dict[str, Any] = next(entry for entry in run["status"]["tasks"] if entry["name"] == name)
    return entry
