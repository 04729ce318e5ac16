"""Transactions: groups of tasks that are committed or rolled back together.

Tasks that complete in a `with transaction():` block are staged. At the end of the block their `on_commit` hooks are
called. If the block raises, their `on_rollback` hooks are called, last task and last hook first, and their runs become
RolledBack. So does a task one of whose `on_commit` hooks raises; its further ones are not called.

A transaction with a key is committed once: its staged value is stored, and the next one with the key is committed from
its beginning, so that the code of the block can skip what was done.
"""

from __future__ import annotations

import contextvars
import copy
import importlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar, Token
from enum import StrEnum
from typing import Any, Final, Protocol, Self, TypeVar

from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.options.options import Hook
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN, TaskRun
from penstock.authoring.runs.states import ROLLED_BACK, Completed
from penstock.engine.suggestion import enumerate_names
from penstock.errors import OptionError, ResultError, VariableError

STORE: Final = "penstock.local.results.transaction_store"
"""A name instead of an import: the module is in a higher layer, and few transactions have a key."""
_MISSING: Final = object()
ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


class CommitMode(StrEnum):
    """When a transaction commits."""

    EAGER = "EAGER"
    """At its end, also inside of another one; its tasks when each of them completes, so they are never rolled back."""
    LAZY = "LAZY"
    """With the outermost one."""
    OFF = "OFF"
    """By `commit()` only; without it, it is rolled back at its end."""


class IsolationLevel(StrEnum):
    """What transactions with one key see of each other."""

    READ_COMMITTED = "READ_COMMITTED"
    """What has been committed before they begin."""
    SERIALIZABLE = "SERIALIZABLE"
    """One at a time, also of other processes on this machine."""


