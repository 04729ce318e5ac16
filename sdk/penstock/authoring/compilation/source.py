"""By what name a Pod finds the function of a task or flow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.authoring.compilation.place import Place
from penstock.authoring.entrypoint import find
from penstock.authoring.flow import Flow
from penstock.authoring.function import Decorated
from penstock.authoring.task import Task
from penstock.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

_HOOKS = ("on_running", "on_completion", "on_failure", "on_commit", "on_rollback")


def source_of(decorated: Task[..., Any] | Flow[..., Any], place: Place) -> str:
    """Return `module:name` of a flow or task, or of the function that it was made of.

    Raises:
        CompileError: a Pod that imports the module would not find it.
    """
    fn = decorated.fn
    who = f"{'flow' if isinstance(decorated, Flow) else 'task'} {decorated.name!r}"
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
    _refuse_other_hooks(decorated, found, who, place)
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


def _refuse_other_hooks(decorated: Any, found: Any, who: str, place: Place) -> None:
    """Refuse hooks of a task that with_options made: the Pod has those of the one that it finds."""
    there = getattr(found.__func__ if isinstance(found, staticmethod) else found, "options", None)
    for hook in _HOOKS:
        wanted = getattr(decorated.options, hook, ())
        if wanted != getattr(there, hook, ()):
            raise place.refuse(
                f"{hook} of {who} was given by with_options, which a Pod does not see",
                "give the task made by with_options a name at the top of the file",
            )
