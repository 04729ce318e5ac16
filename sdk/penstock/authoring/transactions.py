"""Transactions: groups of tasks that are committed or rolled back together.

Tasks that complete in a `with transaction():` block are staged. At the end of the block their `on_commit` hooks are
called. If the block raises, their `on_rollback` hooks are called, last task first, and their runs become RolledBack.
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
    """A transaction, which is passed to hooks and keeps values for them.

    Args:
        parent: the enclosing transaction.
    """

    def __init__(self, parent: Transaction | None = None) -> None:
        self.parent = parent
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._staged: list[TaskRun] = []
        self._end: Callable[[TaskRun], None] | None = None

    def set(self, name: str, value: Any) -> None:
        """Store a value for hooks."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Return a value that was stored in this or an enclosing transaction.

        Raises:
            VariableError: the value does not exist, and there is no default.
        """
        if name in self._values:
            return self._values[name]
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _MISSING:
            raise VariableError(f"the transaction has no value {name!r}: set() it, or pass a default")
        return default

    def stage(self, run: TaskRun) -> None:
        """Add a completed task run. For backends."""
        with self._lock:
            if self._end is None:
                self._staged.append(run)
                return
        # It was submitted in the block and completed after its end.
        self._end(run)

    def commit(self) -> None:
        """Commit; a nested transaction is committed with the enclosing one."""
        self._close(self._commit_one if self.parent is None else self.parent.stage)
        if self.parent is not None:
            self.parent._values = {**self._values, **self.parent._values}  # noqa: SLF001 - one of the same class

    def roll_back(self) -> None:
        """Roll back the staged runs, last first."""
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
        run.enter_state(Completed(name=ROLLED_BACK, message="its transaction was rolled back", data=run.state.data))

    def _call(self, run: TaskRun, hooks: Iterable[Hook]) -> None:
        for hook in hooks:
            try:
                hook(self)
            except Exception:  # noqa: BLE001 - the other hooks are called all the same
                logger_of(run).exception("Hook %r raised", getattr(hook, "__name__", repr(hook)))


TRANSACTION: Final[ContextVar[Transaction | None]] = ContextVar("penstock_transaction", default=None)


@contextmanager
def transaction(**options: Any) -> Iterator[Transaction]:
    """Commit or roll back all tasks of the block together.

    Yields:
        The transaction, which is passed to hooks.

    Raises:
        OptionError: an option was given; there are none.
    """
    if options:
        raise OptionError(
            f"transaction() has no option {next(iter(options))!r}: set persist_result=True and"
            " cache_key_fn on the tasks, so that another run does not repeat committed tasks"
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
