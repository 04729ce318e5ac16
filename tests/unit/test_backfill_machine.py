"""Which ticks of a Backfill get a run: rows for what is asked for, and properties for crashes and others' runs."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.backfill import Order, Reprocess
from penstock.engine.ticks.backfill import BackfillMachine, Creation, Outcome, Record, TickRun

OURS = "ours"
ORDERS: tuple[Order, ...] = ("OldestFirst", "NewestFirst")
REPROCESS: tuple[Reprocess, ...] = ("None", "Failed", "All")


def machine(ticks: int = 4, **options: Any) -> BackfillMachine:
    return BackfillMachine(OURS, ticks, Record(), **options)


def advance(one: BackfillMachine, max_active: int = 10, *, is_suspended: bool = False) -> list[int]:
    """Create what is to be created; returns the ticks."""
    creations = one.advance(max_active=max_active, is_suspended=is_suspended)
    for tick, number in creations:
        one.observe(TickRun(tick, number, None, OURS))
    return [creation.tick for creation in creations]


@pytest.mark.parametrize(("order", "want"), [("OldestFirst", [0, 1]), ("NewestFirst", [3, 2])])
def test_ticks_come_in_the_order_asked_for_and_no_more_than_allowed_at_once(order, want):
    one = machine(order=order)
    assert advance(one, max_active=2) == want
    assert advance(one, max_active=2) == []
    one.observe(TickRun(want[0], 0, "Completed", OURS))
    assert len(advance(one, max_active=2)) == 1
    assert one.counts() == {"Running": 2, "Completed": 1}
    assert one.progress == "1/4"


def test_one_run_at_a_time_unless_more_are_allowed():
    assert len(machine().advance(max_active=None, is_suspended=False)) == 1


def test_a_suspended_backfill_starts_nothing_and_observes_its_runs():
    one = machine()
    advance(one, max_active=1)
    assert advance(one, is_suspended=True) == []
    one.observe(TickRun(0, 0, "Failed", OURS))
    assert one.counts() == {"Running": 0, "Completed": 0, "Failed": 1}
    assert not one.is_successful


@pytest.mark.parametrize(
    ("existing", "reprocess", "want"),
    [
        pytest.param("Completed", "None", None, id="a completed one is left"),
        pytest.param("Failed", "None", None, id="a failed one is left too"),
        pytest.param("Running", "None", None, id="a running one is left"),
        pytest.param("Completed", "Failed", None, id="only failed ones are repeated: a completed one is left"),
        pytest.param("TimedOut", "Failed", 1, id="only failed ones are repeated: one that timed out is"),
        pytest.param("Skipped", "Failed", 1, id="only failed ones are repeated: one that was skipped did not run"),
        pytest.param("Completed", "All", 1, id="all are repeated"),
    ],
)
def test_a_tick_that_has_a_run(existing, reprocess, want):
    one = machine(ticks=1, reprocess=reprocess)
    one.load_runs([TickRun(0, 0, existing, "")])
    creations = one.advance(max_active=10, is_suspended=False)
    if want is None:
        assert creations == []
        assert one.record.outcomes == {0: Outcome.SKIPPED}
    else:
        assert creations == [Creation(0, want)]


@pytest.mark.parametrize(
    ("state", "has_started", "want"),
    [
        pytest.param("Completed", True, Outcome.COMPLETED, id="it completed"),
        pytest.param("Skipped", False, Outcome.NOT_RUN, id="it was skipped by a concurrency limit"),
        pytest.param("Cancelled", False, Outcome.NOT_RUN, id="it was cancelled while it waited"),
        pytest.param("Cancelled", True, Outcome.FAILED, id="it was cancelled while it ran"),
        pytest.param("Failed", False, Outcome.FAILED, id="its params were invalid"),
    ],
)
def test_a_tick_is_completed_only_if_its_run_ran_to_its_end(state, has_started, want):
    one = machine(ticks=1)
    advance(one)

    one.observe(TickRun(0, 0, state, OURS, has_started=has_started))

    assert one.record.outcomes == {0: want}
    assert one.is_successful == (want is Outcome.COMPLETED)
    assert Record.from_status(one.record.to_status()) == one.record


@pytest.mark.parametrize("reprocess", ["Failed", "All"])
def test_a_tick_whose_run_is_under_way_waits_for_it_and_does_not_hold_up_the_others(reprocess):
    one = machine(ticks=2, reprocess=reprocess)
    one.load_runs([TickRun(0, 0, "Running", "other")])
    assert advance(one) == [1]
    one.observe(TickRun(0, 0, "Failed", "other"))
    assert one.advance(max_active=10, is_suspended=False) == [Creation(0, 1)]


def test_only_the_last_run_of_a_tick_decides_whether_it_failed():
    one = machine(ticks=2, reprocess="Failed")
    one.load_runs([TickRun(0, 0, "Failed", ""), TickRun(0, 1, "Completed", "x")])
    one.observe(TickRun(1, 0, "Completed", ""))
    one.observe(TickRun(1, 3, "Crashed", "x"))
    assert one.advance(max_active=10, is_suspended=False) == [Creation(1, 4)]


def test_a_deleted_run_is_not_created_again():
    one = machine(ticks=2)
    advance(one, max_active=1)
    one.remove_run(0, 0)
    assert one.record.outcomes == {0: Outcome.DELETED}
    assert advance(one) == [1]


def test_a_run_that_was_deleted_while_no_operator_ran_is_not_created_again():
    one = machine(ticks=2)
    advance(one)
    again = BackfillMachine(OURS, 2, Record.from_status(one.record.to_status()))
    again.load_runs([TickRun(1, 0, "Running", OURS)])
    assert again.advance(max_active=10, is_suspended=False) == []
    assert again.record.outcomes == {0: Outcome.DELETED}


def test_a_record_is_what_was_written():
    record = Record({0, 1, 2, 7}, {0: Outcome.COMPLETED, 1: Outcome.COMPLETED, 7: Outcome.FAILED, 3: Outcome.SKIPPED})
    written = record.to_status()
    assert written == {"started": "0-2,7", "settled": {"Completed": "0-1", "Failed": "7", "Skipped": "3"}}
    assert Record.from_status(written) == record
    assert Record.from_status({}) == Record()


class World:
    """A cluster with a Schedule's runs, some Backfills of it, and people who delete runs.

    Names are unique, as in a real cluster: a run of a tick and number exists once.
    """

    def __init__(self, rng: random.Random, ticks: int, others: list[TickRun]) -> None:
        self.rng = rng
        self.ticks = ticks
        self.runs = {(run.tick, run.number): run for run in others}
        self.ever = Counter(self.runs.keys())

    def create(self, tick: int, number: int, backfill: str) -> TickRun:
        """Create a run, or find the one of that name."""
        if (tick, number) not in self.runs:
            running = [run for run in self.runs.values() if run.tick == tick and not run.is_finished]
            assert not running, f"tick {tick} gets a second run beside {running}"
            self.runs[tick, number] = TickRun(tick, number, None, backfill)
            self.ever[tick, number] += 1
        return self.runs[tick, number]

    def progress(self) -> TickRun | None:
        """Let a run end; returns it. How it ends follows from its name alone."""
        running = [key for key, run in self.runs.items() if not run.is_finished]
        if not running:
            return None
        key = self.rng.choice(running)
        state = "Failed" if (key[0] * 7 + key[1]) % 3 == 0 else "Completed"
        self.runs[key] = self.runs[key]._replace(state=state)
        return self.runs[key]


class Operator:
    """Takes Backfills on, and may be thrown away at any point: what it stored and the world's runs are left."""

    def __init__(self, world: World, options: list[dict[str, Any]], crash_rate: float) -> None:
        self.world = world
        self.options = options
        self.crash_rate = crash_rate
        self.stored: list[dict[str, Any]] = [{} for _ in options]
        self.machines: dict[int, BackfillMachine] = {}

    def crashes(self) -> bool:
        return self.world.rng.random() < self.crash_rate

    def machine(self, which: int) -> BackfillMachine:
        if which not in self.machines or self.crashes():
            options = {name: self.options[which][name] for name in ("order", "reprocess")}
            record = Record.from_status(self.stored[which])
            self.machines[which] = BackfillMachine(f"backfill-{which}", self.world.ticks, record, **options)
            self.machines[which].load_runs(self.world.runs.values())
        return self.machines[which]

    def step(self, which: int) -> None:
        """Take one Backfill on, and let a run end now and then."""
        one, max_active = self.machine(which), self.options[which]["max_active"]
        for tick, number in one.advance(max_active=max_active, is_suspended=False):
            self.observe(self.world.create(tick, number, f"backfill-{which}"))
            if self.crashes():
                del self.machines[which]
                break
        runs = [run for run in self.world.runs.values() if run.backfill == f"backfill-{which}" and not run.is_finished]
        assert len(runs) <= max_active
        if which in self.machines and self.world.rng.random() < 0.7:
            self.stored[which] = one.record.to_status()
        if self.world.rng.random() < 0.7:
            self.observe(self.world.progress())

    def observe(self, run: TickRun | None) -> None:
        if run is not None:
            for one in self.machines.values():
                one.observe(run)


