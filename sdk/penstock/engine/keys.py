"""The keys of what the engine works on: objects, runs, and the tasks and items of a run."""

from __future__ import annotations

from typing import NamedTuple


class ObjectKey(NamedTuple):
    """An object's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class RunKey(NamedTuple):
    """Which run."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}"


class RunUid(NamedTuple):
    """A run, whatever its name: several of one name may have come and gone."""

    namespace: str
    """With the uid, because a label, owner reference or ConfigMap in any namespace can name any uid."""
    uid: str


class TaskInstanceKey(NamedTuple):
    """One task of a run, or one item of its fan-out."""

    task: str
    item: int | None = None
    """Index of the item."""


class RunIdentity(NamedTuple):
    """Which run it is."""

    namespace: str
    name: str
    uid: str
    flow: str | None = None
    """Name of its Flow; None for an inline spec."""
    scheduled_time: str | None = None
    """The earliest start time, RFC 3339, if the run has one."""
