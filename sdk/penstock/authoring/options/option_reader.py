"""Options of decorators, read and checked once, when a flow or task is decorated."""

from __future__ import annotations

import importlib
import inspect
import math
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any, Final

from penstock.authoring.loggers import TASK_LOGGER
from penstock.authoring.options.cache_policies import NO_CACHE, CachePolicy
from penstock.authoring.options.options import FlowKeywords, FlowOptions, Hook, RunName, TaskKeywords, TaskOptions
from penstock.authoring.options.serializers import read_serializer
from penstock.authoring.options.task_runners import TaskRunner
from penstock.errors import OptionError

MAX_DELAYS: Final = 50
FILE_SYSTEMS: Final = "penstock.filesystems"
"""A name instead of an import: the module is in a higher layer, and few flows need it."""
RUN_AS: Final = ("tasks", "pod")
_POD: Final[Mapping[str, Any]] = {
    "image": str,
    "resources": Mapping,
    "service_account_name": str,
    "pod_template": Mapping,
}
"""The options that describe a Pod, and their types."""
_BLOCKS: Final = ("s3", "s3-bucket", "gcs", "gcs-bucket", "azure", "azure-blob-storage", "remote-file-system", "smb")
"""Types of storage blocks, which a name of a storage begins with."""
NOT_OFFERED: Final[Mapping[str, str]] = {
    "asset_deps": "omit it, and create artifacts instead",
    "retry_condition": "use retry_condition_fn",
    "timeout": "use timeout_seconds",
    "retry_delay": "use retry_delay_seconds",
    "parameters": "pass them when you call the flow",
}
"""Options of Prefect and other systems, and what to use instead."""
_NOT_FOR_TASKS: Final[Mapping[str, str]] = {
    "flow_run_name": "use task_run_name",
    "validate_parameters": "only parameters of flows are validated: validate them in the task",
    "task_runner": "set it on the flow",
    "on_crashed": "set it on the flow",
    "on_cancellation": "set it on the flow",
}
_NOT_FOR_FLOWS: Final[Mapping[str, str]] = {
    "task_run_name": "use flow_run_name",
    "result_storage_key": "set it on the tasks",
    "viz_return_value": "set it on the tasks",
    "tags": "call the flow in a `with tags(...)` block",
    "retry_jitter_factor": "set it on the tasks; retry_delay_seconds of a flow can be a list",
    "retry_condition_fn": "set it on the tasks",
    "cache_policy": "set it on the tasks, or persist_result=True on the flow for all of its tasks",
    "cache_key_fn": "set it on the tasks",
    "cache_expiration": "set it on the tasks",
    "refresh_cache": "set it on the tasks",
    "on_commit": "set it on the tasks",
    "on_rollback": "set it on the tasks",
}
_FLOW_KEYWORDS: Final = frozenset(FlowKeywords.__annotations__)
_TASK_KEYWORDS: Final = frozenset(TaskKeywords.__annotations__)


def read_flow_options(fn: Callable[..., Any], keywords: FlowKeywords, base: FlowOptions | None = None) -> FlowOptions:
    """Return the options of a flow from the keywords of @flow or with_options.

    Args:
        fn: the function.
        keywords: the keywords.
        base: the options to change; None for the defaults.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    reader = _Reader("@flow", _FLOW_KEYWORDS, refused_flow_options(), keywords)
    options = base or FlowOptions(name=_default_name(fn, keywords).replace("_", "-"), description=_description(fn))
    changes = reader.shared(fn, options.retries)
    if "task_runner" in keywords:
        changes["max_workers"] = reader.max_workers()
    changes |= reader.plain(
        {
            "version": str,
            "validate_parameters": bool,
            "flow_run_name": (str, Callable),
            "storage": str,
            "workspace": Mapping,
            **_POD,
        },
        FlowOptions,
    )
    changes |= reader.storage()
    changes |= reader.env()
    if "run_as" in keywords:
        changes["run_as"] = reader.one_of("run_as", RUN_AS) or "tasks"
    if "flow_run_name" in changes:
        check_run_name("flow_run_name", changes["flow_run_name"], fn)
    changes |= reader.hooks(("on_running", "on_completion", "on_failure", "on_crashed", "on_cancellation"))
    return replace(options, **changes)


def read_task_options(fn: Callable[..., Any], keywords: TaskKeywords, base: TaskOptions | None = None) -> TaskOptions:
    """Return the options of a task from the keywords of @task or with_options.

    Args:
        fn: the function.
        keywords: the keywords.
        base: the options to change; None for the defaults.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    reader = _Reader("@task", _TASK_KEYWORDS, refused_task_options(), keywords)
    options = base or TaskOptions(name=_default_name(fn, keywords), description=_description(fn))
    changes = reader.shared(fn, options.retries)
    if "tags" in keywords:
        tags = keywords["tags"]
        if isinstance(tags, str):
            raise OptionError(f"@task(tags={tags!r}): must be a list of strings: tags=[{tags!r}]")
        changes["tags"] = frozenset(tags or ())
    if "retry_jitter_factor" in keywords:
        changes["retry_jitter"] = reader.number("retry_jitter_factor") or 0.0
    if "cache_expiration" in keywords:
        changes["cache_expiration_s"] = reader.number("cache_expiration")
    changes |= reader.plain(
        {
            "task_run_name": (str, Callable),
            "retry_condition_fn": Callable,
            "cache_policy": CachePolicy,
            "cache_key_fn": Callable,
            "refresh_cache": bool,
            "result_storage_key": str,
            "version": str,
            **_POD,
        },
        TaskOptions,
    )
    changes |= reader.storage()
    changes |= reader.env()
    if "task_run_name" in changes:
        check_run_name("task_run_name", changes["task_run_name"], fn)
    changes |= reader.hooks(("on_running", "on_completion", "on_failure", "on_commit", "on_rollback"))
    return _without_contradictions(replace(options, **changes))


