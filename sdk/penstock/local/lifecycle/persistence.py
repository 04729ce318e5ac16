"""Where the result of a task run is stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from penstock import runtime
from penstock.authoring.caching.cache_keys import compute_key
from penstock.authoring.options.cache_policies import DEFAULT
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import TASK_RUN, TaskRun, TaskRunContext
from penstock.authoring.storage.home import home
from penstock.errors import OptionError, ResultError
from penstock.local.results.results import StoredResult, file_name
from penstock.local.session import Session


class Persistence(NamedTuple):
    """Where a result is stored."""

    stored: StoredResult
    is_reusable: bool
    """Whether an existing result is used instead of running the task."""


def persistence_of(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Persistence | None:
    """Return where the result of a task run is stored; None if it has no cache key.

    If no key can be computed, the task runs without one, with a warning.

    Raises:
        OptionError: the result_storage_key is invalid.
    """
    if run.task.options.result_storage_key is not None:
        return _stored_by_name(run.task.options.result_storage_key, run, session)
    try:
        return _stored_by_key(run, parameters, session)
    except ResultError as error:
        logger_of(run).warning("%s. The task runs, and its result is not stored", error)
        return None
    except Exception:  # noqa: BLE001 - functions of the user compute the key, and raise whatever they like
        logger_of(run).exception("The cache key cannot be computed. The task runs, and its result is not stored")
        return None


def _stored_by_name(storage_key: str, run: TaskRun, session: Session | None) -> Persistence:
    name = _storage_name(storage_key, run)
    folder = _folder(run, session)
    path = (Path(folder) if folder else home() / "results") / name
    return Persistence(StoredResult(path, name, _serializer(run, session)), not run.task.options.refresh_cache)


def _stored_by_key(run: TaskRun, parameters: Mapping[str, Any], session: Session | None) -> Persistence | None:
    options = run.task.options
    policy = options.cache_policy
    folder = _folder(run, session)
    context = TaskRunContext(run, parameters)
    is_run_scoped = False
    if options.cache_key_fn is not None:
        key = options.cache_key_fn(context, parameters)
    else:
        policy = DEFAULT if policy is None else policy
        key = compute_key(policy, context)
        is_run_scoped = policy.is_run_scoped
        folder = policy.folder or folder
    if not key:
        return None
    # A run that stores results can be resumed, wherever they are.
    default = session.folder() if is_run_scoped and session is not None else home()
    path = (Path(folder) if folder else default / "results") / file_name(str(key))
    return Persistence(StoredResult(path, str(key), _serializer(run, session)), not options.refresh_cache)


def _folder(run: TaskRun, session: Session | None) -> Any:
    return run.task.options.result_storage or (None if session is None else session.result_folder)


def _serializer(run: TaskRun, session: Session | None) -> Any:
    return run.task.options.result_serializer or ("pickle" if session is None else session.serializer)


def _storage_name(key: str, run: TaskRun) -> str:
    """Return the name of the file of a result, inside of its folder.

    Raises:
        OptionError: the key has a name that does not exist, or leaves the folder.
    """
    token = TASK_RUN.set(run)
    try:
        name = key.format(
            parameters=run.parameters,
            flow_run=runtime.flow_run,
            task_run=runtime.task_run,
            deployment=runtime.deployment,
        )
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        raise OptionError(f"result_storage_key={key!r} failed: {type(error).__name__}: {error}") from error
    finally:
        TASK_RUN.reset(token)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise OptionError(f"result_storage_key={key!r}: {name!r} must be the name of a file in the folder for results")
    return name
