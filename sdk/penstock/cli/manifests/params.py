"""Values of a run's params, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents, read_file
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError


def read_params(assignments: Sequence[str], declared: Mapping[str, str]) -> dict[str, Any]:
    """Read `key=value` words by the types that the Flow declares.

    Args:
        assignments: the words; of the same key, the last one counts.
        declared: type of each param of the Flow, by name.

    Returns:
        The values: for a param of type string the text as it was typed, for every other the JSON that it is.

    Raises:
        CommandError: a word has no `=`, names no param of the Flow, or its value is no JSON.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise CommandError(f"-p {assignment}: write it as KEY=VALUE")
        if name not in declared:
            raise CommandError(f"-p {assignment}: the Flow has no param {name}{_alternatives(name, list(declared))}")
        values[name] = text if declared[name] == "string" else _read_json(assignment, text, declared[name])
    return values


def read_params_file(file: str | None, declared: Mapping[str, str]) -> dict[str, Any]:
    """Read values from a file of YAML or JSON: a mapping of params.

    Args:
        file: its name; `-` is standard input; None: no values.
        declared: type of each param of the Flow, by name.

    Raises:
        CommandError: the file can't be read, is no mapping, or names no param of the Flow.
    """
    if file is None:
        return {}
    documents = list(read_documents(read_file(file)))
    for document in documents:
        for problem in [document] if isinstance(document, SyntaxProblem) else document.problems:
            raise CommandError(f"{file}:{problem.line}: {problem.message}")
    contents = [document.content for document in documents if isinstance(document, Document)]
    if len(contents) > 1 or not all(isinstance(content, dict) for content in contents):
        raise CommandError(f"{file}: give one mapping of params and their values")
    values: dict[str, Any] = contents[0] if contents else {}
    for name in values:
        if name not in declared:
            raise CommandError(f"{file}: the Flow has no param {name}{_alternatives(name, list(declared))}")
    return values


def _read_json(assignment: str, text: str, declared_type: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        examples = {"boolean": "true", "array": '["a", "b"]', "object": '{"a": 1}'}
        example = examples.get(declared_type, "12")
        raise CommandError(
            f"-p {assignment}: not JSON; the param is of type {declared_type}, as {example} is"
        ) from error


def _alternatives(name: str, names: Sequence[str]) -> str:
    return suggest(name, names) or f": it has {enumerate_names(names)}"
