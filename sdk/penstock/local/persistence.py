"""Where the result of a task run is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.authoring.cache_keys import compute_key
from penstock.authoring.cache_policies import DEFAULT
from penstock.authoring.context import logger_of
from penstock.authoring.home import home
from penstock.authoring.runs import TaskRun, TaskRunContext
from penstock.errors import ResultError
from penstock.local.results import StoredResult
from penstock.local.session import Session


class Persistence(NamedTuple):
    """Where a result is stored."""

    stored: StoredResult
    is_reusable: bool
    """Whether an existing result is used instead of running the task."""


def persistence_of(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Persistence | None:
    """Return where the result of a task run is stored; None if it has no cache key.

    If no key can be computed from its inputs, the task runs without one, with a warning.

    Raises:
        Exception: raised by the cache_key_fn of the task.
    """
    try:
        return _persistence_of(run, parameters, session)
    except ResultError as error:
        logger_of(run).warning("%s. The task runs, and its result is not stored", error)
        return None


def _persistence_of(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Persistence | None:
    options = run.task.options
    policy = options.cache_policy
    context = TaskRunContext(run, parameters)
    serializer = options.result_serializer or ("pickle" if session is None else session.serializer)
    if options.cache_key_fn is not None:
        key = options.cache_key_fn(context, parameters)
        is_run_scoped = False
    else:
        policy = DEFAULT if policy is None else policy
        key = compute_key(policy, context)
        is_run_scoped = policy.is_run_scoped
    if key is None:
        return None
    folder = session.folder() / "results" if is_run_scoped and session is not None else home() / "results"
    return Persistence(StoredResult(folder, str(key), serializer), not options.refresh_cache)
