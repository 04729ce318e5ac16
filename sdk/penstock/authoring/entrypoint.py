"""Where a flow or task stands: `my_flow.py:etl` on a machine, `my_flow:etl` in a Pod.

A module is known by the name under which `import` finds it when its folder is the first that is searched, so that
what was pickled on one side can be read on the other.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

from penstock.errors import CommandError

CODE_VARIABLE: Final = "PENSTOCK_CODE"
"""Folders that a Pod's code is in, before all others, with `:` between them. Its working directory if not set."""


def load(entrypoint: str) -> Any:
    """Return what an entrypoint names: `FILE.py:NAME`, or `MODULE:NAME`.

    Raises:
        CommandError: it can't be read, or there is no such thing.
        Exception: that of the module.
    """
    place, separator, name = entrypoint.rpartition(":")
    if not separator or not place or not name:
        raise CommandError(f"{entrypoint!r} is no entrypoint: write FILE.py:FLOW, or MODULE:FLOW")
    return find(load_module(place), name)


def load_module(place: str) -> ModuleType:
    """Import a file, as Python would run it, or a module by its name.

    Raises:
        CommandError: there is none.
    """
    if place.endswith(".py") or os.sep in place:
        from pathlib import Path  # noqa: PLC0415 - Pods, which know modules only, start faster

        path = Path(place).resolve()
        if path.suffix != ".py":
            raise CommandError(f"{place}: it is no Python file: name one that ends in .py, or a module")
        if not path.is_file():
            raise CommandError(f"{place}: there is no such file")
        if not path.stem.isidentifier():
            raise CommandError(f"{place}: Pods import it by its name, so call it by letters, digits and underscores")
        _search_first(str(path.parent))
        module = importlib.import_module(path.stem)
        found = getattr(module, "__file__", None)
        if found is None or Path(found).resolve() != path:
            raise CommandError(
                f"{place}: another module is called {path.stem!r} too, {found or 'built into Python'}: rename the file"
            )
        return module
    _search_first(os.getcwd())  # noqa: PTH109 - as above
    return import_module(place)


def import_module(name: str) -> ModuleType:
    """Import a module by its name.

    Raises:
        CommandError: it is not there.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CommandError(
            f"there is no module {name!r} here: put it into the image, or set {CODE_VARIABLE} to the folder that it"
            " is in"
        ) from error


def search_code() -> None:
    """Have modules found where the Pod's code is."""
    for folder in reversed(os.environ.get(CODE_VARIABLE, "").split(os.pathsep)):
        if folder:
            _search_first(folder)


def find(module: ModuleType, name: str) -> Any:
    """Return what is called so in a module; `Class.method` goes deeper.

    Raises:
        CommandError: there is none.
    """
    found: Any = module
    for part in name.split("."):
        found = vars(found).get(part, _MISSING) if hasattr(found, "__dict__") else _MISSING
        if found is _MISSING:
            raise CommandError(f"there is no {name!r} in {module.__name__}, {getattr(module, '__file__', 'built in')}")
    return found


_MISSING: Final = object()


def _search_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
