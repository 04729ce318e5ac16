"""The state machine of one run: from what was stored and what is seen to what is done next.

The invariant that everything rests on: from the stored status, the Pods that exist and the time, the same
decision follows, whatever was held in memory before. So nothing here is remembered that could not be found
again, and a decision that can't be taken back (stopping a Pod, letting one go) waits until its reason is stored.

A step costs what has changed: a task that ends touches the tasks that depend on it, an item its fan-out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import RunIdentity
from penstock.engine.machine.attempts import OUTPUTS_BYTES, Attempts
from penstock.engine.machine.effects import CreateAttempt, Step
from penstock.engine.machine.facts import AttemptSeen, Control, Fact
from penstock.engine.machine.items import json_size
from penstock.engine.machine.notices import Notice
from penstock.engine.machine.report import Changes
from penstock.engine.machine.reuse import choose_kept
from penstock.engine.machine.run import Run
from penstock.engine.machine.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.starter import Starter
from penstock.engine.machine.task import TaskRun
from penstock.engine.machine.verdict import RunVerdict, flow_outputs, judge_run
from penstock.engine.reasons import Reason
from penstock.engine.state import (
    COMPLETED_TASK_STATES,
    FINAL_TASK_STATES,
    RunState,
    TaskState,
)

__all__ = ["MAX_UNSTORED_OUTCOMES", "OUTPUTS_BYTES", "Machine", "RunIdentity"]

MAX_UNSTORED_OUTCOMES: Final = 1000
"""With this many outcomes not yet stored a run creates nothing: they exist in Pods alone."""


class Machine:
    """Decides what one run does next.

    Args:
        plan: the compiled Flow.
        run: which run it is.
        params: the resolved params.
        now: seconds since the epoch.
        stored: the stored status, if the run has one of ours.
        control: what the run's spec says that may change while it runs.
        ancestor: of a run that retries another: what `status.retryOf` says.
        kept: of a run that retries another, and has no stored status yet: the other's `status.tasks`.

    Raises:
        StoredStatusError: the stored status can't be read, or is not of this plan.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunIdentity,
        params: Mapping[str, Any],
        *,
        now: float,
        stored: Mapping[str, Any] | None = None,
        control: Control | None = None,
        ancestor: Mapping[str, Any] | None = None,
        kept: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.plan = plan
        self.run = run
        self._board = Run(plan, run, params, control=control or Control(), now=now)
        self._attempts = Attempts(self._board)
        self._starter = Starter(self._board, self._attempts)
        self._is_started = False
        self._finally_due_at: float | None = None
        self._stored_outcomes = 0
        self._sent_outcomes: dict[int, int] = {}
        board = self._board
        if stored is not None and stored.get("tasks"):
            self._restore(stored, now)
        else:
            board.report.head.ancestor = ancestor
            self._keep(kept, source=None if ancestor is None else str(ancestor["name"]))
        for position, remaining in enumerate(board.remaining):
            task = board.tasks[position]
            if not remaining and task.state is TaskState.PENDING and not task.is_begun:
                board.ready.append(position)
        self._apply_control(now)

    # What the machine is told

    def observe(self, fact: Fact, now: float) -> None:
        """Take over a fact. Facts may come twice, late, or out of order.

        Args:
            fact: what was seen.
            now: seconds since the epoch.
        """
        self._attempts.observe(fact, now)

    def is_news(self, seen: AttemptSeen) -> bool:
        """Whether what was seen of a Pod is not known here yet: the reply to its create comes again as an event."""
        return self._attempts.is_news(seen)

    def set_control(self, control: Control, now: float) -> None:
        """Take over what the run's spec says now.

        Args:
            control: the part of the spec that may change.
            now: seconds since the epoch.
        """
        board = self._board
        was_suspended, board.control = board.control.is_suspended, control
        # Whoever changed the spec can see by observedGeneration that it was looked at.
        board.report.touch_head(is_urgent=True)
        board.clock.timeout_s = self.plan.timeout_s if control.timeout_s is None else control.timeout_s
        self._push_run_timer()
        if was_suspended and not control.is_suspended:
            for task in board.tasks:
                for index, unit in task.live():
                    if unit.state is TaskState.RETRYING:
                        unit.armed_at = None
                        board.arm(task, task.key(index), unit)
        self._apply_control(now)

    def shut_down(self, mode: ShutdownMode, reason: Reason, message: str, now: float) -> None:
        """End the run early, by somebody's decision. A decision only gets stronger.

        Args:
            mode: how.
            reason: why: the reason of what is stopped.
            message: the same for people.
            now: seconds since the epoch.
        """
        self._shut_down(Shutdown(mode, reason, message), now)

    def is_wanted(self, create: CreateAttempt) -> bool:
        """Whether what is to be created is still to be: the run may have been stopped since."""
        return not self.is_over and self._attempts.is_wanted(create.key, create.attempt)

    def advance(self, now: float, *, may_create: bool = True) -> Step:
        """Decide what follows from all that was observed.

        Args:
            now: seconds since the epoch.
            may_create: false while nothing may be created; it is made up for by a later step.

        Returns:
            The writes to make and when to come back.
        """
        board = self._board
        if not self._is_started:
            self._is_started = True
            self._starter.resume_unseen(now)
            self._stop_overdue(now)
        self._starter.settle_ready(now)
        creates: list[CreateAttempt] = []
        if not self.is_over:
            self._run_timers(now)
            self._starter.settle_ready(now)
            if may_create and not board.control.is_suspended and not self._is_full:
                creates = self._starter.create(now)
            self._starter.settle_ready(now)
        self._push_finally_timer(now)
        self._finish_run(now)
        self._update_state(now)
        wake_at = None if self.is_over else board.timers.next_due(now)
        # Whoever can't create until outcomes are stored does not wait to store them.
        is_urgent = board.report.is_urgent or self._is_full
        return board.outbox.take(creates, wake_at=wake_at, is_changed=board.report.is_dirty, is_urgent=is_urgent)

    def stored(self, version: int) -> bool:
        """Learn that all changes up to this version are stored: what waited for it may now be done.

        Returns:
            Whether a step would find something to do.
        """
        report = self._board.report
        report.stored_version = max(report.stored_version, version)
        was_full = self._is_full
        self._stored_outcomes = self._sent_outcomes.pop(version, self._stored_outcomes)
        is_freed = self._board.outbox.stored(report.stored_version)
        return is_freed or was_full or self.is_over or report.is_dirty

    def changes(self) -> Changes:
        """Return what the stored status lacks; see `Report.changes`."""
        changes = self._board.report.changes()
        self._sent_outcomes[changes.version] = self._board.settled_outcomes
        return changes

    def unstored(self, changes: Changes) -> None:
        """Learn that these changes were not stored after all."""
        self._sent_outcomes.pop(changes.version, None)
        self._board.report.take_back(changes)

    @property
    def _is_full(self) -> bool:
        return self._board.settled_outcomes - self._stored_outcomes >= MAX_UNSTORED_OUTCOMES

    @property
    def state(self) -> RunState:
        """The run's state."""
        return self._board.state

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The Flow's outputs, once the run is over."""
        return self._board.report.head.outputs

    @property
    def is_over(self) -> bool:
        """Whether the run has reached a final state."""
        return self._board.is_over

    @property
    def is_settled(self) -> bool:
        """Whether the run is over and nothing waits for the status to be stored."""
        return self.is_over and not self._board.outbox.waiting and not self._board.report.is_dirty

    @property
    def running_task_instances(self) -> int:
        """Number of tasks and items whose container runs."""
        return self._board.live_counts[TaskState.RUNNING]

    @property
    def live_task_instances(self) -> int:
        """Number of tasks and items that have begun and are not over."""
        return self._board.live_counts.total()

    # Control

    def _apply_control(self, now: float) -> None:
        """Act on what a person decided in the spec."""
        board = self._board
        if self.is_over:
            return
        if board.control.shutdown is not None:
            self._shut_down(Shutdown.by_spec(board.control.shutdown), now)
        for name in board.control.approvals:
            position = self.plan.positions.get(name)
            if position is not None and self.plan.tasks[position].approval is not None:
                self._attempts.decide_approval(board.tasks[position], now)

    def _shut_down(self, shutdown: Shutdown, now: float) -> None:
        board = self._board
        if self.is_over or (board.shutdown is not None and board.shutdown.mode >= shutdown.mode):
            return
        board.shutdown = board.report.head.shutdown = shutdown
        board.report.touch_head(is_urgent=True)
        self._stop_for_shutdown(now)

    def _stop_for_shutdown(self, now: float) -> None:
        board = self._board
        shutdown = board.shutdown
        assert shutdown is not None
        is_terminated = shutdown.mode is ShutdownMode.TERMINATE
        stopped = board.tasks if is_terminated else board.tasks[: self.plan.first_finally]
        self._attempts.stop_all(stopped, shutdown.reason, now, mode=shutdown.mode)

    # Clocks

    def _run_timers(self, now: float) -> None:
        if self._judge_time(now):
            self._stop_overdue(now)
        self._attempts.ring(now)

    def _judge_time(self, now: float) -> bool:
        """See whether the time of the run, or of its finally tasks, is over; returns whether that is news."""
        board = self._board
        self._push_finally_timer(now)
        due_at = self._finally_due_at if board.is_in_finally else board.clock.due_at
        if due_at is None or due_at > now:
            return False
        if board.is_in_finally:
            is_news = not board.is_finally_timed_out
            board.is_finally_timed_out = True
        else:
            is_news = not board.is_timed_out
            board.is_timed_out = True
        return is_news

    def _stop_overdue(self, now: float) -> None:
        """Stop what runs although its time is over."""
        board = self._board
        if board.is_timed_out and not board.is_in_finally:
            self._attempts.stop_all(board.tasks[: self.plan.first_finally], Reason.RUN_TIMED_OUT, now)
        if board.is_finally_timed_out:
            self._attempts.stop_all(board.tasks[self.plan.first_finally :], Reason.FINALLY_TIMED_OUT, now)

    def _push_run_timer(self) -> None:
        board = self._board
        board.timers.set_run(self._finally_due_at if board.is_in_finally else board.clock.due_at)

    def _push_finally_timer(self, now: float) -> None:
        """Start the clock of the finally tasks with the end of the last other task."""
        board = self._board
        if self._finally_due_at is not None or not board.is_in_finally or self.is_over:
            return
        if self.plan.finally_timeout_s is not None:
            main = board.tasks[: self.plan.first_finally]
            self._finally_due_at = self._ended_at(main, now) + self.plan.finally_timeout_s
        self._push_run_timer()

    # The run

    def _ended_at(self, tasks: Sequence[TaskRun], now: float) -> float:
        """Return when the last of some tasks ended, in this run: what it kept of another ended before it began."""
        return max(self._board.report.head.created_at, *(task.completion_time or now for task in tasks))

    def _update_state(self, now: float) -> None:
        """Say whether the run waits, runs, or is paused."""
        board = self._board
        if self.is_over:
            return
        state, reason, message = self._judge_state()
        if state is board.state and reason == board.report.head.reason:
            self._push_run_timer()
            return
        if state is RunState.PAUSED:
            board.clock.pause(now)
        else:
            board.clock.resume(now)
        board.state = state
        board.report.set_state(state, reason, message)
        self._push_run_timer()

    def _judge_state(self) -> tuple[RunState, Reason | None, str | None]:
        board = self._board
        counts = board.live_counts
        active = counts[TaskState.PENDING] + counts[TaskState.QUEUED] + counts[TaskState.RUNNING]
        if board.control.is_suspended and active <= len(board.due):
            return RunState.PAUSED, Reason.SUSPENDED, "spec.suspend is true: nothing new starts"
        is_waiting = counts[TaskState.PAUSED] and not (active or counts[TaskState.RETRYING])
        if is_waiting and not (board.due or board.ready or board.open_fan_outs):
            asked = [task.plan.name for task in board.tasks if task.state is TaskState.PAUSED]
            return RunState.PAUSED, Reason.AWAITING_APPROVAL, f"waits for a decision: {', '.join(asked[:10])}"
        return RunState.RUNNING if board.has_started else RunState.PENDING, None, None

    def _finish_run(self, now: float) -> None:
        board = self._board
        if self.is_over or board.report.finished_tasks < len(board.tasks):
            return
        completed_at = self._ended_at(board.tasks, now)
        verdict = judge_run(board.tasks, shutdown=board.shutdown)
        outputs, problem = flow_outputs(self.plan, board.values(self.plan.output_tasks, is_finally=True))
        if problem is not None and verdict.state is RunState.COMPLETED:
            verdict = RunVerdict(RunState.FAILED, Reason.EXPRESSION_ERROR, problem)
        board.state = verdict.state
        board.clock.resume(now)
        board.report.finish_run(verdict.state, verdict.reason, verdict.message, outputs, completed_at)
        board.outbox.notices.append(Notice.of_run(verdict.state, verdict.message or board.report.summary()))

    # Where the stored status left off

    def _restore(self, stored: Mapping[str, Any], now: float) -> None:
        board = self._board
        board.report.restore(stored)
        head = board.report.head
        board.state, board.shutdown = head.state, head.shutdown
        board.has_started = board.clock.started_at is not None and head.state is not RunState.PENDING
        for task in board.tasks:
            board.tell(task)
            board.outputs_bytes += json_size(task.outputs)
            if task.items is not None:
                board.outputs_bytes += task.items.outputs_bytes
            board.note_failure(task)
            if task.state in FINAL_TASK_STATES:
                board.count_finished(task)
                continue
            for _, unit in task.live():
                board.note(task, unit)
            if task.items is not None and (task.items.has_unstarted or not task.items.live):
                board.open_fan_outs[task.plan.position] = None
        board.report.restored()
        self._push_run_timer()
        # Before any Pod is looked at: how an item counts that was stopped depends on it.
        self._judge_time(now)

    def _keep(self, entries: Iterable[Mapping[str, Any]], *, source: str | None) -> None:
        """Take over what a run completed that this one retries."""
        board = self._board
        for position, entry in choose_kept(self.plan, entries).items():
            task = board.tasks[position]
            if entry["state"] not in COMPLETED_TASK_STATES:
                task.kept = entry
                continue
            task.restore(entry)
            task.source = source
            board.outputs_bytes += json_size(task.outputs)
            if task.items is not None:
                board.outputs_bytes += task.items.outputs_bytes
            board.report.finish_task(task)
            board.count_finished(task)
