"""The timeouts of a run as a whole: `timeout`, and `finallyTimeout` of its finally tasks."""

from __future__ import annotations

from penstock.engine.machine.attempts import Attempts
from penstock.engine.machine.run.run import Run
from penstock.engine.reasons import Reason


class RunTimeouts:
    """Checks the timeouts of a run and stops what runs when one has passed.

    Args:
        run: the state of the run.
        attempts: stops attempts.
    """

    def __init__(self, run: Run, attempts: Attempts) -> None:
        self._run = run
        self._attempts = attempts
        self._finally_due_at: float | None = None

    def check_timeouts(self, now: float) -> None:
        """Stop what runs if a timeout has passed since the last check."""
        if self.has_just_passed(now):
            self.stop_overdue(now)

    def has_just_passed(self, now: float) -> bool:
        """Record whether the run, or its finally tasks, took too long; returns whether that is news."""
        run = self._run
        self.start_finally_clock(now)
        due_at = self._finally_due_at if run.is_in_finally else run.clock.due_at
        if due_at is None or due_at > now:
            return False
        if run.is_in_finally:
            is_news = not run.is_finally_timed_out
            run.is_finally_timed_out = True
        else:
            is_news = not run.is_timed_out
            run.is_timed_out = True
        return is_news

    def stop_overdue(self, now: float) -> None:
        """Stop the tasks whose timeout has passed."""
        run = self._run
        if run.is_timed_out and not run.is_in_finally:
            self._attempts.stop_all(run.tasks[: run.plan.first_finally], Reason.RUN_TIMED_OUT, now)
        if run.is_finally_timed_out:
            self._attempts.stop_all(run.tasks[run.plan.first_finally :], Reason.FINALLY_TIMED_OUT, now)

    def update_timer(self) -> None:
        """Set the timer of the run to the timeout that now counts."""
        run = self._run
        run.timers.set_run_timer(self._finally_due_at if run.is_in_finally else run.clock.due_at)

    def start_finally_clock(self, now: float) -> None:
        """Start the clock of the finally tasks at the end of the last other task."""
        run = self._run
        if self._finally_due_at is not None or not run.is_in_finally or run.is_finished:
            return
        if run.plan.finally_timeout_s is not None:
            main = run.tasks[: run.plan.first_finally]
            self._finally_due_at = run.ended_at(main, now) + run.plan.finally_timeout_s
        self.update_timer()
