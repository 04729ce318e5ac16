"""What is valid and may surprise: the webhook and `penstock lint` warn of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_defaults import DEFAULTS_NAME
from penstock.api.flow_run import FlowRunSpec
from penstock.engine.suggestion import enumerate_names, suggest


def image_warnings(spec: InlineFlowSpec, path: str) -> Iterator[str]:
    """Warn once of each image that may be another one tomorrow, also for the next attempt of the same task."""
    images = [(f"{path}.defaults.image", spec.defaults.image)] if spec.defaults is not None else []
    images += [(f"{path}.tasks[{position}].image", task.image) for position, task in enumerate(spec.tasks)]
    warned: set[str] = set()
    for where, image in images:
        if image is not None and image not in warned and not _is_pinned(image):
            warned.add(image)
            yield f"{where}: {image} may change between attempts: use a digest, or a tag other than latest"


def approval_warnings(spec: FlowRunSpec, flow: InlineFlowSpec | None) -> Iterator[str]:
    """Warn of decisions about tasks that are not approvals: no error, because the run may have another revision."""
    flow = flow or spec.flow_spec
    if flow is None:
        return
    asked = [task.name for task in (*flow.tasks, *(flow.finally_ or ())) if task.approval is not None]
    for position, decision in enumerate(spec.approvals or ()):
        if decision.task not in asked:
            where = f"spec.approvals[{position}].task"
            yield (
                f"{where}: the flow has no approval {decision.task}{suggest(decision.task, asked)}, so this has no "
                f"effect; its approvals: {enumerate_names(asked)}"
            )


def name_warnings(obj: Mapping[str, Any]) -> Iterator[str]:
    """Warn of FlowDefaults that have no effect."""
    name = (obj.get("metadata") or {}).get("name")
    if name is not None and name != DEFAULTS_NAME:
        yield f"metadata.name: only the FlowDefaults named {DEFAULTS_NAME} counts in a namespace: {name} has no effect"


def _is_pinned(image: str) -> bool:
    """Return whether an image has a digest, or a tag other than `latest`. A colon before a slash is a port."""
    if "@" in image:
        return True
    _, _, tag = image.rpartition("/")[2].partition(":")
    return tag not in {"", "latest"}
