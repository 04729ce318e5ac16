"""Sessions: the state of a flow run while it runs in this process: submitted tasks, pools, counters, stored results."""

from __future__ import annotations

import itertools
import os
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from penstock.authoring.caching.fingerprint import fingerprint
from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.options.serializers import Serializer
from penstock.authoring.resume_argument import VARIABLE as RESUME
from penstock.authoring.runs.futures import Future
from penstock.authoring.runs.runs import FlowRun, TaskRun
from penstock.authoring.runs.states import CACHED, Completed, State
from penstock.authoring.storage.home import home
from penstock.errors import ResultError
from penstock.local.results.results import StoredResult, file_name
from penstock.local.task_counts import Tally
from penstock.local.threads.task_pool import MAX_COROUTINES, MAX_THREADS, CoroutinePool, ThreadPool

if TYPE_CHECKING:
    from penstock.local.results.stored_runs import RunRecord


class SubmittedTask(Protocol):
    """A submitted task run, as its flow run sees it."""

    @property
    def future(self) -> Future[Any]:
        """The future of the task run."""

    def cancel(self, reason: str) -> bool:
        """Do not start the run, if it has not started or waits for its next attempt.

        Returns:
            Whether it has finished now.
        """

    def stop(self, reason: str) -> None:
        """Cancel the run, or stop its function if it is running."""


class Session:
    """The state of a flow run in this process.

    Args:
        run: the flow run.
        parent: the session of the flow run that called it.
    """

    def __init__(self, run: FlowRun, parent: Session | None) -> None:
        options = run.flow.options
        self.run = run
        self.parent = parent
        self.root: Session = self if parent is None else parent.root
        self.persist_result = options.persist_result
        self.log_prints = options.log_prints
        if parent is not None:
            # Options that are not set are inherited from the calling flow.
            self.persist_result = parent.persist_result if self.persist_result is None else self.persist_result
            self.log_prints = parent.log_prints if self.log_prints is None else self.log_prints
        inherited: str | Serializer = "pickle" if parent is None else parent.serializer
        self.serializer: str | Serializer = options.result_serializer or inherited
        self.result_folder: str | None = options.result_storage or (None if parent is None else parent.result_folder)
        self.tally: Tally = Tally() if parent is None else parent.tally
        self.outstanding: set[SubmittedTask] = set()
        """Submitted task runs that have not finished."""
        self.failures: list[TaskRun] = []
        """Submitted task runs that did not complete."""
        workers = options.max_workers
        self.threads = ThreadPool(workers or MAX_THREADS)
        self.coroutines = CoroutinePool(workers or MAX_COROUTINES)
        self.paused_keys: set[str] = set()
        self._counters: dict[str, itertools.count[int]] = {}
        self._lock = threading.Lock()
        self._record: RunRecord | None = None

    def next_index(self, key: str) -> int:
        """Count the calls of a task or flow: from 0 in each attempt of the run."""
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters.setdefault(key, itertools.count())
        return next(counter)

    def begin_attempt(self) -> None:
        """Reset the counters and failures of the previous attempt."""
        self._counters = {}
        self.failures = []

    def folder(self) -> Path:
        """Return the folder of the outermost run, which can be resumed from now on."""
        root = self.root
        with root._lock:  # noqa: SLF001 - another session, of the same class
            if root._record is None:  # noqa: SLF001
                root._record = _open_record(root.run)  # noqa: SLF001
            return root._record.folder  # noqa: SLF001

    def stored_result(self) -> State[Any] | None:
        """Return the state of a flow inside of a flow, if it completed before its caller was retried or resumed."""
        stored = self._own_result()
        found = None if stored is None else stored.read_result()
        return None if found is None else Completed(name=CACHED, data=found.value)

    def store_result(self, state: State[Any]) -> None:
        """Store the result of a flow inside of a flow, for retries and resumptions of its caller."""
        if not state.is_completed() or (stored := self._own_result()) is None:
            return
        try:
            stored.write_result(state.data, expiration_s=None)
        except ResultError as error:
            FLOW_LOGGER.warning("%s", error)

    def _own_result(self) -> StoredResult | None:
        if self.parent is None or not self.persist_result or _fingerprint(self.run.parameters) is None:
            # Without a fingerprint of its parameters, its id may be that of a call with others.
            return None
        # The id is the same whenever its caller makes the same call again.
        key = f"flow {self.run.id}"
        return StoredResult(self.folder() / "results" / file_name(key), key, self.serializer)

    def close(self) -> None:
        """Store the final state of the run, if it has a folder."""
        if self._record is not None:
            self._record.close(self.run.state.name)


SESSION: Final[ContextVar[Session | None]] = ContextVar("penstock_session", default=None)


def child_id(parent: Session, flow_key: str, parameters: dict[str, Any]) -> UUID:
    """Return the id of a flow run inside of another one.

    It is the same when the outer run is retried or resumed, so that tasks of the inner run find their stored results.
    """
    try:
        content = fingerprint([flow_key, parameters])
    except ResultError:
        content = flow_key
    index = parent.next_index(f"flow {content}")
    return UUID(hex=fingerprint([str(parent.run.id), content, index])[:32], version=4)


def resumed_run(flow_key: str, parameters: dict[str, Any]) -> tuple[UUID, str] | None:
    """Return id and name of the run to resume, if the user requested it.

    Raises:
        ResumeError: the requested run cannot be resumed.
    """
    wanted = os.environ.get(RESUME, "").strip()
    if not wanted:
        return None
    from penstock.local.results import stored_runs  # noqa: PLC0415 - few runs resume

    if wanted.lower() in stored_runs.OFF:
        return None
    found = stored_runs.find_run(wanted, key=flow_key, parameters=_fingerprint(parameters))
    if found is None:
        FLOW_LOGGER.info("No run of this flow with these parameters can be resumed; starting a new one")
        return None
    FLOW_LOGGER.info("Resuming run %r (%s) with its stored results", found.name, found.state)
    return found.id, found.name


def _open_record(run: FlowRun) -> RunRecord:
    from penstock.local.results import stored_runs  # noqa: PLC0415 - most runs store nothing

    stored_runs.sweep_runs(now=time.time())
    facts = stored_runs.describe_run(
        run_id=run.id,
        name=run.name,
        flow=run.flow_name,
        key=run.flow.key,
        parameters=_fingerprint(run.parameters),
        started=run.started_time,
    )
    return stored_runs.RunRecord(home() / "runs" / str(run.id), facts)


def _fingerprint(parameters: dict[str, Any]) -> str | None:
    try:
        return fingerprint(parameters)
    except ResultError:
        return None
