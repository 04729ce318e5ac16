import json
from typing import Any

import pytest
import yaml

from penstock.api.kind import KINDS
from penstock.cli.cluster.kinds import RESOURCES, RUNS, find_resource
from penstock.cli.commands.get import build_selectors, format_objects, format_table
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


def test_the_flow_of_a_retry_is_read_from_its_label():
    labels = {"namespace": "a", "labels": {"penstock.dev/flow": "orders"}}
    lines = format_table(
        [{"name": "Flow"}], [{"cells": [None], "object": {"metadata": labels}}], is_wide=False, has_namespaces=False
    )
    assert [line.plain for line in lines] == ["FLOW", "orders"]


def test_objects_are_written_for_programs():
    def run():
        return {"kind": "FlowRun", "metadata": {"name": "r", "managedFields": []}, "spec": {}}

    assert format_objects([run()], "name", is_list=True) == "flowrun.penstock.dev/r\n"
    want = {"kind": "FlowRun", "metadata": {"name": "r"}, "spec": {}}
    assert json.loads(format_objects([run()], "json", is_list=False)) == want
    assert yaml.safe_load(format_objects([run()], "yaml", is_list=True))["items"] == [want]
