"""How a task uses the cache: it asks before its first attempt, and a hit completes it without a Pod."""

from __future__ import annotations

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.effects.effects import AskCache
from penstock.engine.machine.facts import CacheBusy, CacheHit, CacheMiss, Cause, Outcome
from penstock.engine.machine.outputs_limit import limit_outputs
from penstock.engine.machine.run.run import Run
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.reasons import Reason
from penstock.engine.state import TaskState


class TaskCache:
    """Asks the cache and handles its answers. The lock is released in `Run.finish_instance`.

    Args:
        run: the state of the run.
        attempts: ends the attempt of a task whose cached outputs are too large.
    """

    def __init__(self, run: Run, attempts: Attempts) -> None:
        self._run = run
        self._attempts = attempts

    def ask_cache(self, task: TaskRun, key: TaskInstanceKey, instance: TaskInstance) -> bool:
        """Ask the cache before the first attempt; a later attempt has the lock already.

        Returns:
            Whether the cache was asked, so that nothing is created before its answer.

        Raises:
            ExpressionError: the cache key could not be evaluated.
        """
        cache = task.plan.cache
        if cache is None or instance.is_granted or instance.attempt > 1:
            return False
        run = self._run
        instance.cache_digest = run.cache_digest(task, cache, key)
        run.outbox.cache.append(AskCache(key, instance.cache_digest, cache.ttl_s))
        run.set_timer(task, key, instance)
        return True

    def observe(self, answer: CacheHit | CacheMiss | CacheBusy, now: float) -> None:
        """Handle an answer of the cache. Answers may come twice, late, or out of order."""
        run = self._run
        position = run.plan.positions.get(answer.key.task)
        task = None if position is None else run.tasks[position]
        if task is None or (answer.key.item is not None and not run.is_item(task, answer.key.item)):
            return
        instance = task.live_task_instance(answer.key.item)
        if instance is None or not _awaits_answer(instance):
            return
        if isinstance(answer, CacheMiss):
            instance.is_granted = True
            run.due_attempts.append(answer.key)
        elif isinstance(answer, CacheBusy):
            instance.mark_queued(Reason.CACHE_BUSY, answer.message)
            run.record_state(task, answer.key, instance)
            run.set_timer(task, answer.key, instance)
        else:
            self._handle_hit(task, instance, answer, now)

    def _handle_hit(self, task: TaskRun, instance: TaskInstance, hit: CacheHit, now: float) -> None:
        run = self._run
        outcome = limit_outputs(Outcome(Cause.SUCCESS, now, outputs=hit.outputs), used_bytes=run.outputs_bytes)
        if outcome.outputs is None:
            self._attempts.end_attempt(task, hit.key, instance, outcome, now)
            return
        instance.mark_cached(now)
        if hit.key.item is None:
            task.source = hit.run
        run.finish_instance(task, hit.key, instance, outcome.outputs, now)


def _awaits_answer(instance: TaskInstance) -> bool:
    is_waiting = instance.state in (TaskState.PENDING, TaskState.QUEUED)
    return is_waiting and not instance.is_seen and instance.attempt == 1 and not instance.is_granted
