"""By what name a Pod finds the function of a task or flow."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.authoring.compilation.place import Place
from penstock.authoring.entrypoint import find
from penstock.authoring.function import Decorated, FlowFunction, TaskFunction
from penstock.authoring.options import FlowOptions, TaskOptions
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
"""Options that a task's Pod takes from what it finds in the module: the manifest has no words for functions."""
OF_THE_POD: Final = (
    *HOOKS,
    *("retries", "retry_delays_s", "max_workers", "timeout_s", "validate_parameters", "persist_result"),
    *("result_serializer", "log_prints"),
)
"""The same of a flow that runs in one Pod."""


def source_of(decorated: TaskFunction | FlowFunction, place: Place) -> str:
    """Return `module:name` of a flow or task, or of the function that it was made of.

    Raises:
        CompileError: a Pod that imports the module would not find it.
    """
    fn = decorated.fn
    who = f"{'flow' if isinstance(decorated.options, FlowOptions) else 'task'} {decorated.name!r}"
    if hasattr(fn, "__self__"):
        raise place.refuse(
            f"{who} is a method, and its object does not reach the Pod", "make it a function, or a static method"
        )
    module_name, qualified = module_of(fn), getattr(fn, "__qualname__", "")
    module = sys.modules.get(fn.__module__)
    if module is None or module_name is None:
        raise place.refuse(f"{who} is in no module that a Pod could import", "write it into a file")
    for name, value in vars(module).items():
        if value is decorated:
            return f"{module_name}:{name}"
    try:
        found = find(module, qualified)
    except CommandError as error:
        raise place.refuse(
            f"{who} is made inside of a function, where a Pod that imports {module_name} does not find it",
            "move it to the top of the file",
        ) from error
    if _function(found) is not fn:
        raise place.refuse(
            f"{who} is not what {module_name} has under the name {qualified}", "give it a name of its own in the file"
        )
    _refuse_other_options(decorated, found, who, place)
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


def _refuse_other_options(decorated: Any, found: Any, who: str, place: Place) -> None:
    """Refuse options that with_options gave: the Pod has those of the one that it finds."""
    there = getattr(found.__func__ if isinstance(found, staticmethod) else found, "options", None)
    defaults = {each.name: each.default for each in fields(decorated.options)}
    for option in _read_in_the_pod(decorated):
        if option in defaults and getattr(decorated.options, option) != getattr(there, option, defaults[option]):
            raise place.refuse(
                f"{option} of {who} was given by with_options, which a Pod does not see",
                "give what with_options made a name at the top of the file",
            )


def _read_in_the_pod(decorated: TaskFunction | FlowFunction) -> tuple[str, ...]:
    if isinstance(decorated.options, TaskOptions):
        return OF_THE_TASK
    return OF_THE_POD if decorated.options.run_as == "pod" else ()
