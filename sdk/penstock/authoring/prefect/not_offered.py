"""Says what to use instead of a name that only Prefect has, wherever it is first met.

Modules ask when a name is missing, the last finder of modules when a module is, and classes when a method is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from penstock.authoring.prefect.prefect_names import MODULES, NAMES
from penstock.errors import NotOfferedError

OwnerT = TypeVar("OwnerT")

PACKAGE: Final = "penstock"


def advice_of(module: str, name: str) -> str | None:
    """Return what to use instead of a name of a module; None if the table does not have it.

    Args:
        module: the module without the package; empty for the package itself.
        name: the name.
    """
    names = NAMES.get(module, {})
    return names.get(name, names.get("*"))


def advice_of_module(module: str) -> str | None:
    """Return what to use instead of a module, without the package; None if the table does not have it."""
    return next((MODULES[each] for each in _with_parents(module) if each in MODULES), None)


def refuse_module(name: str) -> None:
    """Say what to use instead of a module.

    Raises:
        NotOfferedError: it is a module of Prefect. Other names are ignored.
    """
    if (advice := advice_of_module(name)) is not None:
        raise NotOfferedError(f"penstock has no module {name!r}: {advice}")


def refuse(module: str, name: str) -> None:
    """Say what to use instead of a name of a module.

    Raises:
        NotOfferedError: it is a name of Prefect. Other names are ignored.
    """
    if (advice := advice_of(module, name)) is not None:
        where = f"{PACKAGE}.{module}" if module else PACKAGE
        raise NotOfferedError(f"{where} has no {name!r}: {advice}")


class RefusedMethod:
    """A method that only Prefect has: refused when it is first met, on the class and on its objects."""

    def __init__(self, owners: str, advice: str) -> None:
        self._owners = owners
        self._advice = advice
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember the name."""
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Refuse.

        Raises:
            NotOfferedError: always.
        """
        raise NotOfferedError(f"{self._owners} have no {self._name}(): {self._advice}")


def refuse_methods(owners: str, methods: Mapping[str, str]) -> Callable[[type[OwnerT]], type[OwnerT]]:
    """Return a decorator that lets a class refuse methods.

    Args:
        owners: what its objects are, for messages.
        methods: what to use instead of each.
    """

    def decorate(kind: type[OwnerT]) -> type[OwnerT]:
        for name, advice in methods.items():
            refused = RefusedMethod(owners, advice)
            refused.__set_name__(kind, name)
            setattr(kind, name, refused)
        return kind

    return decorate


def refuse_others(module: str) -> None:
    """Let a module say what to use instead of the names of Prefect that it does not have.

    It sets the module's `__getattr__`; written in the module, that function would hide misspelled names from type
    checkers.

    Args:
        module: `__name__` of the module.
    """
    vars(sys.modules[module])["__getattr__"] = _missing_names(module)


def _missing_names(module: str) -> Callable[[str], Any]:
    def __getattr__(name: str) -> Any:  # noqa: N807 - Python calls it by this name
        if not name.startswith("__"):
            refuse(module.partition(".")[2], name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def _with_parents(module: str) -> Iterator[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]