class TransactionState(StrEnum):
    """The state of a transaction."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


class Record(Protocol):
    """The stored value of a transaction with a key."""

    def begin(self) -> None:
        """Wait until no other transaction holds the key, if it is serializable."""

    def read(self) -> Any:
        """Return what has been committed, with an attribute `value` or `result`; None if there is nothing."""

    def write(self, value: Any) -> None:
        """Store a value."""

    def end(self) -> None:
        """Let the next transaction begin."""


class Transaction:
    """A transaction, which is passed to hooks and keeps values for them.

    Args:
        parent: the enclosing transaction.
        record: stores its value, if it has a key.
        commit_mode: when it commits; None for that of the enclosing one.
        overwrite: do not ask whether the key has been committed before.
        is_written: store the staged value.

    Raises:
        OptionError: there is no such commit mode or isolation level.
    """

    def __init__(
        self,
        parent: Transaction | None = None,
        *,
        key: str | None = None,
        record: Record | None = None,
        commit_mode: CommitMode | str | None = None,
        isolation_level: IsolationLevel | str | None = None,
        overwrite: bool = False,
        is_written: bool = True,
    ) -> None:
        inherited = CommitMode.LAZY if parent is None else parent.commit_mode
        self.parent = parent
        self.key = key
        self.commit_mode: CommitMode = _choice(CommitMode, "commit_mode", commit_mode) or inherited
        self.isolation_level = _isolation_level(isolation_level) or IsolationLevel.READ_COMMITTED
        self.overwrite = overwrite
        self.state = TransactionState.PENDING
        self._record = record
        self._is_written = is_written
        self._values: dict[str, Any] = {}
        self._staged_value: Any = None
        self._own_hooks: dict[str, list[Hook]] = {"commit": [], "rollback": []}
        self._lock = threading.Lock()
        self._staged: list[TaskRun | Transaction] = []
        self._end: Callable[[TaskRun | Transaction], None] | None = None
        self._token: Token[Transaction | None] | None = None
        self.task_run: TaskRun | None = None
        """The task run whose function began it."""

    def set(self, name: str, value: Any) -> None:
        """Store a value for hooks."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Return a copy of a value that was stored in this or an enclosing transaction.

        Raises:
            VariableError: the value does not exist, and there is no default.
        """
        if name in self._values:
            return copy.deepcopy(self._values[name])
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _MISSING:
            raise VariableError(f"the transaction has no value {name!r}: set() it, or pass a default")
        return default

    def is_pending(self) -> bool:
        """Whether its block has not begun."""
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        """Whether its block runs, and nothing is staged."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Whether a value is staged."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it has been committed, now or by an earlier transaction with its key."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it has been rolled back."""
        return self.state is TransactionState.ROLLED_BACK

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Iterable[Hook] | None = None,
        on_commit_hooks: Iterable[Hook] | None = None,
    ) -> None:
        """Give the value that is stored for the key when the transaction commits.

        Args:
            value: the value.
            on_rollback_hooks: called if it is rolled back.
            on_commit_hooks: called when it commits.
        """
        if self.is_committed():
            return
        self._staged_value = value
        self._own_hooks["rollback"] += on_rollback_hooks or ()
        self._own_hooks["commit"] += on_commit_hooks or ()
        self.state = TransactionState.STAGED

    def read(self) -> Any:
        """Return what an earlier transaction with this key has stored, as an object with `result`; None if nothing."""
        return None if self._record is None else self._record.read()

    def add_ended(self, ended: TaskRun | Transaction) -> None:
        """Add a completed task run, or a nested transaction that has ended. For backends."""
        if self.commit_mode is CommitMode.EAGER and not isinstance(ended, Transaction):
            _commit_one(ended, self)
            return
        with self._lock:
            if self._end is None:
                self._staged.append(ended)
                return
        # It was submitted in the block and completed after its end.
        self._end(ended)

    def commit(self) -> bool:
        """Commit now, and return whether it was this call that did.

        If the staged value cannot be stored, or a hook of its own raises, it is rolled back with a warning.
        """
        if self.state in {TransactionState.COMMITTED, TransactionState.ROLLED_BACK}:
            self._close(_commit_one)
            self._let_next_begin()
            return False
        self._close(_commit_one)
        if not all(_call_hook(hook, self) for hook in self._own_hooks["commit"]):
            FLOW_LOGGER.warning("transaction %r is rolled back, because a hook raised", self.key)
            self.roll_back()
            return False
        try:
            if self._record is not None and self._is_written:
                self._record.write(self._staged_value)
        except ResultError as error:
            FLOW_LOGGER.warning("transaction %r is rolled back: %s", self.key, error)
            self.roll_back()
            return False
        self.state = TransactionState.COMMITTED
        self._let_next_begin()
        return True

    def roll_back(self) -> bool:
        """Roll back the staged runs, last first, and return whether it was this call that did."""
        if self.state in {TransactionState.COMMITTED, TransactionState.ROLLED_BACK}:
            self._let_next_begin()
            return False
        self.state = TransactionState.ROLLED_BACK
        for hook in reversed(self._own_hooks["rollback"]):
            _call_hook(hook, self)
        self._staged.reverse()
        self._close(_undo_one)
        self._let_next_begin()
        return True

    rollback = roll_back

    def _let_next_begin(self) -> None:
        if self._record is not None:
            self._record.end()

    def _close(self, end: Callable[[TaskRun | Transaction, Transaction], None]) -> None:
        with self._lock:
            self._end = lambda each: end(each, self)
            staged, self._staged = self._staged, []
        for each in staged:
            end(each, self)

    def __enter__(self) -> Self:
        """Begin."""
        if self._record is not None:
            self._record.begin()
        return self._begin()

    def _begin(self) -> Self:
        is_done = self._record is not None and not self.overwrite and self._record.read() is not None
        self.state = TransactionState.COMMITTED if is_done else TransactionState.ACTIVE
        self.task_run = TASK_RUN.get()
        self._token = TRANSACTION.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit; or roll back, if the block raised."""
        assert self._token is not None
        TRANSACTION.reset(self._token)
        if kind is not None:
            self.roll_back()
        elif self.parent is not None and self.commit_mode is not CommitMode.EAGER:
            self.parent.add_ended(self)
        elif self.commit_mode is CommitMode.OFF and not self.is_committed():
            self.roll_back()
        else:
            self.commit()

    async def __aenter__(self) -> Self:
        """Begin, in a coroutine."""
        if self._record is not None:
            await _begin_in_thread(self._record)
        return self._begin()

    async def __aexit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """Commit or roll back, in a coroutine."""
        self.__exit__(kind, *details)


TRANSACTION: Final[ContextVar[Transaction | None]] = ContextVar("penstock_transaction", default=None)


def transaction(
    key: str | None = None,
    *,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    **not_offered: Any,
) -> Transaction:
    """Commit or roll back all tasks of a `with` block together.

    Args:
        key: name of what the block does; the next transaction with this key is committed from its beginning.
        commit_mode: when it commits, or its name; that of the enclosing transaction if not given, else LAZY.
        isolation_level: whether transactions with one key run one at a time, or its name.
        overwrite: begin as if the key had not been committed.
        write_on_commit: store the staged value.
        **not_offered: options of Prefect, which are refused.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    for name, value in not_offered.items():
        if name == "logger" or value is None:
            continue
        raise OptionError(
            f"transaction() has no option {name!r}: values are stored in PENSTOCK_HOME, or in result_storage of the"
            " flow; omit it"
        )
    record: Record | None = None
    if key is not None:
        flow_run = FLOW_RUN.get()
        folder = None if flow_run is None else flow_run.flow.options.result_storage
        is_locked = _isolation_level(isolation_level) is IsolationLevel.SERIALIZABLE
        record = importlib.import_module(STORE).StoredTransaction(key, folder, is_locked=is_locked)
    return Transaction(
        TRANSACTION.get(),
        key=key,
        record=record,
        commit_mode=commit_mode,
        isolation_level=isolation_level,
        overwrite=overwrite,
        is_written=write_on_commit,
    )