def play(world: World, options: list[dict[str, Any]], crash_rate: float) -> list[Record]:
    """Advance Backfills until all have finished; returns their records."""
    operator = Operator(world, options, crash_rate)
    for _ in range(200 * (world.ticks + 1) * len(options)):
        operator.step(world.rng.randrange(len(options)))
        if len(operator.machines) == len(options) and all(one.is_finished for one in operator.machines.values()):
            return [operator.machines[which].record for which in range(len(options))]
    raise AssertionError(f"the Backfills do not end: {operator.stored}")


backfills = st.fixed_dictionaries(
    {"max_active": st.integers(1, 4), "order": st.sampled_from(ORDERS), "reprocess": st.sampled_from(REPROCESS)}
)
past_runs = st.lists(
    st.builds(
        TickRun,
        st.integers(0, 7),
        st.just(0),
        st.sampled_from(["Completed", "Failed", "TimedOut"]),
        st.just(""),
    ),
    unique_by=lambda run: run.tick,
    max_size=6,
)
rates = st.sampled_from([0.1, 0.5])


@given(st.integers(1, 8), past_runs, backfills, rates, st.integers(0, 2**32))
def test_crashes_at_any_point_change_nothing_of_which_runs_there_are(ticks, others, options, rate, seed):
    others = [run for run in others if run.tick < ticks]
    calm = World(random.Random(seed), ticks, others)
    stormy = World(random.Random(seed + 1), ticks, others)
    (want,) = play(calm, [options], 0.0)
    (found,) = play(stormy, [options], rate)
    assert stormy.runs == calm.runs
    assert found.outcomes == want.outcomes
    assert set(stormy.ever.values()) <= {1}


@given(st.integers(1, 8), past_runs, st.lists(backfills, min_size=2, max_size=3), rates, st.integers(0, 2**32))
def test_backfills_of_the_same_ticks_never_run_one_twice_at_the_same_time(ticks, others, options, rate, seed):
    # `World.create` fails when a tick gets a run beside one that is under way.
    others = [run for run in others if run.tick < ticks]
    play(World(random.Random(seed), ticks, others), options, rate)
