"""What contexts of runs have beside their run: the options that apply, their own or those of the flows around them."""

from __future__ import annotations

import importlib
from typing import Any, Final

from penstock.authoring.options.options import TaskOptions
from penstock.authoring.options.serializers import Serializer, serializer_of
from penstock.authoring.prefect.not_offered import refuse_methods
from penstock.authoring.prefect.prefect_names import CLIENT_ADVICE, METHODS_OF_RESULT_STORES
from penstock.authoring.runs.run_attributes import FlowRunAttributes, TaskRunAttributes
from penstock.errors import NotOfferedError

FOLDER: Final = "penstock.local.blocks.local_file_system"
"""A name instead of an import: the module is in a higher layer."""


def option_of(run: FlowRunAttributes | TaskRunAttributes, name: str) -> Any:
    """Return an option of the task of a run, or else of the flows around it; None if none of them has set it."""
    found: Any = getattr(run.task.options, name) if isinstance(run, TaskRunAttributes) else None
    around: Any = run.flow_run if isinstance(run, TaskRunAttributes) else run
    while found is None and around is not None:
        found = getattr(around.flow.options, name)
        around = around.parent
    return found


def is_result_kept(run: TaskRunAttributes) -> bool:
    """Whether the options of the task of a run, or of its flows, store the result."""
    options: TaskOptions = run.task.options
    if options.persist_result is not None:
        return options.persist_result
    policy = options.cache_policy
    is_asked_for = (options.cache_key_fn, options.result_storage_key, options.result_storage, options.result_serializer)
    if any(is_asked_for) or (policy is not None and (policy.parts or policy.key_fns)):
        return True
    return bool(option_of(run, "persist_result"))


@refuse_methods("result stores", METHODS_OF_RESULT_STORES)
class ResultStore:
    """Where the results of a run are stored.

    Args:
        folder: the folder; None for that of this user.
        serializer: how they are written.
    """

    def __init__(self, folder: str | None, serializer: Serializer) -> None:
        self.result_storage = importlib.import_module(FOLDER).LocalFileSystem(basepath=folder)
        self.serializer = serializer


class ContextAttributes:
    """Of contexts of flow runs and task runs."""

    __slots__ = ()

    def _run(self) -> FlowRunAttributes | TaskRunAttributes:
        """Return the run of the context; the contexts say which."""
        raise NotImplementedError

    @property
    def log_prints(self) -> bool:
        """Whether printed text is logged."""
        return bool(option_of(self._run(), "log_prints"))

    @property
    def persist_result(self) -> bool:
        """Whether results are stored."""
        return bool(option_of(self._run(), "persist_result"))

    @property
    def result_store(self) -> ResultStore:
        """Where results are stored."""
        run = self._run()
        serializer = serializer_of(option_of(run, "result_serializer") or "pickle")
        assert serializer is not None
        return ResultStore(option_of(run, "result_storage"), serializer)

    @property
    def client(self) -> Any:
        """Refuse.

        Raises:
            NotOfferedError: always.
        """
        raise NotOfferedError(f"contexts have no client: {CLIENT_ADVICE}")
