"""Import paths: the `module:name` by which a Pod imports a task or flow."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.compilation.program.one_pod import is_one_pod
from penstock.authoring.function import Decorated, FlowFunction, TaskFunction
from penstock.authoring.options.options import FlowOptions, TaskOptions
from penstock.authoring.pods.entrypoint import find
from penstock.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS: Final = (
    "on_running",
    "on_completion",
    "on_failure",
    "on_crashed",
    "on_cancellation",
    "on_commit",
    "on_rollback",
)
OF_THE_TASK: Final = (*HOOKS, "task_run_name", "retry_condition_fn")
"""Options that the Pod of a task reads from the imported task: a manifest cannot contain functions."""
OF_THE_POD: Final = (
    *HOOKS,
    *("retries", "retry_delays_s", "max_workers", "timeout_s", "validate_parameters", "persist_result"),
    *("result_serializer", "log_prints"),
)
"""The same for a flow that runs in one Pod."""


def source_of(decorated: TaskFunction | FlowFunction, location: CodeLocation) -> str:
    """Return `module:name` of a flow or task, or of its function.

    Raises:
        RefusedError: a Pod that imports the module would not find it.
    """
    fn = decorated.fn
    who = f"{'flow' if isinstance(decorated.options, FlowOptions) else 'task'} {decorated.name!r}"
    if hasattr(fn, "__self__"):
        raise location.compile_error(
            f"{who} is a method, and its object is not available in the Pod", "use a function or a static method"
        )
    module_name, qualified = module_of(fn), getattr(fn, "__qualname__", "")
    module = sys.modules.get(fn.__module__)
    if module is None or module_name is None:
        raise location.compile_error(f"{who} is not in a module that a Pod can import", "write it to a file")
    for name, value in vars(module).items():
        if value is decorated:
            return f"{module_name}:{name}"
    try:
        found = find(module, qualified)
    except CommandError as error:
        raise location.compile_error(
            f"{who} is defined inside of a function, where a Pod that imports {module_name} does not find it",
            "move it to the top level of the file",
        ) from error
    if _function(found) is not fn:
        raise location.compile_error(
            f"{who} is not the object with the name {qualified} in {module_name}", "give it a unique name in the file"
        )
    _refuse_other_options(decorated, found, who, location)
    return f"{module_name}:{qualified}"


def module_of(fn: Callable[..., Any]) -> str | None:
    """Return the name by which a Pod imports the module of a function."""
    if fn.__module__ != "__main__":
        return fn.__module__
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else None


def _function(found: Any) -> Any:
    found = found.__func__ if isinstance(found, staticmethod) else found
    return found.fn if isinstance(found, Decorated) else found


def _refuse_other_options(decorated: Any, found: Any, who: str, location: CodeLocation) -> None:
    """Refuse options of with_options: the Pod uses those of the imported object."""
    there = getattr(found.__func__ if isinstance(found, staticmethod) else found, "options", None)
    defaults = {each.name: each.default for each in fields(decorated.options)}
    for option in _read_in_the_pod(decorated):
        if option in defaults and getattr(decorated.options, option) != getattr(there, option, defaults[option]):
            raise location.compile_error(
                f"{option} of {who} was set by with_options, which has no effect in the Pod",
                "assign the result of with_options to a name at the top level of the file",
            )


def _read_in_the_pod(decorated: TaskFunction | FlowFunction) -> tuple[str, ...]:
    if isinstance(decorated.options, TaskOptions):
        return OF_THE_TASK
    return OF_THE_POD if is_one_pod(decorated) else ()
