"""Blocks: values that are set outside of flows and loaded by name, as pydantic models.

`Database.load("main")` reads, in this order,

- the environment variable `PENSTOCK_DATABASE_MAIN`,
- the file `main` in the folder `PENSTOCK_SECRETS`, where a Secret of the namespace is mounted,
- the file that `save("main")` wrote below `PENSTOCK_HOME`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pydantic
import pydantic_core

from penstock.authoring.awaiting import awaitable
from penstock.authoring.backend import check_effect
from penstock.authoring.storage.home import home, write_file
from penstock.engine.suggestion import enumerate_names
from penstock.errors import VariableError

SECRETS: Final = "PENSTOCK_SECRETS"
SYSTEM_BLOCKS: Final = "penstock.local.blocks.system_blocks"
"""A name instead of an import: that module derives its classes from the one here."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_WORD_BREAK: Final = re.compile(r"[^a-z0-9]+")


class Block(pydantic.BaseModel):
    """A value with fields, which is saved and loaded by name. Derive your own from it."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, ignored_types=(property,))

    _block_type_name: ClassVar[str | None] = None
    _block_type_slug: ClassVar[str | None] = None

    @classmethod
    def block_type_slug(cls) -> str:
        """Return the name of the class as it is part of variables and folders."""
        own = vars(cls)
        words = own.get("_block_type_slug") or own.get("_block_type_name") or cls.__name__
        return _WORD_BREAK.sub("-", str(words).lower()).strip("-")

    @classmethod
    @awaitable
    def load(cls, name: str, validate: bool = True, client_session: Any = None) -> Self:  # noqa: FBT001, FBT002 - Prefect's signature
        """Return the block of a name.

        Args:
            name: the name, or `type/name`: `Block.load("secret/token")` is `Secret.load("token")`.
            validate: has no meaning: blocks are always validated.
            client_session: has no meaning: there is no server.

        Raises:
            VariableError: it does not exist, cannot be read or is invalid, or no class has the type.
        """
        kind, slash, own = name.partition("/")
        if slash and _NAME.fullmatch(kind):
            if (found := _class_of(kind, cls)) is not cls:
                loaded: Self = found.load(own, validate, client_session)
                return loaded
            name = own
        path = cls._path(name)
        check_effect(
            f"the {cls.__name__} {name!r} would be loaded",
            "load it in the task that needs it: in the Flow it would be readable",
        )
        variable = f"PENSTOCK_{cls.block_type_slug()}_{name}".upper().replace("-", "_").replace(".", "_")
        text = os.environ.get(variable)
        try:
            if text is not None:
                return cls._read_text(text)
            mounted = os.environ.get(SECRETS)
            if mounted and (file := Path(mounted) / name).is_file():
                return cls._read_text(file.read_text(encoding="utf-8"))
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise VariableError(
                f"{cls.__name__} {name!r} does not exist: set the environment variable {variable}, mount a Secret with"
                f" the key {name!r} and set {SECRETS} to its folder, or call save({name!r}) on this machine"
            ) from error
        except (OSError, ValueError) as error:
            # The errors of pydantic have the value in them.
            raise VariableError(f"{cls.__name__} {name!r} cannot be read: {type(error).__name__}") from None

    @awaitable
    def save(self, name: str, overwrite: bool = False) -> str:  # noqa: FBT001, FBT002 - Prefect's signature
        """Save the block on this machine, in a file that only this user can read.

        Args:
            name: letters, digits, dashes, underscores and dots.
            overwrite: replace a block that exists.

        Returns:
            The name.

        Raises:
            VariableError: it exists, or the name is invalid.
        """
        path = self._path(name)
        check_effect(f"the {type(self).__name__} {name!r} would be saved", "save it in a task")
        if path.exists() and not overwrite:
            raise VariableError(f"{type(self).__name__} {name!r} already exists: pass overwrite=True to replace it")
        write_file(path, json.dumps(self.model_dump(), default=_revealed).encode())
        return name

    @classmethod
    @awaitable
    def delete(cls, name: str) -> None:
        """Remove a saved block from this machine; do nothing if it does not exist."""
        check_effect(f"the {cls.__name__} {name!r} would be removed", "remove it in a task")
        cls._path(name).unlink(missing_ok=True)

    @classmethod
    async def aload(cls, name: str, validate: bool = True, client_session: Any = None) -> Self:  # noqa: FBT001, FBT002 - as load
        """Return as `load` does."""
        return cls.load(name, validate, client_session)

    async def asave(self, name: str, overwrite: bool = False) -> str:  # noqa: FBT001, FBT002 - as save
        """Save as `save` does."""
        return self.save(name, overwrite)

    @classmethod
    async def adelete(cls, name: str) -> None:
        """Remove as `delete` does."""
        cls.delete(name)

    @classmethod
    def _read_text(cls, text: str) -> Self:
        return cls.model_validate_json(text)

    @classmethod
    def _path(cls, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise VariableError(f"invalid name of a block {name!r}: use letters, digits, dashes, underscores and dots")
        return home() / "blocks" / cls.block_type_slug() / name


def _class_of(slug: str, base: type[Block]) -> type[Any]:
    """Return the class of a type: this one, or one that is derived from it.

    Raises:
        VariableError: there is none.
    """
    importlib.import_module(SYSTEM_BLOCKS)  # its classes are known then
    classes: list[type[Block]] = [base]
    for each in classes:
        if each.block_type_slug() == slug:
            return each
        classes += each.__subclasses__()
    known = enumerate_names(sorted(each.block_type_slug() for each in classes[1:]) or [base.block_type_slug()])
    raise VariableError(f"no block has the type {slug!r}: import the module of its class first; known are {known}")


def _revealed(value: Any) -> Any:
    """Return a value as JSON has it, secrets in plain text: the file is private."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return pydantic_core.to_jsonable_python(value)
