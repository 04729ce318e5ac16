import argparse

import pytest

from penstock.cli.commands.runs.logs import read_log_options, select_logs
from penstock.cli.text.log_source import Choice
from penstock.errors import CommandError


def make_pod(task, *, attempt=1, index=None, state="terminated", created="2026-11-22T12:00:00Z"):
    labels = {"penstock.dev/task": task, "penstock.dev/attempt": str(attempt)}
    if index is not None:
        labels["penstock.dev/index"] = str(index)
    return {
        "metadata": {"name": f"{task}-{index}-{attempt}", "labels": labels, "creationTimestamp": created},
        "status": {"containerStatuses": [{"name": "sidecar", "state": {}}, {"name": "main", "state": {state: {}}}]},
    }


def make_failed_init(task):
    pod = make_pod(task, state="waiting")
    pod["status"]["initContainerStatuses"] = [
        {"name": "fetch", "state": {"terminated": {"exitCode": 1}}},
        {"name": "later", "state": {"waiting": {}}},
    ]
    return pod


def test_a_pod_of_which_only_an_init_container_ran_has_its_log():
    (log,) = select_logs([make_failed_init("a")], Choice(), all_attempts=False).values()
    assert log == ("a-None-1", "fetch")
    (log,) = select_logs([make_pod("a")], Choice("a"), all_attempts=False).values()
    assert log.container == "main"


def names(pods, *, task=None, item=None, all_attempts=False):
    return [str(source) for source in select_logs(pods, Choice(task, item), all_attempts=all_attempts)]


def test_logs_come_in_the_order_in_which_the_pods_were_created():
    pods = [make_pod("b", created="2026-11-22T12:00:01Z"), make_pod("c"), make_pod("a")]
    assert names(pods) == ["a", "c", "b"]


def test_items_come_in_the_order_of_their_numbers():
    assert names([make_pod("a", index=10), make_pod("a", index=9)]) == ["a[9]", "a[10]"]


def test_only_the_last_attempt_counts_unless_all_are_asked_for():
    pods = [make_pod("a"), make_pod("a", attempt=2), make_pod("b", index=0), make_pod("b", index=1, attempt=2)]
    assert names(pods) == ["a#2", "b[0]", "b[1]#2"]
    assert names(pods, all_attempts=True) == ["a", "a#2", "b[0]", "b[1]#2"]


def test_an_attempt_that_has_no_log_yet_leaves_the_one_before():
    assert names([make_pod("a"), make_pod("a", attempt=2, state="waiting")]) == ["a"]


def test_one_task_can_be_asked_for():
    assert names([make_pod("a"), make_pod("b")], task="b") == ["b"]


def test_one_item_can_be_asked_for():
    assert names([make_pod("a", index=0), make_pod("a", index=3), make_pod("b")], item=3) == ["a[3]"]


def options(**given):
    return read_log_options(argparse.Namespace(**{"since": None, "tail": None, "timestamps": False, **given})).given()


def test_options_are_those_of_the_api_server():
    assert options() == {}
    assert options(since="2m", tail=0, timestamps=True) == {
        "sinceSeconds": "120",
        "tailLines": "0",
        "timestamps": "true",
    }
    assert options(since="10ms") == {"sinceSeconds": "1"}


@pytest.mark.parametrize(
    ("given", "message"), [({"since": "yesterday"}, "--since yesterday: "), ({"tail": -1}, "--tail -1: must be at")]
)
def test_an_invalid_option_is_refused(given, message):
    with pytest.raises(CommandError, match=message):
        options(**given)
