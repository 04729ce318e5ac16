"""Names that Prefect has and Penstock does not, and what to use instead: the only table of them.

`not_offered` asks it for messages, and `penstock.migrate` for whole files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_API: Final = "there is no server; runs are in the Kubernetes API: kubectl get flowruns -o json"
_EVENTS: Final = "write a Schedule with events, which starts runs: docs/events.md"
_EMIT: Final = (
    "there is no event bus: send a signed request to the webhook of a Schedule, create a Kubernetes Event or start the"
    " flow by run_deployment(); a Schedule with events reads these: docs/events.md"
)
_PAUSE: Final = "import it from penstock: pause_flow_run(...)"
_ASYNC_DEPLOY: Final = "in a coroutine, use asyncio.to_thread"
_POOLS: Final = "there are no work pools or workers; the operator starts the Pods of runs"
_STORE: Final = (
    "results are stored in PENSTOCK_HOME; set result_storage, result_storage_key or cache_policy on the task"
)
_FILES: Final = "use fsspec in the task; results of a cluster are stored by `storage` of the flow"
_LIBRARY: Final = "use the library that the block wraps, and keep its credentials in a Secret of penstock.blocks.system"
_ENGINE: Final = "it is internal to Prefect; call the flow or task"
_LOAD: Final = "import the module that has the flow"
_SUSPEND: Final = "use `penstock suspend` for runs in a cluster; pause_flow_run waits at the terminal"
_RESUME: Final = "resume a paused run at its terminal, and a killed one by running its script with --resume"
_CODE: Final = "deploy from a Git repository with `penstock deploy --source`: docs/deploy.md"
_FUTURES: Final = "call result() or read state of each future"
ARTIFACT_ADVICE: Final = "use the create_..._artifact functions; they write files into the folder of the run"
_INPUT: Final = "pause the run: pause_flow_run(wait_for_input=...)"
_SETTINGS: Final = "use environment variables: docs/python.md"


CLIENT_ADVICE: Final = _API


def _internal(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _ENGINE)


def _getters(*names: str, **others: str) -> dict[str, str]:
    return {
        f"get_{getter}": f"read {name}, which has no parentheses"
        for getter, name in (*zip(names, names, strict=True), *others.items())
    } | _internal("FIELDS", "type_cast", "cast_datetime", "UNKNOWN_TIMEZONE")


NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "": {
        "get_client": _API,
        "get_run_context": "import it from penstock.context",
        "suspend_flow_run": _SUSPEND,
        "asuspend_flow_run": _SUSPEND,
        "resume_flow_run": _RESUME,
        "aresume_flow_run": _RESUME,
        "aserve": "use serve(), in a script without an event loop",
        "adeploy": f"use deploy(); {_ASYNC_DEPLOY}",
        "rate_limit": "import it from penstock.concurrency.sync or penstock.concurrency.asyncio",
        "Manifest": "deploy with `penstock deploy`",
        "DeploymentImage": "build the image yourself, and set image=...",
        "emit_event": _EMIT,
        "materialize": "create artifacts; for triggers, write a Schedule with events: docs/events.md",
    },
    "artifacts": {
        **dict.fromkeys(
            ("ImageArtifact", "LinkArtifact", "MarkdownArtifact", "ProgressArtifact", "TableArtifact"), ARTIFACT_ADVICE
        ),
    },
    "blocks.core": {
        "BlockNotSavedError": "catch ValueError",
        "UnknownBlockType": "catch ValueError",
        "InvalidBlockRegistration": "blocks are not registered",
        **_internal("DEFAULT_BLOCK_SCHEMA_VERSION", "UnionTypes", "block_schema_to_key", "schema_extra"),
    },
    "cache_policies": _internal("STABLE_TRANSFORMS"),
    "client.schemas": {"*": _API},
    "client.schemas.objects": {"*": _API},
    "concurrency.sync": {"acquire_concurrency_slots": "use `with concurrency(...)`"},
    "concurrency.asyncio": {"acquire_concurrency_slots": "use `async with concurrency(...)`"},
    "context": {
        "EngineContext": "use FlowRunContext",
        "SettingsContext": _SETTINGS,
        "get_settings_context": _SETTINGS,
        "use_profile": _SETTINGS,
        "TagsContext": "use tags(...), and runtime.flow_run.tags",
        "serialize_context": "copy the context with contextvars.copy_context()",
        "hydrated_context": "copy the context with contextvars.copy_context()",
        "AssetContext": "create artifacts",
        "RunContext": "use FlowRunContext or TaskRunContext",
        "SyncClientContext": _API,
        "AsyncClientContext": _API,
        **dict.fromkeys(
            ("GLOBAL_SETTINGS_CONTEXT", "refresh_global_settings_context", "root_settings_context"), _SETTINGS
        ),
        **_internal("ContextModel", "with_context"),
    },
    "deployments": {
        "Deployment": "use flow.serve(...), flow.deploy(...) or flow.to_deployment(...)",
        "DeploymentImage": "build the image yourself, and set image=...",
        "initialize_project": "write the flow, then `penstock deploy`",
    },
    "deployments.runner": {
        "EntrypointType": "omit it: the flow is found by its file and name, or its module and name",
        "DeploymentApplyError": "catch CommandError of penstock.errors",
        "DeploymentImage": "build the image yourself, and set image=...",
        "aserve": "use serve(), in a script without an event loop",
        "deploy": "import it from penstock",
    },
    "deployments.flow_runs": _internal("LABELS_TRACEPARENT_KEY"),
    "engine": {
        "pause_flow_run": _PAUSE,
        "resume_flow_run": _RESUME,
        "suspend_flow_run": _SUSPEND,
        **_internal("begin_flow_run", "run_flow", "run_task"),
    },
    "exceptions": {
        "PrefectHTTPStatusError": _API,
        "InfrastructureError": "see the reason of the run: `penstock describe`",
        "InfrastructureNotFound": "see the reason of the run: `penstock describe`",
        "MissingProfileError": _SETTINGS,
        "InfrastructureNotAvailable": "see the reason of the run: `penstock describe`",
        "ProfileSettingsValidationError": _SETTINGS,
        "FlowRunWaitTimeout": "run_deployment(timeout=...) returns the run in its state",
        "FlowRunWatchError": "catch CommandError of penstock.errors",
        "ObjectUnsupported": "catch CommandError of penstock.errors",
        "ObjectLimitReached": "catch CommandError of penstock.errors",
        "InvalidRepositoryURLError": "catch CodeError of penstock.errors",
        "ScriptError": "catch CommandError of penstock.errors",
        "MissingFlowError": "catch CommandError of penstock.errors",
        "UnspecifiedFlowError": "catch CommandError of penstock.errors",
        **_internal("EventTooLarge", "exception_traceback"),
        "ProtectedBlockError": "blocks are files and Secrets: catch ValueError",
        "BlockMissingCapabilities": "blocks have no capabilities: catch TypeError",
    },
    "filesystems": {
        **dict.fromkeys(("RemoteFileSystem", "S3", "GCS", "Azure"), _FILES),
        "SMB": "use the library smbprotocol in the task",
        "GitHub": _CODE,
        "NullFileSystem": "set persist_result=False",
        "ReadableFileSystem": "use LocalFileSystem, or fsspec in the task",
        "WritableFileSystem": "use LocalFileSystem, or fsspec in the task",
        "ReadableDeploymentStorage": _CODE,
        "WritableDeploymentStorage": _CODE,
    },
    "flow_runs": {
        "suspend_flow_run": _SUSPEND,
        "asuspend_flow_run": _SUSPEND,
        "resume_flow_run": _RESUME,
        "aresume_flow_run": _RESUME,
        "wait_for_flow_run": "use run_deployment(), which waits, or `penstock run --wait`",
    },
    "flows": {
        "aserve": "use serve(), in a script without an event loop",
        "load_flow_from_entrypoint": _LOAD,
        "load_flow_from_flow_run": _LOAD,
        "load_function_and_convert_to_flow": _LOAD,
        "load_flow_arguments_from_entrypoint": _LOAD,
        "safe_load_flow_from_entrypoint": _LOAD,
        "select_flow": _LOAD,
        "FlowDecorator": "use the decorator flow",
        "FlowStateHook": "use collections.abc.Callable",
        **_internal("BANNED_CHARACTERS", "WITHOUT_BANNED_CHARACTERS", "is_entrypoint_async", "load_placeholder_flow"),
        "InfrastructureBoundFlow": _POOLS,
        "bind_flow_to_infrastructure": _POOLS,
    },
    "futures": {
        "PrefectFlowRunFuture": "submit a task that calls the flow",
        "PrefectDistributedFuture": "there is no task queue; use task.submit() in a flow",
        "PrefectWrappedFuture": "use PrefectFuture",
        "PrefectTaskRunFuture": "use PrefectFuture",
        "resolve_futures_to_states": _FUTURES,
        "resolve_futures_to_results": _FUTURES,
    },
    "input": {"*": _INPUT},
    "input.run_input": {"*": _INPUT},
    "logging": {"LogEavesdropper": "add a handler to the logger penstock.task_runs"},
    "logging.loggers": {
        "LogEavesdropper": "add a handler to the logger penstock.task_runs",
        "PrefectLogAdapter": "use logging.LoggerAdapter",
        "flow_run_logger": "use get_run_logger() in the flow",
        "task_run_logger": "use get_run_logger() in the task",
        "get_worker_logger": _POOLS,
        "patch_print": "set log_prints=True",
        "print_as_log": "set log_prints=True",
    },
    "runner": {"Runner": "use serve(...)"},
    "runner.storage": dict.fromkeys(
        (
            "BlockStorageAdapter",
            "GitCredentials",
            "GitRepository",
            "LocalStorage",
            "RemoteStorage",
            "RunnerStorage",
            "create_storage_from_source",
        ),
        _CODE,
    ),
    "runtime.flow_run": _getters(
        *("id", "tags", "run_count", "name", "flow_name", "flow_version", "scheduled_start_time", "parameters"),
        *("parent_flow_run_id", "parent_deployment_id", "root_flow_run_id", "job_variables"),
        flow_run_api_url="api_url",
        flow_run_ui_url="ui_url",
    ),
    "runtime.task_run": _getters(
        *("id", "name", "tags", "task_name", "run_count", "parameters"),
        task_run_api_url="api_url",
        task_run_ui_url="ui_url",
    ),
    "runtime.deployment": _getters("id", "parameters", "name", "version", "flow_run_id"),
    "schedules": {"Schedule": "use Cron, Interval or RRule", "NoSchedule": "set no schedule"},
    "serializers": {
        "UnknownSerializer": "use PickleSerializer",
        **_internal("prefect_json_object_decoder", "prefect_json_object_encoder"),
    },
    "states": _internal(
        "exception_to_crashed_state",
        "exception_to_failed_state",
        "format_exception",
        "is_state_iterable",
        "return_value_to_state",
        "RESULT_READ_MAXIMUM_ATTEMPTS",
        "RESULT_READ_RETRY_DELAY",
        "StateGroup",
        "to_state_create",
    ),
    "task_runners": {
        "PrefectTaskRunner": _POOLS,
        "BaseTaskRunner": "use TaskRunner",
        "DaskTaskRunner": "use map() in a compiled flow: each item is a Pod",
        "RayTaskRunner": "use map() in a compiled flow: each item is a Pod",
    },
    "tasks": {
        "MaterializingTask": "create artifacts",
        "TaskRunNameCallbackWithParameters": "use a function",
        **_internal("NUM_CHARS_DYNAMIC_KEY", "TaskOptions"),
    },
    "testing.utilities": {"*": "call the flow: no server is needed"},
    "transactions": {"BaseTransaction": "use Transaction"},
    "utilities.annotations": {
        "freeze": "pass the value itself",
        "opaque": "use quote(...)",
        "BaseAnnotation": "use unmapped, allow_failure or quote",
        "NotSet": "leave the option out",
    },
    "variables": _internal("MAX_VARIABLE_NAME_LENGTH"),
}
"""By module, without the package. `*` stands for every other name of the module."""

MODULES: Final[Mapping[str, str]] = {
    "agent": _POOLS,
    "assets": "create artifacts; for triggers, write a Schedule with events: docs/events.md",
    "automations": _EVENTS,
    "blocks": _LIBRARY,
    "blocks.abstract": "derive the class from penstock.blocks.core.Block",
    "bundles": _POOLS,
    "cli": "use the command `penstock`: docs/cli.md",
    "client": _API,
    "client.schemas.schedules": "use penstock.schedules: Cron, Interval or RRule",
    "concurrency": "use concurrency or rate_limit of penstock.concurrency.sync or penstock.concurrency.asyncio",
    "deployments": "use flow.deploy(...), run_deployment(...) or `penstock deploy`: docs/deploy.md",
    "docker": "build the image yourself, and set image=...",
    "engine": _ENGINE,
    "engine.pause_flow_run": _PAUSE,
    "engine.resume_flow_run": _RESUME,
    "engine.suspend_flow_run": _SUSPEND,
    "events": _EVENTS,
    "flow_engine": _ENGINE,
    "infrastructure": "set image, resources, env or pod_template on the flow or its tasks",
    "input": f"import RunInput from penstock.input; {_INPUT}",
    "locking": "transaction(key=..., isolation_level=IsolationLevel.SERIALIZABLE) locks by itself",
    "logging": "add a handler of Python's module logging to the loggers penstock.flow_runs and penstock.task_runs",
    "main": "import the name from penstock",
    "plugins": "import the module that the plugin has",
    "results": _STORE,
    "runner": _CODE,
    "runtime": "use penstock.runtime.flow_run, task_run or deployment",
    "server": _API,
    "settings": _SETTINGS,
    "task_engine": _ENGINE,
    "task_runs": "use run_deployment(), or read the state of the future",
    "task_worker": "there is no task queue: call the task in a flow, and run the flow",
    "telemetry": "the operator has metrics: docs/metrics.md",
    "testing": "call the flow: no server is needed",
    "types": "use the types of the standard library and pydantic",
    "utilities.asyncutils": "use asyncio.to_thread(...) in coroutines, and asyncio.run(...) in functions",
    "utilities": "it is internal to Prefect; use the standard library",
    "workers": _POOLS,
}
"""Modules of Prefect; an entry speaks for all modules below it that do not exist here."""

METHODS_OF_FLOWS: Final[Mapping[str, str]] = {
    "adeploy": f"use deploy(); {_ASYNC_DEPLOY}",
    "aserve": "use serve(), in a script without an event loop",
    "ato_deployment": "use to_deployment(), which does not block",
    "from_source": _LOAD,
    "afrom_source": _LOAD,
    "visualize": "use `penstock compile` and `penstock graph`",
    "avisualize": "use `penstock compile` and `penstock graph`",
    "generate_mermaid_graph": "use `penstock compile` and `penstock graph -o mermaid`",
    "submit": "submit a task that calls the flow, to run it concurrently",
    "map": "map a task that calls the flow, to run it concurrently",
    "submit_to_work_pool": _POOLS,
    "agenerate_mermaid_graph": "use `penstock compile` and `penstock graph -o mermaid`",
    "validate_parameters": "call the flow, which validates its parameters",
    "serialize_parameters": "the parameters of a run are what was passed: runtime.flow_run.parameters",
}
METHODS_OF_RESULT_STORES: Final[Mapping[str, str]] = dict.fromkeys(
    (
        f"{prefix}{name}"
        for name in ("read", "write", "exists", "persist_result_record", "update_for_flow", "update_for_task")
        for prefix in ("", "a")
    ),
    f"{_STORE}; to read a result, call state.result()",
)
_NO_QUEUE: Final = "there is no task queue: call the task in a flow, and run the flow"
METHODS_OF_TASKS: Final[Mapping[str, str]] = {
    "delay": _NO_QUEUE,
    "apply_async": _NO_QUEUE,
    "aapply_async": _NO_QUEUE,
    "serve": _NO_QUEUE,
    "aserve": _NO_QUEUE,
    "create_run": "call the task in a flow, which creates its run",
    "create_local_run": "call the task in a flow, which creates its run",
}
