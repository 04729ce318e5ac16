"""Artifacts that were created before, read again by their keys."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from penstock.authoring.awaiting import awaitable
from penstock.authoring.prefect.not_offered import refuse_methods
from penstock.authoring.prefect.prefect_names import ARTIFACT_ADVICE
from penstock.authoring.storage.home import home


@refuse_methods("artifacts", dict.fromkeys(("create", "acreate", "get_or_create", "aget_or_create"), ARTIFACT_ADVICE))
@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact of this machine. One that was not read has no id, and its `create` says what to use instead."""

    id: str | None = None
    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    """What it was created from."""

    @classmethod
    @awaitable
    def get(cls, key: str) -> Artifact | None:
        """Return the artifact of a key that was written last, by any run; None if there is none."""
        name = f"{key}.json"
        found = [path for folder in ("artifacts", "runs/*/artifacts") for path in home().glob(f"{folder}/*.json")]
        newest = max(
            (path for path in found if path.name == name), key=lambda path: path.stat().st_mtime_ns, default=None
        )
        if newest is None:
            return None
        facts = json.loads(newest.read_text(encoding="utf-8"))
        return cls(**{each.name: facts[each.name] for each in fields(cls)})

    @classmethod
    async def aget(cls, key: str) -> Artifact | None:
        """Return as `get` does."""
        return cls.get(key)
