"""Wrappers of arguments: `unmapped(...)`, `allow_failure(...)` and `quote(...)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class unmapped(Generic[T]):  # noqa: N801 - Prefect's spelling
    """An argument of map() that is passed whole to each task run, though it is iterable."""

    value: T


@dataclass(frozen=True, slots=True)
class allow_failure(Generic[T]):  # noqa: N801 - Prefect's spelling
    """A future whose failure does not prevent the task from running: it gets the exception instead of the result."""

    value: T


class quote(Generic[T]):  # noqa: N801 - Prefect's spelling
    """An argument that is passed as it is: futures in it are not looked for, so a big value costs nothing."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unquote(self) -> T:
        """Return the value."""
        return self.value
