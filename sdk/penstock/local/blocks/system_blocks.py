"""Blocks of one value: secrets, texts, JSON and times."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import pydantic

from penstock.local.blocks.block import Block


class _Value(Block):
    """A block of one value, whose variable or mounted file is that value."""

    @classmethod
    def _read_text(cls, text: str) -> Self:
        try:
            value = json.loads(text)
        except ValueError:
            value = text.strip()
        return cls(value=value)  # type: ignore[call-arg]  # the classes below have it


class Secret(_Value):
    """A secret: `Secret.load("chat-token").get()`."""

    value: pydantic.Secret[Any]

    if TYPE_CHECKING:  # pydantic wraps what is given

        def __init__(self, *, value: Any) -> None: ...

    @pydantic.field_validator("value", mode="before")
    @classmethod
    def _without_wrapper(cls, given: Any) -> Any:
        return given.get_secret_value() if isinstance(given, pydantic.SecretStr) else given

    @classmethod
    def _read_text(cls, text: str) -> Self:
        # Of a text such as 0123, the zero is part of the secret.
        is_structure = text.lstrip()[:1] in {"{", "["}
        return super()._read_text(text) if is_structure else cls(value=text.removesuffix("\n"))

    def get(self) -> Any:
        """Return the secret itself."""
        return self.value.get_secret_value()


class JSON(_Value):
    """A JSON value."""

    value: Any


class String(Block):
    """A text."""

    value: str

    @classmethod
    def _read_text(cls, text: str) -> Self:
        return cls(value=text.removesuffix("\n"))


class DateTime(_Value):
    """A time."""

    value: datetime
