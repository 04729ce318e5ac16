"""The steps of machines: made at once, or by a thread if an expression may take long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from penstock.engine.expressions.budget import is_spent, limited
from penstock.engine.machine.effects.effects import Step
from penstock.engine.machine.facts import Fact
from penstock.engine.machine.machine import Machine
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.slow_pool import SlowPool
from penstock_operator.runtime.turn import Turn

STEP_COST: Final = 10_000_000
"""Of the expressions of a step that is made at once; the next one continues on a thread."""


class Stepper:
    """Has machines handle facts and decide.

    Args:
        registry: the live runs.
        metrics: where the time of steps is counted.
        carry_out: carries out a step that was decided at a time.
        clock: seconds since the epoch.

    Attributes:
        slow_pool: the threads.
        turn: the present turn of the event loop.
    """

    def __init__(
        self,
        registry: RunRegistry,
        metrics: Metrics,
        *,
        carry_out: Callable[[LiveRun, Machine, Step, float], None],
        clock: Callable[[], float],
    ) -> None:
        self.slow_pool = SlowPool()
        self.turn = Turn()
        self._registry = registry
        self._metrics = metrics
        self._carry_out = carry_out
        self._clock = clock

    def advance_run(self, run: LiveRun) -> None:
        """Make a step of a run's machine, and have it carried out."""
        machine = run.machine
        assert machine is not None
        if run.is_slow or machine.may_be_slow:
            run.is_slow = False
            run.stepping = self._registry.spawn(run, self._advance_slowly(run, machine))
            return
        began_at = time.perf_counter()
        now, step = self._prepare_step(run, machine)()
        self._metrics.reconcile_duration.observe(time.perf_counter() - began_at)
        self._carry_out(run, machine, step, now)

    def _prepare_step(self, run: LiveRun, machine: Machine) -> Callable[[], tuple[float, Step]]:
        """Take the run's facts; returns what has the machine handle them, and decide."""
        facts, run.facts = run.facts, []
        run.news_at = run.first_fact_at if facts else None
        may_create = run.may_create(time.monotonic())

        def step() -> tuple[float, Step]:
            now = self._clock()
            with limited(STEP_COST):
                for position, fact in enumerate(facts):
                    if is_spent():
                        self._continue_slowly(run, facts[position:])
                        break
                    machine.observe(fact, now)
                return now, machine.advance(now, may_create=may_create)

        return step

    def _continue_slowly(self, run: LiveRun, facts: list[Fact]) -> None:
        """Have facts handled by a step on a thread: `retry.when` and cache keys may cost much all together."""
        run.facts = facts
        run.is_slow = True
        self._registry.reconcile_at(run, time.monotonic())

    async def _advance_slowly(self, run: LiveRun, machine: Machine) -> None:
        """Make a step that may have to wait for an expression; meanwhile all other runs continue."""
        try:
            async with self.slow_pool.hold(run.key.namespace):
                now, step = await self.slow_pool.call(self._prepare_step(run, machine))
        finally:
            run.stepping = None
        shutdown, run.late_shutdown = run.late_shutdown, None
        if shutdown is not None:
            self._registry.end_run(run, shutdown)
        if run.is_due_again or run.facts:
            run.is_due_again = False
            self._registry.reconcile_at(run, time.monotonic())
        # It may have been parked meanwhile.
        if self._registry.is_live(run) and run.machine is machine:
            self._carry_out(run, machine, step, now)
