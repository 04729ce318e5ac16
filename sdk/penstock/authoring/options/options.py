"""Options of flows and tasks: the keywords that the decorators take, and the same options once they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict

from penstock.authoring.options.cache_policies import CachePolicy
from penstock.authoring.options.serializers import Serializer
from penstock.authoring.options.task_runners import TaskRunner

Hook = Callable[..., Any]
"""hook(flow, flow_run, state), hook(task, task_run, state), or hook(transaction); may be a coroutine function."""
RunName = str | Callable[..., str]
"""A string with names of parameters in braces, or a function without arguments or with `parameters`."""
SerializerName = Literal["pickle", "json", "compressed/pickle", "compressed/json"]
RunAs = Literal["tasks", "pod"]
DelaySeconds = float | list[float] | Callable[[int], list[float]]


class FlowKeywords(TypedDict, total=False):
    """The options of @flow. docs/python.md describes each."""

    name: str | None
    description: str | None
    version: str | None
    flow_run_name: RunName | None
    retries: int | None
    retry_delay_seconds: DelaySeconds | None
    task_runner: TaskRunner | type[TaskRunner] | None
    timeout_seconds: float | None
    validate_parameters: bool
    persist_result: bool | None
    result_serializer: SerializerName | Serializer | None
    result_storage: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    on_running: Iterable[Hook] | None
    on_completion: Iterable[Hook] | None
    on_failure: Iterable[Hook] | None
    on_crashed: Iterable[Hook] | None
    on_cancellation: Iterable[Hook] | None
    run_as: RunAs | None
    storage: str | None
    workspace: Mapping[str, Any] | None
    image: str | None
    resources: Mapping[str, Any] | None
    env: Mapping[str, str] | None
    service_account_name: str | None
    pod_template: Mapping[str, Any] | None


class TaskKeywords(TypedDict, total=False):
    """The options of @task. docs/python.md describes each."""

    name: str | None
    description: str | None
    tags: Iterable[str] | None
    version: str | None
    task_run_name: RunName | None
    retries: int | None
    retry_delay_seconds: DelaySeconds | None
    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    timeout_seconds: float | None
    cache_policy: CachePolicy | None
    cache_key_fn: Callable[..., str | None] | None
    cache_expiration: timedelta | float | None
    refresh_cache: bool | None
    result_storage_key: str | None
    viz_return_value: Any
    persist_result: bool | None
    result_serializer: SerializerName | Serializer | None
    result_storage: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    on_running: Iterable[Hook] | None
    on_completion: Iterable[Hook] | None
    on_failure: Iterable[Hook] | None
    on_commit: Iterable[Hook] | None
    on_rollback: Iterable[Hook] | None
    image: str | None
    resources: Mapping[str, Any] | None
    env: Mapping[str, str] | None
    service_account_name: str | None
    pod_template: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """The options of a flow. Where None is allowed, the calling flow or the default decides."""

    name: str
    description: str = ""
    version: str | None = None
    flow_run_name: RunName | None = None
    retries: int = 0
    retry_delays_s: tuple[float, ...] = ()
    """The delay before each retry; the last one is used for all further retries."""
    max_workers: int | None = None
    timeout_s: float | None = None
    validate_parameters: bool = True
    persist_result: bool | None = None
    result_serializer: str | Serializer | None = None
    """A name, or an object if no name says all of it."""
    result_storage: str | None = None
    """The folder of results; None for that of the calling flow or of this user."""
    log_prints: bool | None = None
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_crashed: tuple[Hook, ...] = ()
    on_cancellation: tuple[Hook, ...] = ()
    run_as: RunAs = "tasks"
    """In a cluster: one Pod for each task, or one Pod for the whole flow."""
    storage: str | None = None
    """In a cluster: where results are stored that are too big for outputs."""
    workspace: Mapping[str, Any] | None = None
    """In a cluster: a volume that the tasks of a run share; the field `workspace` of a Flow."""
    image: str | None = None
    """In a cluster only, as all options below: the fields of a Flow."""
    resources: Mapping[str, Any] | None = None
    env: Mapping[str, str] | None = None
    service_account_name: str | None = None
    pod_template: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of a task. Where None is allowed, its flow or the default decides."""

    name: str
    description: str = ""
    tags: frozenset[str] = frozenset()
    version: str | None = None
    task_run_name: RunName | None = None
    retries: int = 0
    retry_delays_s: tuple[float, ...] = ()
    """The delay before each retry; the last one is used for all further retries."""
    retry_jitter: float = 0.0
    """Random variation, as a part of the delay; with 1 the delay is between zero and twice as long."""
    retry_condition_fn: Callable[..., Any] | None = None
    timeout_s: float | None = None
    cache_policy: CachePolicy | None = None
    cache_key_fn: Callable[..., str | None] | None = None
    cache_expiration_s: float | None = None
    refresh_cache: bool = False
    result_storage_key: str | None = None
    """The name of the file of the result, with parameters in braces."""
    persist_result: bool | None = None
    result_serializer: str | Serializer | None = None
    """A name, or an object if no name says all of it."""
    result_storage: str | None = None
    """The folder of results; None for that of the calling flow or of this user."""
    log_prints: bool | None = None
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_commit: tuple[Hook, ...] = ()
    on_rollback: tuple[Hook, ...] = ()
    image: str | None = None
    """In a cluster only, as all options below: the fields of a Flow."""
    resources: Mapping[str, Any] | None = None
    env: Mapping[str, str] | None = None
    service_account_name: str | None = None
    pod_template: Mapping[str, Any] | None = None
