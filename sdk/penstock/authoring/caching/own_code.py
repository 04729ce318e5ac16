"""Which functions, classes and modules are the user's own, and which their names identify."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from typing import Any, Final

_LIBRARIES: Final = tuple(
    os.path.realpath(folder) + os.sep
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
)


_IS_CREATED_AT_RUN_TIME: Final = 1 << 9
"""Py_TPFLAGS_HEAPTYPE of `object.h`: a class that is not static data of a program in C."""


def is_identified(value: Any) -> bool:
    """Return whether module and name of a function or class identify it: they lead to it, or it is built in."""
    if isinstance(value, type) and not value.__flags__ & _IS_CREATED_AT_RUN_TIME:
        return True
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def is_own_module(name: str) -> bool:
    """Return whether a module is the user's: neither part of Python or Penstock, nor installed.

    Code of an installed package changes only with the package, and using all that it refers to would take long.
    """
    if name in {"__main__", "__mp_main__"}:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and name.partition(".")[0] != "penstock" and not _is_of_library(file)


@functools.cache
def _is_of_library(file: str) -> bool:
    return os.path.realpath(file).startswith(_LIBRARIES)