def _without_contradictions(options: TaskOptions) -> TaskOptions:
    """Resolve options that exclude each other as Prefect does, with a warning."""
    if options.cache_policy is not None and options.cache_key_fn is not None:
        TASK_LOGGER.warning("task %r: cache_key_fn is used, and cache_policy is ignored", options.name)
        options = replace(options, cache_policy=None)
    if options.persist_result is False and (options.cache_policy or options.cache_key_fn):
        if options.cache_policy != NO_CACHE:
            TASK_LOGGER.warning("task %r: nothing is cached, because persist_result is False", options.name)
        options = replace(options, cache_policy=None, cache_key_fn=None)
    return options


def refused_flow_options() -> Mapping[str, str]:
    """Return what to use instead of options that flows do not have."""
    return {**NOT_OFFERED, **_NOT_FOR_FLOWS}


def refused_task_options() -> Mapping[str, str]:
    """Return what to use instead of options that tasks do not have."""
    return {**NOT_OFFERED, **_NOT_FOR_TASKS}


def check_run_name(option: str, name: RunName | None, fn: Callable[..., Any]) -> None:
    """Check that the names in braces are parameters of the function.

    Raises:
        OptionError: one is not, or the format string is invalid.
    """
    if not isinstance(name, str):
        return
    try:
        used = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise OptionError(f"{option}={name!r}: {error}") from error
    parameters = inspect.signature(fn).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for field in used:
        root = field.replace("[", ".").split(".")[0]
        if root not in parameters:
            raise OptionError(f"{option}={name!r}: unknown parameter {root!r}{nearest(root, parameters)}")


