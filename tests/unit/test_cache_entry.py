"""What the ConfigMap of a cached task says, and what is made of one that says nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.cache import is_task_instance_finished
from penstock.engine.keys import ObjectKey, TaskInstanceKey
from penstock_operator.runs.cache.entry import (
    EntryLabels,
    Holder,
    Lock,
    Outputs,
    StoredEntry,
    build_entry,
    entry_name,
    read_entry,
)

NOW = 1_800_000_000.0
KEY = ObjectKey("lab", "cache-1")
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["run", "runUid", "task", "item", "time", "ttlSeconds", "outputs"])


def stored(content: Lock | Outputs) -> StoredEntry:
    return StoredEntry(data=build_entry(KEY, EntryLabels("orders", "load"), content)["data"])


@given(st.dictionaries(st.text(), JSON, max_size=4), st.floats(0.001, 1e9))
def test_outputs_are_read_as_they_were_written(value, ttl_s):
    outputs = Outputs("run-1", NOW, ttl_s, value)

    assert read_entry(stored(outputs), NOW) == outputs


@given(st.none() | st.integers(0, 10_000))
def test_a_lock_is_read_as_it_was_written(item):
    lock = Lock(Holder("run-1", "uid-1", TaskInstanceKey("load", item)), NOW)

    assert read_entry(stored(lock), NOW) == lock


@given(st.none() | st.dictionaries(FIELDS, st.text()))
def test_nonsense_is_nothing_and_no_error(data):
    content = read_entry(StoredEntry(data=data), NOW)

    assert content is None or isinstance(content, Lock)


@pytest.mark.parametrize(
    "change", [{"run": ""}, {"run": "."}, {"runUid": ""}, {"item": "9" * 5000}, {"time": "0001-01-01"}]
)
def test_a_lock_that_no_run_can_hold_counts_as_absent(change):
    data = (stored(Lock(Holder("run-1", "uid-1", TaskInstanceKey("load", 3)), NOW)).data or {}) | change

    assert read_entry(StoredEntry(data=data), NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"outputs": "[1]"}, id="outputs that are not an object"),
        pytest.param({"outputs": '{"a": '}, id="outputs that are not JSON"),
        pytest.param({"outputs": '{"a":' * 5000}, id="outputs nested without an end"),
        pytest.param({"outputs": '{"a": "%s"}' % ("x" * 20_000)}, id="outputs longer than any task's"),
        pytest.param({"time": "yesterday"}, id="a time that is none"),
        pytest.param({"time": "2060-01-01T00:00:00Z"}, id="a time far in the future, never to grow old"),
        pytest.param({"ttlSeconds": "inf"}, id="a time to live without an end"),
        pytest.param({"ttlSeconds": "long"}, id="a time to live that is not a number"),
        pytest.param({"run": ""}, id="no run"),
        pytest.param({"run": ".."}, id="a run whose name leads elsewhere"),
        pytest.param({"run": "A/b"}, id="a run with a name that none can have"),
        pytest.param({"time": "0001-01-01"}, id="a time before all calendars"),
    ],
)
def test_an_entry_that_was_edited_by_hand_counts_as_absent(change):
    data = (stored(Outputs("run-1", NOW, 60.0, {"rows": 1})).data or {}) | change

    assert read_entry(StoredEntry(data=data), NOW) is None


@pytest.mark.parametrize(
    ("age_s", "asked_ttl_s", "want"),
    [
        pytest.param(59.0, None, True, id="young enough"),
        pytest.param(60.0, None, False, id="as old as may be is too old"),
        pytest.param(30.0, 20.0, False, id="the one who asks wants younger ones"),
        pytest.param(70.0, 3600.0, False, id="the one who asks can't make them live longer"),
    ],
)
def test_outputs_grow_old(age_s, asked_ttl_s, want):
    assert Outputs("run-1", NOW, 60.0, {}).is_fresh(NOW + age_s, asked_ttl_s) is want


def test_the_name_is_one_that_kubernetes_takes_and_differs_by_scope():
    names = {entry_name(scope, "digest") for scope in ("flow/a", "flow/b", "inline/a")}

    assert len(names) == 3
    assert all(
        len(name) <= 63 and name.startswith("cache-") and name.isascii() and name == name.lower() for name in names
    )


@pytest.mark.parametrize(
    ("status", "key", "want"),
    [
        pytest.param({}, TaskInstanceKey("load"), False, id="a run without a status"),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running"}]}, TaskInstanceKey("load"), False, id="a task that runs"
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Failed"}]}, TaskInstanceKey("load"), True, id="a task that is over"
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running", "items": {"indexes": {"Completed": "0-4,7"}}}]},
            TaskInstanceKey("load", 7),
            True,
            id="an item that is over",
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running", "items": {"indexes": {"Completed": "0-4,7"}}}]},
            TaskInstanceKey("load", 5),
            False,
            id="an item that is not over",
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running", "items": {"indexes": {"Completed": "x"}}}]},
            TaskInstanceKey("load", 5),
            False,
            id="a status that can't be read",
        ),
    ],
)
def test_a_status_tells_whether_a_holder_is_still_at_it(status, key, want):
    assert is_task_instance_finished(status, key) is want
