"""Where the Flow of a Python flow comes from: of two flows with one name, the second must not replace the first."""

from __future__ import annotations

import json
from typing import Any

from penstock.authoring.pod_call import CALL
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError


def check_origin(flow: dict[str, Any], existing: Object) -> None:
    """Refuse to replace the Flow of another Python flow. A Flow that was not compiled has another field manager.

    Args:
        flow: the new Flow.
        existing: the Flow of that name in the cluster.

    Raises:
        CommandError: it is that of another flow.
    """
    new, old = _origin(flow), _origin(existing)
    if old is not None and new != old:
        raise CommandError(
            f"Flow {flow['metadata']['name']} exists and is that of {old}: give {new} another name, with --name or"
            " @flow(name=...), or replace it with --force-conflicts"
        )


def _origin(flow: dict[str, Any]) -> str | None:
    """Return the `module:name` of the Python flow; None if there is none."""
    for task in flow["spec"].get("tasks", ()):
        for variable in task.get("env", ()):
            if variable.get("name") == CALL:
                call = json.loads(variable["value"])
                return str(call.get("of") or call.get("flow"))
    return None
