"""What the descriptions of all kinds are made of: headings, fields, times, Events. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.api.names import ANNOTATION_CREATED_BY, ANNOTATION_ON_BEHALF_OF, ANNOTATION_REQUESTED_BY
from penstock.cli.text.console import Text
from penstock.cli.text.times import format_distance
from penstock.drawing.task_rows import Object, read_time, shorten
from penstock.engine.audit import Record, cause_of, read_record

FIELD_WIDTH: Final = 11
WARNING: Final = "yellow"


def heading(text: str) -> Iterator[Text]:
    """Return the heading of a section, after an empty line."""
    yield Text("")
    yield Text(text, "bold")


def field(name: str, value: str) -> Text:
    """Return a field of the object; without a name, it continues the one before."""
    return Text(f"  {name:{FIELD_WIDTH}}", "dim").append(Text(value, ""))


def moment_text(moment: dt.datetime, now: dt.datetime) -> str:
    """Return a time in the time zone of `now`, and how far it is away."""
    return f"{moment.astimezone(now.tzinfo):%F %T %Z} ({format_distance(moment, now)})"


def value_text(value: Any) -> str:
    """Return any JSON as text."""
    return shorten(json.dumps(value, ensure_ascii=False))


def one_line(message: str) -> str:
    """Shorten a message of several lines, such as the end of a log: its first line and its last."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return shorten(lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}") if lines else ""


def event_section(events: Sequence[Object], now: dt.datetime) -> Iterator[Text]:
    """Return the Events about an object, oldest first.

    Args:
        events: `events.k8s.io/v1` Events.
        now: the current time, in the time zone of the output.
    """
    if events:
        yield from heading("Events")
    for event in sorted(events, key=_event_time):
        moment = read_time(_event_time(event))
        time = f"{moment.astimezone(now.tzinfo):%F %T}" if moment else ""
        note = one_line(event.get("note") or "")
        line = f"  {time}  {event.get('type', ''):7}  {event.get('reason', '')}: {note}".rstrip()
        yield Text(line, WARNING if event.get("type") == "Warning" else "")


def requested_by(metadata: Mapping[str, Any]) -> str:
    """Return who asked for an object, as its annotations have it; empty if they do not say.

    Of a run that the operator created, that is who last changed its Schedule, or created its Backfill.
    """
    annotations = metadata.get("annotations") or {}
    return str(
        annotations.get(ANNOTATION_ON_BEHALF_OF)
        or annotations.get(ANNOTATION_CREATED_BY)
        or annotations.get(ANNOTATION_REQUESTED_BY)
        or ""
    )


def deed_text(metadata: Mapping[str, Any], deed: str, now: dt.datetime) -> str:
    """Return who did something last, and when; empty if that is not recorded.

    Args:
        metadata: of the object.
        deed: as in `penstock.engine.audit`.
        now: the current time, in the time zone of the output.
    """
    annotations = metadata.get("annotations") or {}
    record = read_record(annotations, deed)
    if record is None:
        return ""
    is_last = deed != "changed" or cause_of(annotations, metadata.get("generation", 0)) is not None
    return record_text(record, now) + ("" if is_last else "; later changes are not recorded")


def deed_fields(metadata: Mapping[str, Any], deeds: Sequence[str], now: dt.datetime) -> Iterator[Text]:
    """Return a field for each of these deeds that is recorded, as `deed_text` does."""
    yield from (field(deed, text) for deed in deeds if (text := deed_text(metadata, deed, now)))


def record_text(record: Record, now: dt.datetime) -> str:
    """Return who did something, and when."""
    moment = read_time(record.time or None)
    return f"by {record.user}, {moment_text(moment, now)}" if moment else f"by {record.user}"


def _event_time(event: Object) -> str:
    return str(
        event.get("eventTime")
        or event.get("deprecatedLastTimestamp")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def condition_title(found: Object, condition: str) -> Text:
    """Return the first line about an object that is ready or not, with the reason."""
    title = Text(f"{found['kind']} {found['metadata']['name']}  ", "bold")
    conditions: list[Mapping[str, Any]] = (found.get("status") or {}).get("conditions") or []
    for each in conditions:
        if each["type"] == condition:
            is_true = each["status"] == "True"
            title.append(f"✓ {condition}" if is_true else f"✗ not {condition}", "green" if is_true else "red")
            return title.append(f", {each.get('reason', '')}: {each.get('message', '')}".rstrip(": "))
    return title.append("not handled by any operator yet; if this persists, run penstock doctor", WARNING)
