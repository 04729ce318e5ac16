"""What the ConfigMap of a cached task says, and what is made of one that says nonsense."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api import names
from penstock.engine.cache import carries_code, has_outputs, is_task_instance_finished
from penstock.engine.keys import ObjectKey, TaskInstanceKey
from penstock_operator.runs.cache.entry import (
    EntryLabels,
    Holder,
    Lock,
    Outputs,
    StoredEntry,
    build_entry,
    content_hash,
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
    return msgspec.convert(build_entry(KEY, EntryLabels("orders", "load"), content), StoredEntry)


def rewritten(entry: StoredEntry, data: dict[str, str] | None) -> StoredEntry:
    """Return an entry with another content, whose hash is right all the same."""
    hashed = {**entry.metadata.labels, names.LABEL_CACHE_HASH: content_hash(KEY, data or {})}
    return StoredEntry(msgspec.structs.replace(entry.metadata, labels=hashed), data)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.floats(0.001, 1e9))
def test_outputs_are_read_as_they_were_written(value, ttl_s):
    outputs = Outputs("run-1", Holder("run-1", "uid-1", TaskInstanceKey("load", 3)), NOW, ttl_s, value)

    assert read_entry(stored(outputs), NOW) == outputs


@given(st.none() | st.integers(0, 10_000))
def test_a_lock_is_read_as_it_was_written(item):
    lock = Lock(Holder("run-1", "uid-1", TaskInstanceKey("load", item)), NOW)

    assert read_entry(stored(lock), NOW) == lock


@given(st.none() | st.dictionaries(FIELDS, st.text()))
def test_nonsense_is_nothing_and_no_error(data):
    content = read_entry(rewritten(stored(Lock(Holder("run-1", "uid-1", TaskInstanceKey("load")), NOW)), data), NOW)

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
    entry = stored(Outputs("run-1", None, NOW, 60.0, {"rows": 1}))

    assert read_entry(rewritten(entry, (entry.data or {}) | change), NOW) is None


def test_an_entry_counts_only_with_the_labels_and_the_hash_of_its_content_and_under_its_own_name():
    entry = stored(Outputs("run-1", None, NOW, 60.0, {"rows": 1}))
    metadata, data = entry.metadata, entry.data or {}

    def labelled(**labels: str | None) -> StoredEntry:
        wanted = {**metadata.labels, **{label.replace("_", "-"): text for label, text in labels.items()}}
        wanted = {f"penstock.dev/{label}" if "/" not in label else label: text for label, text in wanted.items()}
        left = {label: text for label, text in wanted.items() if text is not None}
        return StoredEntry(msgspec.structs.replace(metadata, labels=left), data)

    assert read_entry(entry, NOW) is not None
    assert read_entry(labelled(cache_hash=None), NOW) is not None, "one of an earlier version"
    assert read_entry(labelled(cache=None), NOW) is None
    assert read_entry(labelled(cache="lock"), NOW) is None
    assert read_entry(labelled(**{names.LABEL_MANAGED_BY: None}), NOW) is None
    assert read_entry(StoredEntry(metadata, data | {"outputs": '{"rows": 2}'}), NOW) is None
    assert read_entry(StoredEntry(msgspec.structs.replace(metadata, name="cache-2"), data), NOW) is None


@pytest.mark.parametrize(
    ("outputs", "want"),
    [
        pytest.param({"result": 1, "pickle": "gA=="}, True, id="a pickle"),
        pytest.param({"stored": {"url": "s3://b/k", "sha256": "x", "as": "pickle"}}, True, id="a stored pickle"),
        pytest.param({"stored": {"url": "s3://b/k", "sha256": "x", "as": "exact"}}, False, id="stored JSON"),
        pytest.param({"result": 1, "exact": "[1]"}, False, id="JSON"),
    ],
)
def test_outputs_carry_code_if_a_task_would_unpickle_them(outputs, want):
    assert carries_code(outputs) is want


@pytest.mark.parametrize(
    ("entry", "item", "want"),
    [
        pytest.param({"outputs": {"n": 1}}, None, True, id="a task"),
        pytest.param({"outputs": {"n": 2}}, None, False, id="a task with others"),
        pytest.param({}, None, False, id="a task that has none yet"),
        pytest.param({"outputs": [None, {"n": 1}]}, 1, True, id="an item"),
        pytest.param({"outputs": [None, {"n": 1}]}, 0, False, id="another item"),
        pytest.param({"outputs": [None, {"n": 1}]}, 7, False, id="an item that there is not"),
        pytest.param({"outputsDropped": True}, 1, False, id="an item whose outputs were too many"),
    ],
)
def test_a_status_proves_what_a_task_has_produced(entry, item, want):
    status = {"tasks": [{"name": "other", "outputs": {"n": 1}}, {"name": "load", **entry}]}

    assert has_outputs(status, TaskInstanceKey("load", item), {"n": 1}) is want


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
    assert Outputs("run-1", None, NOW, 60.0, {}).is_fresh(NOW + age_s, asked_ttl_s) is want


def test_the_name_is_one_that_kubernetes_takes_and_differs_by_scope():
    found = {entry_name(scope, "digest") for scope in ("flow/a", "flow/b", "inline/a")}

    assert len(found) == 3
    assert all(
        len(name) <= 63 and name.startswith("cache-") and name.isascii() and name == name.lower() for name in found
    )


@pytest.mark.parametrize(
    ("status", "key", "want"),
    [
        pytest.param({}, TaskInstanceKey("load"), False, id="a run without a status"),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running"}]}, TaskInstanceKey("load"), False, id="a task that runs"
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Failed"}]},
            TaskInstanceKey("load"),
            True,
            id="a finished task",
        ),
        pytest.param(
            {"tasks": [{"name": "load", "state": "Running", "items": {"indexes": {"Completed": "0-4,7"}}}]},
            TaskInstanceKey("load", 7),
            True,
            id="a finished item",
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