class _Reader:
    """Reads the options of one decorator."""

    def __init__(
        self, where: str, known: frozenset[str], not_offered: Mapping[str, str], keywords: Mapping[str, Any]
    ) -> None:
        self._where = where
        self._keywords = keywords
        for name in keywords:
            if name in known:
                continue
            if name in not_offered:
                raise OptionError(f"{where} has no option {name!r}: {not_offered[name]}")
            raise OptionError(f"{where} has no option {name!r}{nearest(name, known)}")

    def get(self, name: str) -> Any:
        return self._keywords.get(name)

    def check(self, name: str, kind: Any) -> Any:
        value = self._keywords[name]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not any(callable(value) if each is Callable else isinstance(value, each) for each in kinds):
            words = " or ".join("a function" if each is Callable else each.__name__ for each in kinds)
            raise OptionError(f"{self._where}({name}={value!r}): must be {words}")
        return value

    def shared(self, fn: Callable[..., Any], retries: int) -> dict[str, Any]:
        """Read the options that flows and tasks have in common."""
        changes: dict[str, Any] = {}
        if self.get("name") is not None:
            changes["name"] = self.check("name", str)
        if "description" in self._keywords:
            changes["description"] = _description(fn) if self.get("description") is None else self.get("description")
        if "retries" in self._keywords:
            changes["retries"] = retries = self._count("retries")
        if "retry_delay_seconds" in self._keywords:
            changes["retry_delays_s"] = self._delays(retries)
        if "timeout_seconds" in self._keywords:
            # As in Prefect, 0 means no limit.
            changes["timeout_s"] = self.number("timeout_seconds") or None
        if "result_serializer" in self._keywords:
            changes["result_serializer"] = read_serializer(self._where, self.get("result_serializer"))
        for name in ("persist_result", "log_prints"):
            if name in self._keywords:
                changes[name] = None if self.get(name) is None else self.check(name, bool)
        return changes

    def plain(self, kinds: Mapping[str, Any], options: type[FlowOptions | TaskOptions]) -> dict[str, Any]:
        """Read options that need no conversion; None is the default."""
        defaults = {field.name: field.default for field in fields(options)}
        return {
            name: defaults[name] if self.get(name) is None else self.check(name, kind)
            for name, kind in kinds.items()
            if name in self._keywords
        }

    def max_workers(self) -> int | None:
        """Read the task runner: an object or its class."""
        runner = self.get("task_runner")
        if isinstance(runner, type) and issubclass(runner, TaskRunner):
            runner = runner()
        if runner is None:
            return None
        if not isinstance(runner, TaskRunner):
            raise OptionError(
                f"{self._where}(task_runner={runner!r}): must be a ThreadPoolTaskRunner; for other machines, map() in a"
                " compiled flow: each item is a Pod"
            )
        return runner.max_workers

    def storage(self) -> dict[str, Any]:
        """Read a folder of results: a path, or an object with `basepath`."""
        value = self.get("result_storage")
        if value is None:
            return {"result_storage": None} if "result_storage" in self._keywords else {}
        folder = getattr(value, "basepath", value)
        if not isinstance(folder, str | PathLike) or str(folder).split("/")[0] in _BLOCKS or "://" in str(folder):
            raise OptionError(
                f"{self._where}(result_storage={value!r}): must be a folder or a LocalFileSystem; in a cluster, set"
                " storage='s3://bucket/prefix' on the flow"
            )
        block, _, name = str(folder).partition("/")
        if block == "local-file-system":
            folder = importlib.import_module(FILE_SYSTEMS).LocalFileSystem.load(name).basepath
        return {"result_storage": str(Path(folder).expanduser().absolute())}

    def hooks(self, names: Iterable[str]) -> dict[str, tuple[Hook, ...]]:
        """Read lists of functions."""
        changes: dict[str, tuple[Hook, ...]] = {}
        for name in names:
            if name not in self._keywords:
                continue
            hooks = self.get(name) or ()
            if callable(hooks) or not all(callable(hook) for hook in hooks):
                raise OptionError(f"{self._where}({name}={hooks!r}): must be a list of functions")
            changes[name] = tuple(hooks)
        return changes

    def number(self, name: str) -> float | None:
        """Read a number of seconds or a factor, 0 or more."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, timedelta):
            value = value.total_seconds()
        return self._not_negative(name, value)

    def _count(self, name: str) -> int:
        value = self.get(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise OptionError(f"{self._where}({name}={value!r}): must be a whole number, 0 or more")
        return value

    def one_of(self, name: str, known: tuple[str, ...]) -> Any:
        """Read one of some words."""
        value = self.get(name)
        if value not in {None, *known}:
            raise OptionError(f"{self._where}({name}={value!r}): must be {' or '.join(map(repr, known))}")
        return value

    def env(self) -> dict[str, Any]:
        """Read environment variables."""
        env = self.get("env")
        if "env" not in self._keywords or env is None:
            return {"env": None} if "env" in self._keywords else {}
        if not isinstance(env, Mapping) or not all(isinstance(each, str) for pair in env.items() for each in pair):
            raise OptionError(f"{self._where}(env={env!r}): must be a dictionary of strings: env={{'REGION': 'eu'}}")
        return {"env": dict(env)}

    def _delays(self, retries: int) -> tuple[float, ...]:
        name = "retry_delay_seconds"
        value = self.get(name)
        if callable(value):
            value = value(retries)
        if value is None:
            return ()
        delays = value if isinstance(value, list | tuple) else (value,)
        if len(delays) > MAX_DELAYS:
            raise OptionError(
                f"{self._where}({name}): at most {MAX_DELAYS} delays; the last one is used for all further retries"
            )
        return tuple(self._not_negative(name, delay) for delay in delays)

    def _not_negative(self, name: str, value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 0:
            raise OptionError(f"{self._where}({name}={value!r}): must be a number, 0 or more")
        return float(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` with the most similar of some names; empty if none is similar."""
    from penstock.engine.suggestion import suggest  # noqa: PLC0415 - needed after a mistake only

    return suggest(name, known)


def _default_name(fn: Callable[..., Any], keywords: Mapping[str, Any]) -> str:
    name = getattr(fn, "__name__", type(fn).__name__)
    if name == "<lambda>" and not keywords.get("name"):
        raise OptionError("a lambda has no name for its runs: set name='...'")
    return str(name)


def _description(fn: Callable[..., Any]) -> str:
    return inspect.getdoc(fn) or ""
