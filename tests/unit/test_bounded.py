from __future__ import annotations

from penstock_operator.runtime.bounded import BoundedMap, BoundedSet


def test_a_key_too_many_takes_the_place_of_the_oldest():
    keys: BoundedSet[int] = BoundedSet(3)
    for key in range(5):
        keys.add(key)
    assert [key for key in range(5) if key in keys] == [2, 3, 4]
    assert len(keys) == 3


def test_a_key_that_is_added_again_does_not_get_younger():
    keys: BoundedSet[str] = BoundedSet(2)
    for key in ("a", "b", "a", "c"):
        keys.add(key)
    assert "a" not in keys
    assert "b" in keys


def test_a_discarded_key_makes_room():
    keys: BoundedSet[str] = BoundedSet(2)
    keys.add("a")
    keys.add("b")
    keys.discard("b")
    keys.discard("never added")
    keys.add("c")
    assert "a" in keys
    assert "c" in keys


def test_a_mapping_keeps_the_keys_that_were_used_last():
    values: BoundedMap[str, int] = BoundedMap(2)
    values["a"] = 1
    values["b"] = 2
    values.move_to_end("a")
    values["c"] = 3
    assert dict(values) == {"a": 1, "c": 3}


def test_a_mapping_takes_a_new_value_for_a_key_without_dropping_another():
    values: BoundedMap[str, int] = BoundedMap(2)
    values["a"] = 1
    values["b"] = 2
    values["a"] = 3
    assert dict(values) == {"a": 3, "b": 2}
