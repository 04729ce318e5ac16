"""Where the Flow of a Python flow comes from: of two flows with one name, the second must not replace the first."""

from __future__ import annotations

from typing import Any

from penstock.authoring.compilation import ANNOTATION_SOURCE
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
    found: str | None = (flow["metadata"].get("annotations") or {}).get(ANNOTATION_SOURCE)
    return found
