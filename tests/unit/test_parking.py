from __future__ import annotations

import logging

import pytest

from penstock_operator.metrics import Metrics
from penstock_operator.runtime.parking import Parking, describe_error


class Lot:
    """A parking of names, on a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.parking: Parking[str] = Parking("FlowRun", self.metrics, clock=lambda: self.now)

    def pause(self, name: str = "a") -> float:
        """Have a name fail, let its pause pass, and return how long that was, in seconds."""
        retry_at = self.parking.park(name, LookupError("x"))
        pause_s, self.now = retry_at - self.now, retry_at
        return pause_s

    def count(self, metric: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric, {"kind": "FlowRun"})


def test_the_pause_grows_up_to_five_minutes_whatever_succeeds_in_between():
    lot = Lot()
    pauses = []
    for _ in range(9):
        pauses.append(lot.pause())
        lot.parking.succeed("a")
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert lot.pause("b") == 5


def test_after_a_long_time_without_a_failure_the_pause_begins_again():
    lot = Lot()
    assert [lot.pause(), lot.pause()] == [5, 10]
    lot.now += 601
    assert lot.pause() == 5


def test_a_parked_object_is_left_alone_until_its_time_or_until_it_changes():
    lot = Lot()
    retry_at = lot.parking.park("a", LookupError("x"))
    assert (lot.parking.retry_at("a"), lot.parking.retry_at("b")) == (retry_at, None)
    lot.parking.release("a")
    assert lot.parking.retry_at("a") is None
    retry_at = lot.parking.park("a", LookupError("x"))
    lot.now = retry_at
    assert lot.parking.retry_at("a") is None


def test_what_is_parked_is_counted_until_it_succeeds_or_is_gone():
    lot = Lot()
    assert lot.count("penstock_parked_objects") == 0
    for name in ("a", "a", "b"):
        lot.parking.park(name, LookupError("x"))
    assert (lot.count("penstock_parked_objects"), lot.parking.parked) == (2, ["a", "b"])
    lot.parking.succeed("a")
    lot.parking.forget_object("b")
    lot.parking.forget_object("never seen")
    assert lot.count("penstock_parked_objects") == 0
    assert lot.count("penstock_internal_errors_total") == 3


def test_a_traceback_is_logged_once(caplog):
    lot = Lot()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            lot.pause()
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    assert "FlowRun a; retrying in 10 s: LookupError: x" in caplog.text


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (LookupError("in\n  two lines"), "LookupError: in two lines"),
        (RecursionError(), "RecursionError"),
        (ValueError("x" * 9000), f"ValueError: {'x' * 500}"),
    ],
)
def test_an_error_is_described_in_one_line(error, want):
    assert describe_error(error) == want
