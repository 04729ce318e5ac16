"""The output of `penstock describe` for a Flow. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from penstock.cli.text.console import Text
from penstock.cli.text.description import condition_title, event_section, field, heading, value_text
from penstock.cli.text.inherited import inherited_section
from penstock.cli.text.recent_runs import recent_section
from penstock.cli.text.run_table import RunCells
from penstock.cli.text.schedule_row import rules_of, state_of
from penstock.drawing.task_rows import Object, status_of


def describe_flow(
    flow: Object,
    runs: Sequence[RunCells],
    schedules: Sequence[Object],
    events: Sequence[Object],
    now: dt.datetime,
    hint: Callable[[str], str],
    inherited: Object | None = None,
) -> Iterator[Text]:
    """Describe a Flow.

    Args:
        flow: the Flow.
        runs: its runs, the newest last.
        schedules: the Schedules of its namespace.
        events: the `events.k8s.io/v1` Events about it.
        now: the current time, in the time zone of the output.
        hint: returns the full command line of a command.
        inherited: the specs of the defaults in its revision, by `namespace` and `installation`.
    """
    name, spec, status = flow["metadata"]["name"], flow["spec"], status_of(flow)
    yield condition_title(flow, "Ready")
    if text := spec.get("description"):
        yield Text(f"  {' '.join(text.split())}")
    yield field("revision", status.get("revision", "none yet"))
    tasks = [*spec["tasks"], *(spec.get("finally") or ())]
    yield field("tasks", f"{len(tasks)}, with finally tasks")
    for word in ("timeout", "concurrency", "retention"):
        if word in spec:
            yield field(word, spec[word] if isinstance(spec[word], str) else value_text(spec[word]))
    yield from inherited_section(spec, inherited or {})
    if params := spec.get("params"):
        yield from heading("Params")
        for param in params:
            default = f" = {value_text(param['default'])}" if "default" in param else ""
            described = f"  {param['description']}" if param.get("description") else ""
            yield Text(f"  {param['name']}: {param.get('type', 'string')}{default}{described}")
    yield from heading("Tasks")
    for task in tasks:
        upstream = [*(task.get("dependsOn") or ()), *(each["task"] for each in task.get("dependsOnStates") or ())]
        yield Text(f"  {task['name']}" + (f"  after {', '.join(upstream)}" if upstream else ""))
    users = [each for each in schedules if (each["spec"]["runTemplate"]["spec"].get("flow") or {}).get("name") == name]
    if users:
        yield from heading("Schedules")
        yield from (Text(f"  {each['metadata']['name']}: {rules_of(each)}, {state_of(each)}") for each in users)
    yield from recent_section(runs, now)
    yield from event_section(events, now)
    yield from heading("Next commands")
    required = [param["name"] for param in spec.get("params") or () if param.get("required", "default" not in param)]
    words = "".join(f" -p {param}=VALUE" for param in required)
    yield Text(f"  {hint(f'run {name}{words}')}")
    yield Text(f"  {hint(f'graph flow/{name}')}")
