"""Picks one object out of a manifest file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.cli.manifests.manifest import SyntaxProblem, read_documents
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError


def select_object(
    text: str, *, file: str, name: str | None, description: str, accepts: Callable[[Object], bool]
) -> Object:
    """Return the object of a file that a command is about.

    Args:
        text: content of the file.
        file: its name, for messages.
        name: name of the object; None selects the only one.
        description: what is looked for, for messages: `Schedule`.
        accepts: whether an object with a name is one of those.

    Raises:
        CommandError: the file is not YAML, or has no such object, or several and no name was given.
    """
    found: dict[str, Object] = {}
    for document in read_documents(text):
        if isinstance(document, SyntaxProblem):
            raise CommandError(f"{file}:{document.line}: {document.message}")
        content = document.content
        if _has_name(content) and accepts(content):
            found[str(content["metadata"]["name"])] = content
    if not found:
        raise CommandError(f"{file} contains no {description}")
    if name is None and len(found) > 1:
        raise CommandError(f"{file} contains several {description}s; name one of {enumerate_names(found)}")
    chosen = name or next(iter(found))
    if chosen not in found:
        hint = suggest(chosen, found) or f"; it contains {enumerate_names(found)}"
        raise CommandError(f"{file} contains no {description} named {chosen}{hint}")
    return found[chosen]


def _has_name(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("metadata"), dict) and "name" in content["metadata"]
