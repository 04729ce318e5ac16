from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.due_and_missed import (
    Firing,
    Ledger,
    Missed,
    MissedPolicy,
    MissedReason,
    OverlapPolicy,
    Policies,
    decide,
)
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.timetable import Timetable, read_timetable

HOUR = timedelta(hours=1)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
NO_JITTER = timedelta()


def at(text: str) -> datetime:
    """Read a time of the day."""
    hours, minutes, *seconds = (int(part) for part in text.split(":"))
    return DAY + timedelta(hours=hours, minutes=minutes, seconds=sum(seconds))


def timetable(cron: str) -> Timetable:
    return read_timetable(ScheduleSpec.model_construct(cron=[cron]))


def fire(
    *,
    cron: str = "@hourly",
    policies: Policies,
    decided: str = "0:00",
    queued: tuple[str, ...] = (),
    made: tuple[str, ...] = (),
    has_active: bool = False,
    now: str,
    jitter: timedelta = NO_JITTER,
) -> Firing:
    table = timetable(cron)
    return decide(
        table,
        Jitter(table, jitter, "uid"),
        policies,
        ledger=Ledger(at(decided), tuple(at(text) for text in queued)),
        created={at(text) for text in made},
        has_active=has_active,
        now=at(now),
    )


def policies(missed: str = "Latest", overlap: str = "Allow", within: str | None = None, **more: int) -> Policies:
    return Policies(
        missed=MissedPolicy(missed),
        overlap=OverlapPolicy(overlap),
        within=None if within is None else at(within) - DAY,
        **more,
    )


def shown(times: tuple[datetime, ...]) -> list[str]:
    return [f"{time:%-H:%M}" for time in times]


@pytest.mark.parametrize(
    ("rules", "now", "want", "missed"),
    [
        pytest.param(policies(), "0:59", [], [], id="nothing is due"),
        pytest.param(policies(), "1:00", ["1:00"], [], id="a tick is due at once"),
        pytest.param(policies("Skip"), "1:00:59", ["1:00"], [], id="and is on time for a minute"),
        pytest.param(policies("Skip"), "1:01", [], [("NotMadeUp", "1:00", 1)], id="then it is late"),
        pytest.param(
            policies(), "5:30", ["5:00"], [("NotMadeUp", "4:00", 4)], id="of five, the latest is created late"
        ),
        pytest.param(policies("Skip"), "5:30", [], [("NotMadeUp", "5:00", 5)], id="or none"),
        pytest.param(policies("Skip"), "5:00:30", ["5:00"], [("NotMadeUp", "4:00", 4)], id="but for one on time"),
        pytest.param(policies("All"), "3:30", ["1:00", "2:00", "3:00"], [], id="or all"),
        pytest.param(
            policies("All", max_late=2), "4:30", ["3:00", "4:00"], [("NotMadeUp", "2:00", 2)], id="or the last two"
        ),
        pytest.param(policies(within="0:05"), "3:04", ["3:00"], [("TooLate", "2:00", 2)], id="in time"),
        pytest.param(policies(within="0:05"), "3:06", [], [("TooLate", "3:00", 3)], id="too late"),
        pytest.param(policies("All", within="1:30"), "3:15", ["2:00", "3:00"], [("TooLate", "1:00", 1)], id="some"),
    ],
)
def test_late_ticks_get_runs_as_the_policy_says(rules, now, want, missed):
    firing = fire(policies=rules, now=now)
    assert shown(firing.fire) == want
    assert [(one.reason, f"{one.tick:%-H:%M}", one.count) for one in firing.missed] == missed
    assert firing.ledger.decided == max(at("0:00"), at(now).replace(minute=0, second=0))


