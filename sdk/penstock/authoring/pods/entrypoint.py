"""Entrypoints of flows and tasks: `my_flow.py:etl` on a machine, `my_flow:etl` in a Pod.

The folder of the module is first in the search path on both sides. So the module has the same name there, and what was
pickled on one side can be unpickled on the other.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

from penstock.authoring.pods.imported import importing
from penstock.errors import CommandError

CODE_VARIABLE: Final = "PENSTOCK_CODE"
"""Folders of the code in a Pod, separated by `:`, searched before all others. Defaults to the working directory."""


def load(entrypoint: str) -> Any:
    """Import and return the object of an entrypoint: `FILE.py:NAME` or `MODULE:NAME`.

    Raises:
        CommandError: the entrypoint is invalid, or the object does not exist.
        Exception: raised by the module when it is imported.
    """
    place, separator, name = entrypoint.rpartition(":")
    if not separator or not place or not name:
        raise CommandError(f"{entrypoint!r} is not an entrypoint: must be FILE.py:FLOW or MODULE:FLOW")
    return find(load_module(place), name)


def load_module(place: str) -> ModuleType:
    """Import a Python file, or a module by its name.

    Raises:
        CommandError: it does not exist, cannot be imported by its name, or exits.
    """
    if place.endswith(".py") or os.sep in place:
        from pathlib import Path  # noqa: PLC0415 - Pods, which know modules only, start faster

        path = Path(place).resolve()
        if path.suffix != ".py":
            raise CommandError(f"{place}: not a Python file: must be a file that ends in .py, or a module")
        if not path.is_file():
            raise CommandError(f"{place}: file not found")
        if not path.stem.isidentifier():
            raise CommandError(f"{place}: Pods import the file by its name: use letters, digits and underscores only")
        _search_first(str(path.parent))
        module = _imported(path.stem)
        found = getattr(module, "__file__", None)
        if found is None or Path(found).resolve() != path:
            raise CommandError(
                f"{place}: another module has the name {path.stem!r} ({found or 'built into Python'}): rename the file"
            )
        return module
    _search_first(os.getcwd())  # noqa: PTH109 - as above
    return import_module(place)


def import_module(name: str) -> ModuleType:
    """Import a module by its name.

    Raises:
        CommandError: it does not exist, or exits.
    """
    try:
        return _imported(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CommandError(
            f"module {name!r} not found: add it to the image, or set {CODE_VARIABLE} to its folder"
        ) from error


def search_code() -> None:
    """Put the folders of the Pod's code first in the search path."""
    for folder in reversed(os.environ.get(CODE_VARIABLE, "").split(os.pathsep)):
        if folder:
            _search_first(folder)


def find(module: ModuleType, name: str) -> Any:
    """Return the object of that name in a module; `Class.method` for a method.

    Raises:
        CommandError: it does not exist.
    """
    found: Any = module
    for part in name.split("."):
        found = vars(found).get(part, _MISSING) if hasattr(found, "__dict__") else _MISSING
        if found is _MISSING:
            raise CommandError(f"{name!r} not found in {module.__name__} ({getattr(module, '__file__', 'built in')})")
    return found


_MISSING: Final = object()


def _imported(name: str) -> ModuleType:
    try:
        with importing():
            return importlib.import_module(name)
    except SystemExit as ended:
        # Otherwise a Pod would end as if its task had.
        raise CommandError(
            f"module {name!r} exits when it is imported (exit code {ended.code or 0}): put what does so under"
            ' `if __name__ == "__main__":`'
        ) from ended


def _search_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