def get_transaction() -> Transaction | None:
    """Return the transaction of the innermost block, or of the task that runs in it; None outside of both.

    A task has a transaction of its own, so what it sets is for its own hooks.
    """
    around, run = TRANSACTION.get(), TASK_RUN.get()
    if run is None or (around is not None and around.task_run is run):
        return around
    if run.transaction is None:
        run.transaction = Transaction(around)
        run.transaction.state = TransactionState.ACTIVE
    own: Transaction = run.transaction
    return own


def _isolation_level(given: IsolationLevel | str | None) -> IsolationLevel | None:
    return _choice(IsolationLevel, "isolation_level", given)


def _choice(kind: type[ChoiceT], option: str, given: ChoiceT | str | None) -> ChoiceT | None:
    try:
        return None if given is None else kind(given)
    except ValueError:
        known = enumerate_names([repr(each.value) for each in kind])
        raise OptionError(f"transaction({option}={given!r}): must be {kind.__name__}.NAME or one of {known}") from None


def _commit_one(ended: TaskRun | Transaction, around: Transaction) -> None:
    if isinstance(ended, Transaction):
        ended.commit()
        return
    own = _own_of(ended, around, TransactionState.COMMITTED)
    if not all(_call_hook(hook, own, ended) for hook in ended.task.options.on_commit):
        _undo_one(ended, around)


def _undo_one(ended: TaskRun | Transaction, around: Transaction) -> None:
    if isinstance(ended, Transaction):
        ended.roll_back()
        return
    own = _own_of(ended, around, TransactionState.ROLLED_BACK)
    for hook in reversed(ended.task.options.on_rollback):
        _call_hook(hook, own, ended)
    ended.enter_state(Completed(name=ROLLED_BACK, message="its transaction was rolled back", data=ended.state.data))


def _own_of(ended: TaskRun, around: Transaction, state: TransactionState) -> Transaction:
    """Return the transaction of a task, if its function has asked for it; else the one around it."""
    if ended.transaction is None:
        return around
    own: Transaction = ended.transaction
    own.state = state
    return own


def _call_hook(hook: Hook, around: Transaction, run: TaskRun | None = None) -> bool:
    """Call a hook, and return whether it did not raise."""
    try:
        answer = hook(around)
        if inspect.isawaitable(answer):
            _wait(answer)
    except Exception:
        # A hook is the user's code: its error is logged, and the code around the transaction continues.
        log = FLOW_LOGGER if run is None else logger_of(run)
        log.exception("Hook %r raised", getattr(hook, "__name__", repr(hook)))
        return False
    return True


async def _begin_in_thread(record: Record) -> None:
    """Wait in a thread: the transaction that holds the key may be one of this event loop."""
    import asyncio  # noqa: PLC0415 - code that awaits has loaded it

    begun = asyncio.ensure_future(asyncio.to_thread(record.begin))
    try:
        await asyncio.shield(begun)
    except asyncio.CancelledError:
        # The thread continues to wait, and would keep the key that is not needed any more.
        begun.add_done_callback(lambda _: record.end())
        raise


def _wait(answer: Awaitable[Any]) -> None:
    """Await in a thread of its own: this one may run an event loop."""
    import asyncio  # noqa: PLC0415 - hooks that are coroutine functions are rare

    async def body() -> None:
        await answer

    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(body())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="penstock-hook")
    thread.start()
    thread.join()
    for error in errors:
        raise error
