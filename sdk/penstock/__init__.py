"""Penstock: workflow orchestration that lives inside Kubernetes.

The names for writing flows can be imported from here. They are loaded when first used, so `import penstock` itself is
fast.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from penstock import runtime as runtime
    from penstock.authoring.arguments.annotations import allow_failure, unmapped
    from penstock.authoring.deployments.cluster import ClusterRun, arun_deployment, deploy, run_deployment
    from penstock.authoring.deployments.deployment import Deployment, serve
    from penstock.authoring.flow import Flow, flow
    from penstock.authoring.pause import apause_flow_run, pause_flow_run
    from penstock.authoring.runs.context import get_run_logger, tags
    from penstock.authoring.runs.runs import FlowRun, TaskRun
    from penstock.authoring.runs.states import State
    from penstock.authoring.storage.variables import Variable
    from penstock.authoring.task import Task, task
    from penstock.authoring.transactions import Transaction, transaction

__version__ = "0.1.0"

__all__ = [
    "ClusterRun",
    "Deployment",
    "Flow",
    "FlowRun",
    "State",
    "Task",
    "TaskRun",
    "Transaction",
    "Variable",
    "allow_failure",
    "apause_flow_run",
    "arun_deployment",
    "deploy",
    "flow",
    "get_run_logger",
    "pause_flow_run",
    "run_deployment",
    "runtime",
    "serve",
    "tags",
    "task",
    "transaction",
    "unmapped",
]

_HOMES: Final = {
    "ClusterRun": "penstock.authoring.deployments.cluster",
    "Deployment": "penstock.authoring.deployments.deployment",
    "Flow": "penstock.authoring.flow",
    "FlowRun": "penstock.authoring.runs.runs",
    "TaskRun": "penstock.authoring.runs.runs",
    "State": "penstock.authoring.runs.states",
    "Task": "penstock.authoring.task",
    "Variable": "penstock.authoring.storage.variables",
    "Transaction": "penstock.authoring.transactions",
    "allow_failure": "penstock.authoring.arguments.annotations",
    "apause_flow_run": "penstock.authoring.pause",
    "arun_deployment": "penstock.authoring.deployments.cluster",
    "deploy": "penstock.authoring.deployments.cluster",
    "flow": "penstock.authoring.flow",
    "get_run_logger": "penstock.authoring.runs.context",
    "pause_flow_run": "penstock.authoring.pause",
    "run_deployment": "penstock.authoring.deployments.cluster",
    "serve": "penstock.authoring.deployments.deployment",
    "tags": "penstock.authoring.runs.context",
    "task": "penstock.authoring.task",
    "transaction": "penstock.authoring.transactions",
    "unmapped": "penstock.authoring.arguments.annotations",
}
_MODULES: Final = frozenset(
    {
        "artifacts",
        "blocks",
        "cache_policies",
        "client",
        "concurrency",
        "context",
        "deployments",
        "exceptions",
        "filesystems",
        "flow_runs",
        "flows",
        "futures",
        "input",
        "logging",
        "runtime",
        "schedules",
        "serializers",
        "states",
        "task_runners",
        "tasks",
        "testing",
        "transactions",
        "utilities",
        "variables",
    }
)
"""Modules that are loaded when they are first used as attributes."""


if not TYPE_CHECKING:  # for type checkers, a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        """Load a name when it is first used."""
        if name in _MODULES:
            return importlib.import_module(f"penstock.{name}")
        if (home := _HOMES.get(name)) is not None:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from penstock.authoring.prefect.not_offered import refuse  # noqa: PLC0415 - only for names that do not exist

        refuse("", name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _PrefectModules:
    """The last finder of modules: says what to use instead of a module that only Prefect has."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        package, _, module = name.partition(".")
        if package == __name__:
            from penstock.authoring.prefect.not_offered import refuse_module  # noqa: PLC0415 - as above

            refuse_module(module)


sys.meta_path.append(_PrefectModules)


def _refuse_name_of_engine(name: str) -> Any:
    """Say what to use instead of a name of Prefect's engine; ours is another one, and knows nothing of Python flows."""
    if not name.startswith("__"):
        from penstock.authoring.prefect.not_offered import refuse  # noqa: PLC0415 - as above

        refuse("engine", name)
    raise AttributeError(f"module 'penstock.engine' has no attribute {name!r}")


vars(importlib.import_module("penstock.engine"))["__getattr__"] = _refuse_name_of_engine


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
