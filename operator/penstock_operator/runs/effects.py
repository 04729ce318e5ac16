"""What a run's machine decides becomes writes, Events and metrics. Its status is stored elsewhere."""

from __future__ import annotations

import time

from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt, Step
from penstock_operator.runs.attempts.child_runs import ChildRuns
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.cache.lookup import CacheLookup
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.recorder import EventRecorder


class EffectExecutor:
    """Carries out what machines decide.

    Args:
        pods: creates and stops the attempts of tasks that run as Pods.
        child_runs: creates and stops those of tasks that run a flow.
        cache: answers for outputs.
        registry: runs writes in the background, and knows where finished tasks are counted.
        recorder: for Events.
    """

    def __init__(
        self,
        pods: AttemptPods,
        child_runs: ChildRuns,
        cache: CacheLookup,
        registry: RunRegistry,
        *,
        recorder: EventRecorder,
    ) -> None:
        self._pods = pods
        self._child_runs = child_runs
        self._cache = cache
        self._registry = registry
        self._recorder = recorder

    def execute_step(self, run: LiveRun, step: Step) -> None:
        """Carry out a step of a run's machine."""
        spawn = self._registry.spawn
        news_at = run.news_at if step.conclusions else None
        for create in step.creates:
            spawn(run, self._create(run, create, news_at))
        for stop in step.stops:
            spawn(run, self._attempts_of(run, stop.key).stop_attempt(run, stop))
        for removal in step.finalizer_removals:
            self._pods.remove_finalizer(run, removal)
        for verify in step.verifies:
            spawn(run, self._attempts_of(run, verify.key).verify_attempt(run, verify))
        for effect in step.cache:
            self._cache.handle_effect(run, effect)
        if step.conclusions or step.failed_attempts:
            series = self._registry.series_of(run)
            for conclusion in step.conclusions:
                series.count_task(conclusion)
                self._pods.report_freed_quota(run.key.namespace)
            for failed in step.failed_attempts:
                series.count_failed_attempt(failed)
        for notice in step.notices:
            self._recorder.record(
                run.regarding,
                is_warning=notice.is_warning,
                reason=notice.reason,
                note=notice.message,
                identity=notice.identity,
            )

    async def _create(self, run: LiveRun, create: CreateAttempt, news_at: float | None) -> None:
        await self._attempts_of(run, create.key).create_attempt(run, create)
        if news_at is not None:
            self._registry.series_of(run).of_namespace.hop.observe(time.monotonic() - news_at)

    def _attempts_of(self, run: LiveRun, key: TaskInstanceKey) -> AttemptPods | ChildRuns:
        assert run.machine is not None
        plan = run.machine.plan
        kind = plan.tasks[plan.positions[key.task]].kind
        return self._child_runs if kind is TaskKind.FLOW else self._pods
