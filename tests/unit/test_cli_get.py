import datetime as dt
import json
import re
from typing import Any

import pytest
import yaml

from penstock.api.kind import KINDS
from penstock.cli.cluster.kinds import RESOURCES, RUNS, find_resource
from penstock.cli.commands.get import build_selectors, format_objects, format_table
from penstock.cli.text.run_table import RunCells, run_table
from penstock.errors import CommandError

FLOWS = find_resource("flows")


@pytest.mark.parametrize(
    ("states", "flow", "want"),
    [
        pytest.param(None, None, [{}], id="everything"),
        pytest.param("failed", None, [{"fieldSelector": "status.state=Failed"}], id="a state in any case"),
        pytest.param(
            "Failed,Crashed",
            None,
            [{"fieldSelector": "status.state=Failed"}, {"fieldSelector": "status.state=Crashed"}],
            id="several states are asked for one by one",
        ),
        pytest.param(
            None,
            "orders",
            [{"fieldSelector": "spec.flow.name=orders"}, {"labelSelector": "penstock.dev/flow=orders"}],
            id="a Flow, by name and by label",
        ),
        pytest.param(
            "Paused",
            "orders",
            [
                {"fieldSelector": "status.state=Paused,spec.flow.name=orders"},
                {"fieldSelector": "status.state=Paused", "labelSelector": "penstock.dev/flow=orders"},
            ],
            id="both",
        ),
    ],
)
def test_what_is_asked_for_becomes_selectors(states, flow, want):
    assert list(build_selectors(RUNS, states, flow)) == want


@pytest.mark.parametrize(
    ("resource", "states", "message"),
    [
        pytest.param(RUNS, "Faild", 'did you mean "Failed"', id="an unknown state"),
        pytest.param(FLOWS, "Failed", "only valid for runs", id="states of Flows"),
    ],
)
def test_invalid_options_are_rejected(resource, states, message):
    with pytest.raises(CommandError, match=message):
        list(build_selectors(resource, states, None))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_word_of_a_kind_finds_it(resource):
    assert all(find_resource(word.upper()) is resource for word in resource.words)


def test_every_kind_can_be_listed_by_its_own_names():
    known = {resource.kind: (resource.plural, set(resource.words)) for resource in RESOURCES}
    assert set(known) == {kind.name for kind in KINDS}
    for kind in KINDS:
        plural, words = known[kind.name]
        assert plural == kind.plural
        assert {kind.plural, kind.singular, kind.short_name} <= words


def test_a_table_has_the_columns_that_fit_and_the_namespace_if_asked_for():
    columns: list[dict[str, Any]] = [{"name": "Name"}, {"name": "State"}, {"name": "Message", "priority": 1}]
    rows: list[dict[str, Any]] = [
        {"cells": ["orders-1", "Failed", "no"], "object": {"metadata": {"namespace": "a"}}},
        {"cells": ["b", None, None], "object": {"metadata": {"namespace": "bb"}}},
    ]
    narrow = [line.plain for line in format_table(columns, rows, is_wide=False, has_namespaces=False)]
    assert narrow == ["NAME       STATE", "orders-1   Failed", "b"]
    wide = [line.plain for line in format_table(columns, rows, is_wide=True, has_namespaces=True)]
    assert wide == [
        "NAMESPACE   NAME       STATE    MESSAGE",
        "a           orders-1   Failed   no",
        "bb          b",
    ]


NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def row(metadata: dict[str, Any] | None = None, *, is_wide: bool = False, **cells: Any) -> dict[str, str]:
    """The cells that are shown, by their headings."""
    run = RunCells({name.replace("_", " "): value for name, value in cells.items()}, {"name": "r", **(metadata or {})})
    headings, line = (line.plain for line in run_table([run], NOW, is_wide=is_wide))
    names = re.split(r" {2,}", headings)
    starts = [headings.index(name) if at == 0 else headings.index(f" {name}") + 1 for at, name in enumerate(names)]
    ends = [*starts[1:], len(line)]
    return {name: line[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}


def test_the_flow_of_a_retry_is_read_from_its_label():
    assert row({"labels": {"penstock.dev/flow": "orders"}})["FLOW"] == "orders"


def test_a_failed_run_shows_how_many_tasks_failed_the_first_of_them_and_how_long_it_took():
    counts = '{"Completed":3,"Crashed":1,"Failed":2,"Skipped":1}'
    shown = row(
        State="Failed",
        Failed=2,
        Failed_task="load",
        Counts=counts,
        Reason="TaskFailed",
        Started_at="2026-11-22T11:00:00Z",
        Finished_at="2026-11-22T11:05:00Z",
        Finished="55m",
    )
    assert (shown["FAILED"], shown["FAILED TASK"], shown["DURATION"]) == ("3", "load", "5m00s")
    assert shown["FINISHED"] == "55m ago"


@pytest.mark.parametrize(
    ("cells", "want"),
    [
        pytest.param({"State": "Running", "Shutdown": "Cancel"}, "Cancelling", id="cancel"),
        pytest.param({"State": "Running", "Shutdown": "Drain"}, "Draining", id="drain"),
        pytest.param({"State": "Running", "Suspend": True}, "Suspending", id="suspend"),
        pytest.param({"State": "Paused", "Suspend": True, "Reason": "Suspended"}, "Suspended", id="suspended"),
        pytest.param({"State": "Cancelled", "Shutdown": "Cancel", "Reason": "RunCancelled"}, "RunCancelled", id="done"),
    ],
)
def test_what_was_asked_of_a_run_shows_at_once(cells, want):
    assert row(**cells)["REASON"] == want


@pytest.mark.parametrize(
    ("metadata", "want"),
    [
        pytest.param({"annotations": {"penstock.dev/requested-by": "bob"}}, "bob", id="noted"),
        pytest.param({"labels": {"penstock.dev/schedule": "nightly"}}, "Schedule nightly", id="a Schedule"),
        pytest.param(
            {"annotations": {"audit.penstock.dev/created-by": "bob", "penstock.dev/requested-by": "eve"}},
            "bob",
            id="recorded",
        ),
        pytest.param(
            {
                "labels": {"penstock.dev/schedule": "nightly"},
                "annotations": {"audit.penstock.dev/on-behalf-of": "bob"},
            },
            "bob (Schedule nightly)",
            id="a Schedule that somebody changed",
        ),
    ],
)
def test_wide_shows_who_and_the_tick(metadata, want):
    metadata.setdefault("annotations", {})["penstock.dev/tick"] = "2026-11-22T02:30:00+01:00"
    shown = row(metadata, is_wide=True, Message="task load\n failed")
    assert (shown["BY"], shown["TICK"]) == (want, "2026-11-22T02:30:00+01:00")
    assert shown["MESSAGE"] == "task load failed"


def test_objects_are_written_for_programs():
    def run():
        return {"kind": "FlowRun", "metadata": {"name": "r", "managedFields": []}, "spec": {}}

    assert format_objects([run()], "name", is_list=True) == "flowrun.penstock.dev/r\n"
    want = {"kind": "FlowRun", "metadata": {"name": "r"}, "spec": {}}
    assert json.loads(format_objects([run()], "json", is_list=False)) == want
    assert yaml.safe_load(format_objects([run()], "yaml", is_list=True))["items"] == [want]
