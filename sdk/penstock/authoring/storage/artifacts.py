"""Artifacts: what a run publishes for people. Each is a Markdown file in the run's folder, with its data as JSON."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from penstock.authoring.awaiting import awaitable
from penstock.authoring.backend import current_backend
from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN
from penstock.authoring.storage.home import write_file
from penstock.errors import OptionError

Table = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Sequence[Sequence[Any]]
_KEY: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_KEY: Final = 200
"""Of the 255 bytes that the name of a file may have."""
_lock = threading.Lock()
_progress: dict[UUID, tuple[Path, str, str | None]] = {}


@awaitable
def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Create an artifact from Markdown text.

    Args:
        markdown: the text.
        key: name of the artifact: lower-case letters, digits and dashes. A later one with the same key replaces it.
        description: what it shows.

    Returns:
        The artifact's id.

    Raises:
        OptionError: the key is invalid.
    """
    return _create("markdown", markdown, markdown, key, description)


@awaitable
def create_table_artifact(table: Table, key: str | None = None, description: str | None = None) -> UUID:
    """Create a table from rows (dictionaries or lists) or a dictionary of columns. See create_markdown_artifact."""
    header, rows = _read_table(table)
    lines = [header, ["---"] * len(header), *rows] if header else rows
    text = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    return _create("table", text, table, key, description)


@awaitable
def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Create a link artifact. See create_markdown_artifact."""
    return _create("link", f"[{link_text or link}]({link})", {"link": link, "text": link_text}, key, description)


@awaitable
def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """Create an image artifact from a URL. See create_markdown_artifact."""
    return _create("image", f"![{description or key or ''}]({image_url})", image_url, key, description)


@awaitable
def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Create a progress artifact, from 0 to 100 percent. See create_markdown_artifact."""
    artifact = _create("progress", _bar(progress), progress, key, description)
    with _lock:
        _progress[artifact] = (_folder(), _name(key, "progress", artifact), description)
    return artifact


@awaitable
def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> UUID:
    """Update a progress artifact.

    Args:
        artifact_id: what create_progress_artifact returned.
        progress: from 0 to 100 percent.
        description: the new description; kept if not given.

    Raises:
        OptionError: this process did not create the artifact.
    """
    with _lock:
        known = _progress.get(artifact_id)
    if known is None:
        raise OptionError(f"progress artifact {artifact_id} was not created by this process")
    folder, name, old = known
    _write(folder, name, "progress", artifact_id, _bar(progress), progress, description or old)
    return artifact_id


async def acreate_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Create a Markdown artifact: see create_markdown_artifact."""
    return create_markdown_artifact(markdown, key, description)


async def acreate_table_artifact(table: Table, key: str | None = None, description: str | None = None) -> UUID:
    """Create a table artifact: see create_table_artifact."""
    return create_table_artifact(table, key, description)


async def acreate_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Create a link artifact: see create_link_artifact."""
    return create_link_artifact(link, link_text, key, description)


async def acreate_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """Create an image artifact: see create_image_artifact."""
    return create_image_artifact(image_url, key, description)


async def acreate_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Create a progress artifact: see create_progress_artifact."""
    return create_progress_artifact(progress, key, description)


async def aupdate_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> UUID:
    """Update a progress artifact: see update_progress_artifact."""
    return update_progress_artifact(artifact_id, progress, description)


def _create(kind: str, text: str, data: Any, key: str | None, description: str | None) -> UUID:
    if key is not None and not _KEY.fullmatch(key):
        raise OptionError(f"invalid artifact key {key!r}: use lower-case letters, digits and dashes")
    if key is not None and len(key) > MAX_KEY:
        raise OptionError(f"the artifact key {key[:20]!r}... has {len(key)} characters: use at most {MAX_KEY}")
    artifact = uuid4()
    folder, name = _folder(), _name(key, kind, artifact)
    _write(folder, name, kind, artifact, text, data, description)
    run = TASK_RUN.get() or FLOW_RUN.get()
    log = FLOW_LOGGER if run is None else logger_of(run)
    log.info("Artifact %s", folder / f"{name}.md")
    return artifact


def _write(folder: Path, name: str, kind: str, artifact: UUID, text: str, data: Any, description: str | None) -> None:
    run = TASK_RUN.get() or FLOW_RUN.get()
    facts = {
        "id": str(artifact),
        "key": name,
        "type": kind,
        "description": description,
        "run": None if run is None else run.name,
        "created": datetime.now(UTC).isoformat(),
        "data": data,
    }
    head = f"{description}\n\n" if description else ""
    write_file(folder / f"{name}.md", f"{head}{text}\n".encode())
    write_file(folder / f"{name}.json", json.dumps(facts, default=str).encode())


def _folder() -> Path:
    return current_backend().folder() / "artifacts"


def _name(key: str | None, kind: str, artifact: UUID) -> str:
    return key or f"{kind}-{artifact.hex[:8]}"


def _read_table(table: Table) -> tuple[list[Any], list[list[Any]]]:
    if isinstance(table, Mapping):
        columns = list(table.values())
        return list(table), [list(row) for row in zip(*columns, strict=True)]
    if table and isinstance(table[0], Mapping):
        header = list(dict.fromkeys(name for row in table for name in row))
        return header, [[row.get(name, "") for name in header] for row in table if isinstance(row, Mapping)]
    rows = [list(row) for row in table]
    return (rows[0], rows[1:]) if rows else ([], [])


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _bar(progress: float) -> str:
    if not 0 <= progress <= 100:  # noqa: PLR2004 - per cent
        raise OptionError(f"progress={progress!r}: must be from 0 to 100")
    full = round(progress / 5)
    return f"{'█' * full}{'░' * (20 - full)} {progress:g} %"
