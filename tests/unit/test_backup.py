"""The format of backups."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.manifests.backup import clean_object, in_order, read_backup, write_backup
from penstock.errors import CommandError

TIME = "2026-11-22T12:00:00Z"


def flow_run(name: str, *owners: str, state: str = "Completed") -> dict[str, Any]:
    references = [{"kind": "FlowRun", "name": owner, "uid": f"uid-{owner}"} for owner in owners]
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": "12",
            "generation": 3,
            "managedFields": [{}],
            "finalizers": ["example.com/keep"],
            "ownerReferences": references,
        },
        "spec": {"flow": {"name": "f"}},
        "status": {
            "state": state,
            "epoch": 7,
            "observedGeneration": 3,
            "conditions": [{"type": "Finished", "status": "True", "observedGeneration": 3}],
            "outputs": {"text": "süß\x1b[2J\n"},
        },
    }


def test_what_is_written_is_read():
    objects = [clean_object(flow_run("a"), "FlowRun"), clean_object(flow_run("b", "a"), "FlowRun")]
    backup = read_backup(write_backup(objects, time=TIME), "b")
    assert (backup.time, backup.objects) == (TIME, objects)


def test_a_finished_run_keeps_its_status_without_the_leader_that_wrote_it():
    cleaned = clean_object(flow_run("a"), "FlowRun")
    assert cleaned["status"]["observedGeneration"] == 1
    assert cleaned["status"]["conditions"][0]["observedGeneration"] == 1
    assert "epoch" not in cleaned["status"]
    assert cleaned["metadata"].keys() == {"name", "namespace", "uid"}


def test_an_unfinished_run_has_no_status():
    assert "status" not in clean_object(flow_run("a", state="Running"), "FlowRun")


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        pytest.param(lambda lines: lines[:-1], "is incomplete", id="its end is missing"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], "is incomplete", id="an object is missing"),
        pytest.param(lambda lines: lines[:1], "is incomplete", id="only its head is there"),
        pytest.param(lambda lines: lines[1:], "is not a backup", id="its head is missing"),
        pytest.param(lambda lines: [], "is not a backup", id="it is empty"),  # noqa: ARG005 - the others need them
        pytest.param(lambda lines: [*lines[:1], "{", *lines[2:]], "line 2: not a backup", id="a line is not JSON"),
        pytest.param(lambda lines: ['{"backup": 2}', *lines[1:]], "use a newer penstock", id="it is of a later format"),
        pytest.param(
            lambda lines: [lines[0], '{"kind": "Pod", "metadata": {"namespace": "ns"}}', *lines[2:]],
            "line 2: Pod is not a kind that a backup holds",
            id="another kind",
        ),
    ],
)
def test_a_file_that_is_not_a_whole_backup_is_refused(cut, message):
    lines = list(write_backup([clean_object(flow_run("a"), "FlowRun")], time=TIME))
    with pytest.raises(CommandError, match=message):
        read_backup(cut(lines), "b")


def test_owners_come_before_what_they_own():
    runs = [clean_object(flow_run(*each), "FlowRun") for each in (("c", "b"), ("b", "a"), ("a",), ("x", "x"))]
    config_map = {"kind": "ConfigMap", "metadata": {"name": "m", "ownerReferences": [{"uid": "uid-c"}]}}
    flow = {"kind": "Flow", "metadata": {"name": "f"}}
    order = [body["metadata"]["name"] for body in in_order([config_map, *runs, flow])]
    assert order[0] == "f"
    assert order[-1] == "m"
    assert order.index("a") < order.index("b") < order.index("c")
