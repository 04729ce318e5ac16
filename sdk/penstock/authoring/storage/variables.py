"""Variables: values that are set outside of flows.

A variable is read from the environment variable `PENSTOCK_VARIABLE_<NAME>`, in a cluster set from a ConfigMap, or else
from the file of its name in `$PENSTOCK_HOME/variables`. JSON is parsed; anything else is text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from penstock.authoring.awaiting import awaitable
from penstock.authoring.backend import check_effect
from penstock.authoring.storage.home import home, write_file
from penstock.errors import VariableError

PREFIX: Final = "PENSTOCK_VARIABLE_"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")


class Variable:
    """Reads and sets variables. It has class methods only."""

    @classmethod
    @awaitable
    def get(cls, name: str, default: Any = None) -> Any:
        """Return the value of a variable, or the default if it does not exist.

        Raises:
            VariableError: the name is invalid, or the file cannot be read.
        """
        path = _path(name)
        check_effect(f"the variable {name!r} would be read", "read it in a task, or make its value a param of the flow")
        text = os.environ.get(PREFIX + name.upper())
        if text is None:
            try:
                text = path.read_text(encoding="utf-8")
            except FileNotFoundError:
                return default
            except (OSError, UnicodeDecodeError) as error:
                raise VariableError(f"cannot read variable {name!r} from {path}: {error}") from error
        try:
            return json.loads(text)
        except ValueError:
            return text.strip()

    @classmethod
    @awaitable
    def set(cls, name: str, value: Any, tags: Iterable[str] | None = None, *, overwrite: bool = False) -> None:  # noqa: ARG003 - nothing here reads tags
        """Set a variable on this machine.

        Args:
            name: letters, digits and underscores.
            value: a JSON value.
            tags: have no meaning: variables are found by their names.
            overwrite: replace an existing value.

        Raises:
            VariableError: it exists, is set by the environment, or the value is not JSON.
        """
        path = _path(name)
        check_effect(f"the variable {name!r} would be set", "set it in a task")
        if PREFIX + name.upper() in os.environ:
            raise VariableError(
                f"variable {name!r} is set by the environment variable {PREFIX}{name.upper()}: change it there"
            )
        if path.exists() and not overwrite:
            raise VariableError(f"variable {name!r} already exists: pass overwrite=True to replace it")
        try:
            data = json.dumps(value).encode()
        except (TypeError, ValueError) as error:
            raise VariableError(f"variable {name!r}: {error}; the value must be JSON") from error
        write_file(path, data)

    @classmethod
    @awaitable
    def unset(cls, name: str) -> bool:
        """Remove a variable from this machine, and return whether it existed."""
        check_effect(f"the variable {name!r} would be removed", "remove it in a task")
        try:
            _path(name).unlink()
        except FileNotFoundError:
            return False
        return True

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """Return as `get` does."""
        return cls.get(name, default)

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Iterable[str] | None = None, *, overwrite: bool = False) -> None:
        """Set as `set` does."""
        cls.set(name, value, tags, overwrite=overwrite)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """Remove as `unset` does."""
        return cls.unset(name)


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise VariableError(f"invalid variable name {name!r}: use letters, digits and underscores")
    return home() / "variables" / name
