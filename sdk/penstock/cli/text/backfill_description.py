"""The output of `penstock describe` for a Backfill. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from penstock.cli.text.console import Text
from penstock.cli.text.description import deed_text, event_section, field, heading, moment_text, requested_by
from penstock.cli.text.recent_runs import recent_section
from penstock.cli.text.run_table import RunCells
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import Object, read_time, status_of


def describe_backfill(
    backfill: Object, runs: Sequence[RunCells], events: Sequence[Object], now: dt.datetime, hint: Callable[[str], str]
) -> Iterator[Text]:
    """Describe a Backfill.

    Args:
        backfill: the Backfill.
        runs: its runs, the newest last.
        events: the `events.k8s.io/v1` Events about it.
        now: the current time, in the time zone of the output.
        hint: returns the full command line of a command.
    """
    metadata, spec, status = backfill["metadata"], backfill["spec"], status_of(backfill)
    name, state = metadata["name"], status.get("state", "Pending")
    title = Text(f"Backfill {name}  ", "bold").append(f"{state_style(state).sign} {state}", state_style(state).style)
    yield title.append(f", {status['progress']} ticks finished" if status.get("progress") else "")
    if status.get("message"):
        yield Text(f"  {status.get('reason', state)}: {status['message']}", "bold")
    yield field("schedule", spec["schedule"]["name"])
    yield field("period", f"{spec['from']} to {spec['to']}")
    for word in ("order", "reprocess", "maxActive"):
        if word in spec:
            yield field(word, str(spec[word]))
    if spec.get("suspend"):
        by = deed_text(metadata, "suspended", now)
        yield field("suspended", ", ".join(filter(None, ("no further runs start; active runs continue", by))))
    if counts := {word: count for word, count in (status.get("counts") or {}).items() if count}:
        yield field("ticks", ", ".join(f"{count} {word}" for word, count in counts.items()))
    if asked := requested_by(metadata):
        yield field("asked by", asked)
    for word, text in (
        ("created", metadata.get("creationTimestamp")),
        ("started", status.get("startTime")),
        ("finished", status.get("completionTime")),
    ):
        if moment := read_time(text):
            yield field(word, moment_text(moment, now))
    yield from recent_section(runs, now)
    yield from event_section(events, now)
    yield from heading("Next commands")
    if status.get("completionTime"):
        again = f"backfill {spec['schedule']['name']} --from {spec['from']} --to {spec['to']} --reprocess Failed"
        yield Text(f"  {hint(again)}")
    else:
        yield Text(f"  {hint(f'watch backfill/{name}')}")
        yield Text(f"  {hint(f'delete backfill/{name}')}")