@pytest.mark.parametrize(
    ("rules", "existing", "want", "queued", "stops", "missed"),
    [
        pytest.param(policies(), {"has_active": True}, ["1:00"], [], False, [], id="Allow: side by side"),
        pytest.param(
            policies(overlap="Skip"),
            {"has_active": True},
            [],
            [],
            False,
            [("RunAlreadyActive", 1)],
            id="Skip: not while one is active",
        ),
        pytest.param(policies(overlap="Skip"), {}, ["1:00"], [], False, [], id="Skip: when none is"),
        pytest.param(policies(overlap="Queue"), {"has_active": True}, [], ["1:00"], False, [], id="Queue: waits"),
        pytest.param(
            policies(overlap="Queue"),
            {"queued": ("0:00",)},
            ["0:00"],
            ["1:00"],
            False,
            [],
            id="Queue: in order",
        ),
        pytest.param(
            policies(overlap="Queue"),
            {"queued": ("0:00",), "has_active": True},
            [],
            ["1:00"],
            False,
            [("QueueFull", 1)],
            id="Queue: the latest waits",
        ),
        pytest.param(
            policies(overlap="Queue", max_queued=2),
            {"queued": ("0:00",), "has_active": True},
            [],
            ["0:00", "1:00"],
            False,
            [],
            id="Queue: as many as it takes",
        ),
        pytest.param(
            policies(overlap="Queue", within="0:30"),
            {"queued": ("0:00",)},
            ["1:00"],
            [],
            False,
            [("TooLate", 1)],
            id="Queue: not too late",
        ),
        pytest.param(policies(overlap="Replace"), {}, ["1:00"], [], False, [], id="Replace: nothing to replace"),
        pytest.param(
            policies(overlap="Replace"),
            {"has_active": True},
            [],
            ["1:00"],
            True,
            [],
            id="Replace: that one first",
        ),
        pytest.param(
            policies(overlap="Replace"),
            {"queued": ("0:00",)},
            ["1:00"],
            [],
            False,
            [("Replaced", 1)],
            id="Replace: the latest, when it has gone",
        ),
        pytest.param(policies(), {"queued": ("0:00",)}, ["0:00", "1:00"], [], False, [], id="an edit frees who waits"),
        pytest.param(policies(), {"made": ("1:00",)}, [], [], False, [], id="a tick that has a run already"),
        pytest.param(
            policies(overlap="Replace"),
            {"made": ("1:00",), "has_active": True},
            [],
            [],
            False,
            [],
            id="a run does not replace itself",
        ),
        pytest.param(
            policies(overlap="Queue"),
            {"made": ("0:00",), "queued": ("0:00",), "has_active": True},
            [],
            ["1:00"],
            False,
            [],
            id="a tick that waited and has a run already",
        ),
    ],
)
def test_an_unfinished_run_counts_as_the_policy_says(rules, existing, want, queued, stops, missed):
    firing = fire(policies=rules, now="1:00", **existing)
    assert shown(firing.fire) == want
    assert shown(firing.ledger.queued) == queued
    assert firing.stops_active is stops
    assert [(one.reason, one.count) for one in firing.missed] == missed
    assert firing.ledger.decided == at("1:00")


def test_after_a_year_the_latest_tick_gets_a_run_and_the_others_are_estimated():
    firing = fire(cron="* * * * *", policies=policies(), now=f"{24 * 365}:00:30")
    assert firing.fire == (DAY + timedelta(days=365),)
    (missed,) = firing.missed
    assert missed.count == 24 * 365 * 60 - 1


def test_a_tick_of_the_past_of_a_clock_that_was_set_back_does_not_come_again():
    firing = fire(policies=policies("All"), decided="5:00", now="3:30")
    assert firing == Firing((), stops_active=False, missed=(), ledger=Ledger(at("5:00")))


def test_a_decision_that_breaks_off_leaves_the_rest_for_later():
    before = Ledger(at("0:30"), (at("0:00"),))
    firing = fire(policies=policies("All"), decided="0:30", queued=("0:00",), now="3:00")
    assert shown(firing.fire) == ["0:00", "1:00", "2:00", "3:00"]
    at_queued, at_second = (firing.up_to_failure(at(text), before) for text in ("0:00", "2:00"))
    assert (shown(at_queued.fire), at_queued.ledger) == ([], before)
    assert (shown(at_second.fire), at_second.ledger) == (["0:00", "1:00"], Ledger(at("1:59:59")))


