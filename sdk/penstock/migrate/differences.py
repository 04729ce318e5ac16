"""What works in Penstock in another way than in Prefect: for the list that `penstock.migrate` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LIMITS: Final = "limits are set by PENSTOCK_LIMITS and hold within one process; in a cluster they are refused"
_FILES: Final = "artifacts are files in the folder of the run"
_BLOCKS: Final = "it is read from the environment, a mounted Secret or PENSTOCK_HOME: docs/python.md"
_PAUSE: Final = "it asks at the terminal; in a cluster it is an approval"
_DEPLOY: Final = "it deploys to a cluster, without work pools and without building images: docs/deploy.md"

NAMES: Final[Mapping[str, str]] = {
    "concurrency": _LIMITS,
    "rate_limit": _LIMITS,
    "ProcessPoolTaskRunner": "tasks run in threads of one process; in a cluster each has its own",
    "Secret": _BLOCKS,
    "JSON": _BLOCKS,
    "String": _BLOCKS,
    "DateTime": _BLOCKS,
    "Block": _BLOCKS,
    "Variable": "it is read from PENSTOCK_VARIABLE_<NAME> or a file, and set() returns None: docs/python.md",
    "LocalFileSystem": "it needs no save(); results have another format",
    "pause_flow_run": _PAUSE,
    "apause_flow_run": _PAUSE,
    "run_deployment": "it runs a Flow of a cluster, or what serve() serves on this machine",
    "arun_deployment": "it runs a Flow of a cluster, or what serve() serves on this machine",
    "serve": "it serves from this process, without a server",
    "deploy": _DEPLOY,
    "prefect_test_harness": "it gives a temporary PENSTOCK_HOME; no server is started",
    "ObjectNotFound": "it is any error of a command",
    "ParameterTypeError": "its message has other words",
    "StateType": "as text it is COMPLETED, and not StateType.COMPLETED",
    "CommitMode": "as text it is EAGER, and not CommitMode.EAGER",
    "IsolationLevel": "as text it is SERIALIZABLE, and not IsolationLevel.SERIALIZABLE",
    **dict.fromkeys(
        (
            f"{prefix}create_{kind}_artifact"
            for kind in ("markdown", "table", "link", "image", "progress")
            for prefix in ("", "a")
        ),
        _FILES,
    ),
}
"""Names that are imported."""

RETURNED_RUN: Final = "the caller gets the result of the task, or its exception, and not its state"
RETURNED_RUNS: Final = "the flow fails if one of the futures in the dictionary failed"
SETTINGS: Final[Mapping[str, str]] = {
    "PREFECT_HOME": "use PENSTOCK_HOME",
    "PREFECT_LOGGING_LEVEL": "use PENSTOCK_LOGGING_LEVEL",
    "PREFECT_LOCAL_STORAGE_PATH": "set result_storage on the flow, or PENSTOCK_HOME",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "set persist_result=True on the flow",
    "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": "use ThreadPoolTaskRunner(max_workers=...)",
    "PREFECT_LOGGING_LOG_PRINTS": "set log_prints=True on the flow",
}
"""Environment variables."""

TASK_OPTIONS: Final[Mapping[str, str]] = {
    "tags": "a limit of a tag is set by PENSTOCK_LIMITS, and holds within one process",
    "result_storage": "a folder of this machine; in a cluster, storage= of the flow",
    "result_storage_key": "it is refused where each task has a Pod",
    "cache_key_fn": "it is refused where each task has a Pod, except task_input_hash",
    "version": "it is kept for hooks, and nothing else reads it",
    "viz_return_value": "it has no meaning",
    "cache_result_in_memory": "it has no meaning: results stay in memory as long as something refers to them",
}
FLOW_OPTIONS: Final[Mapping[str, str]] = {
    "result_storage": TASK_OPTIONS["result_storage"],
    "cache_result_in_memory": TASK_OPTIONS["cache_result_in_memory"],
    "persist_result": "it is for the tasks of the flow; its own result is stored only if another flow calls it",
}
FLOW_METHODS: Final[Mapping[str, str]] = {
    "serve": NAMES["serve"],
    "deploy": _DEPLOY,
}
"""Methods of flows."""
