"""The output of `penstock describe` for FlowDefaults. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from penstock.cli.text.console import Text
from penstock.cli.text.description import condition_title, event_section, field, heading, value_text
from penstock.drawing.task_rows import Object


def describe_flow_defaults(found: Object, events: Sequence[Object], now: dt.datetime) -> Iterator[Text]:
    """Describe FlowDefaults.

    Args:
        found: the FlowDefaults.
        events: the `events.k8s.io/v1` Events about them.
        now: the current time, in the time zone of the output.
    """
    yield condition_title(found, "Ready")
    spec = found.get("spec") or {}
    for name, value in spec.items():
        if name != "finally":
            yield field(name, value if isinstance(value, str) else value_text(value))
    if tasks := spec.get("finally"):
        yield from heading("Finally tasks of every run")
        yield from (Text(f"  {task['name']}  {task.get('image', '')}") for task in tasks)
    yield from event_section(events, now)