def test_jitter_delays_each_tick_by_its_own_and_always_the_same_time():
    table = timetable("@hourly")
    jitter, same, other = (Jitter(table, timedelta(minutes=10), seed) for seed in ("a", "a", "b"))
    ticks = table.between(DAY, DAY + timedelta(days=4), 1000)
    delays = [jitter.due(tick) - tick for tick in ticks]
    assert delays == [same.due(tick) - tick for tick in ticks]
    assert delays != [other.due(tick) - tick for tick in ticks]
    assert timedelta() <= min(delays) < timedelta(minutes=1)
    assert timedelta(minutes=9) < max(delays) < timedelta(minutes=10)


def test_a_tick_is_not_due_before_its_jitter_has_passed():
    jitter = timedelta(minutes=30)
    early = [fire(policies=policies(), now=f"1:{minute:02}", jitter=jitter) for minute in range(31)]
    fired = [bool(firing.fire) for firing in early]
    assert fired == sorted(fired)
    assert not fired[0]
    assert fired[-1]
    assert all(firing.ledger.decided == at("0:00") for firing in early if not firing.fire)


def test_jitter_never_makes_a_run_as_late_as_the_next_tick():
    table = timetable("0,1,30 * * * *")
    jitter = Jitter(table, timedelta(hours=5), "uid")
    ticks = table.between(DAY, DAY + timedelta(days=4), 1000)
    assert all(jitter.due(tick) < following for tick, following in pairwise(ticks))


every_policy = st.builds(
    Policies,
    missed=st.sampled_from(MissedPolicy),
    within=st.none() | st.timedeltas(timedelta(minutes=1), timedelta(hours=5)),
    max_late=st.integers(1, 5),
    overlap=st.sampled_from(OverlapPolicy),
    max_queued=st.integers(1, 3),
)


@settings(max_examples=300)
@given(
    every_policy,
    st.lists(st.tuples(st.timedeltas(timedelta(), timedelta(hours=3)), st.booleans(), st.booleans()), max_size=12),
    st.timedeltas(timedelta(), timedelta(hours=2)),
)
def test_every_tick_gets_one_run_or_waits_or_is_missed(rules, looks, longest_delay):
    # However often and late it is decided, whether or not runs have finished, and with decisions that are lost.
    table = timetable("0,20 * * * *")
    jitter = Jitter(table, longest_delay, "uid")
    ledger, now, missed = Ledger(DAY), DAY, 0
    runs: list[datetime] = []
    for passed, has_active, is_lost in looks:
        now += passed
        firing = decide(
            table, jitter, rules, ledger=ledger, created=frozenset(runs), has_active=has_active and bool(runs), now=now
        )
        runs += firing.fire
        if not is_lost:
            ledger = firing.ledger
            missed += sum(one.count for one in firing.missed)
    assert len(set(runs)) == len(runs)
    assert all(jitter.due(tick) <= now for tick in runs)
    decided = table.between(DAY, ledger.decided, 10_000)
    dealt_with = {*runs, *ledger.queued}
    if not any(is_lost for *_, is_lost in looks):
        assert runs == sorted(runs)
        assert len(decided) == len(dealt_with) + missed
    if rules.overlap is not OverlapPolicy.QUEUE:
        assert len(ledger.queued) <= 1
    assert len(ledger.queued) <= max(1, rules.max_queued)


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({}, Policies()),
        ({"onMissed": {"policy": "All"}}, Policies(missed=MissedPolicy.ALL, max_late=100)),
        (
            {"onMissed": {"within": "1h", "max": 5}, "onOverlap": "Queue", "maxQueued": 2},
            Policies(within=HOUR, max_late=5, overlap=OverlapPolicy.QUEUE, max_queued=2),
        ),
    ],
)
def test_policies_have_the_defaults_of_the_reference(spec, want):
    template = {"spec": {"flow": {"name": "etl"}}}
    assert (
        Policies.from_spec(ScheduleSpec.model_validate({"cron": ["@daily"], "runTemplate": template, **spec})) == want
    )
    assert replace(want) == want


def test_missed_ticks_are_reported_by_reason():
    assert fire(policies=policies("Skip"), now="2:30").missed == (Missed(MissedReason.NOT_MADE_UP, at("2:00"), 2),)
