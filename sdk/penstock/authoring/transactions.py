"""Transactions: tasks that are all kept or all undone.

A task that completes inside `with transaction():` is staged. At the end of the block its `on_commit` hooks are called;
if the block raises, its `on_rollback` hooks are, last task first, and its run becomes RolledBack.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from penstock.authoring.context import logger_of
from penstock.authoring.options import Hook
from penstock.authoring.runs import TaskRun
from penstock.authoring.states import ROLLED_BACK, Completed
from penstock.errors import OptionError, VariableError

_MISSING: Final = object()


class Transaction:
    """What hooks of a transaction get: a place to leave values for them.

    Args:
        parent: the transaction around this one.
    """

    def __init__(self, parent: Transaction | None = None) -> None:
        self.parent = parent
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._staged: list[TaskRun] = []
        self._end: Callable[[TaskRun], None] | None = None

    def set(self, name: str, value: Any) -> None:
        """Keep a value for hooks."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Return a value that was kept here or in a transaction around this one.

        Raises:
            VariableError: there is none, and no default.
        """
        if name in self._values:
            return self._values[name]
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _MISSING:
            raise VariableError(f"the transaction has no value {name!r}: set() it, or give a default")
        return default

    def stage(self, run: TaskRun) -> None:
        """Take up a completed task run. For backends."""
        with self._lock:
            if self._end is None:
                self._staged.append(run)
                return
        # A task that was submitted inside, and completed after the end of the block.
        self._end(run)

    def commit(self) -> None:
        """Commit, or leave it to the transaction around this one."""
        self._close(self._commit_one if self.parent is None else self.parent.stage)
        if self.parent is not None:
            self.parent._values = {**self._values, **self.parent._values}  # noqa: SLF001 - one of the same class

    def roll_back(self) -> None:
        """Undo what was staged, last first."""
        self._staged.reverse()
        self._close(self._undo_one)

    def _close(self, end: Callable[[TaskRun], None]) -> None:
        with self._lock:
            self._end = end
            staged, self._staged = self._staged, []
        for run in staged:
            end(run)

    def _commit_one(self, run: TaskRun) -> None:
        self._call(run, run.task.options.on_commit)

    def _undo_one(self, run: TaskRun) -> None:
        self._call(run, run.task.options.on_rollback)
        run.enter(Completed(name=ROLLED_BACK, message="the transaction around it failed", data=run.state.data))

    def _call(self, run: TaskRun, hooks: Iterable[Hook]) -> None:
        for hook in hooks:
            try:
                hook(self)
            except Exception:  # noqa: BLE001 - a hook can't keep the others from undoing what is theirs
                logger_of(run).exception("Hook %r raised", getattr(hook, "__name__", repr(hook)))


TRANSACTION: Final[ContextVar[Transaction | None]] = ContextVar("penstock_transaction", default=None)


@contextmanager
def transaction(**options: Any) -> Iterator[Transaction]:
    """Keep or undo together what tasks do inside.

    Yields:
        The transaction, in which hooks find what `set` left there.

    Raises:
        OptionError: an option was given: there is none.
    """
    if options:
        raise OptionError(
            f"transaction() has no option {next(iter(options))!r}: give the tasks inside persist_result=True, and a"
            " cache_key_fn for a key of their own, so that a second try does not repeat what was committed"
        )
    current = Transaction(TRANSACTION.get())
    token = TRANSACTION.set(current)
    try:
        yield current
    except BaseException:
        TRANSACTION.reset(token)
        current.roll_back()
        raise
    TRANSACTION.reset(token)
    current.commit()
