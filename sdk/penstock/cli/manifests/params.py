"""Values of a run's params, from the command line or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents, read_file
from penstock.engine.strict_json import BigNumberError, check_text, load_json, read_exact_int
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError

_NO_NULL: Final = "a param cannot be null, because Kubernetes drops it: omit the param, which then has its default"


def read_params(assignments: Sequence[str], declared: Mapping[str, str]) -> dict[str, Any]:
    """Read `KEY=VALUE` arguments by the types that the Flow declares.

    Args:
        assignments: the arguments.
        declared: type of each param of the Flow, by name.

    Returns:
        The values: for a param of type string the text, for others the decoded JSON.

    Raises:
        CommandError: an argument has no `=`, an unknown param, one that was given before, or a value that is not JSON
            or has a number that is too large.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise CommandError(f"-p {assignment}: must be KEY=VALUE")
        if name not in declared:
            raise CommandError(f"-p {assignment}: the Flow has no param {name}{_alternatives(name, list(declared))}")
        if name in values:
            raise CommandError(f"-p {assignment}: {name} is given twice")
        is_text = declared[name] == "string"
        values[name] = _read_text(name, text) if is_text else _read_json(assignment, text, declared[name])
    return values


def read_params_file(file: str | None, declared: Mapping[str, str]) -> dict[str, Any]:
    """Read values from a file of YAML or JSON: a mapping of params.

    Args:
        file: its name; `-` is standard input; None for no values.
        declared: type of each param of the Flow, by name.

    Raises:
        CommandError: the file cannot be read, is not a mapping, or has an unknown param.
    """
    if file is None:
        return {}
    documents = list(read_documents(read_file(file)))
    for document in documents:
        for problem in [document] if isinstance(document, SyntaxProblem) else document.problems:
            raise CommandError(f"{file}:{problem.line}: {problem.message}")
    contents = [document.content for document in documents if isinstance(document, Document)]
    if len(contents) > 1 or not all(isinstance(content, dict) for content in contents):
        raise CommandError(f"{file}: must contain one YAML or JSON object, such as day: 2026-11-22")
    values: dict[str, Any] = contents[0] if contents else {}
    for name, value in values.items():
        if name not in declared:
            raise CommandError(f"{file}: the Flow has no param {name}{_alternatives(name, list(declared))}")
        if value is None:
            raise CommandError(f"{file}: {name}: {_NO_NULL}")
    return values


def _read_text(name: str, text: str) -> str:
    try:
        check_text(text)
    except ValueError as error:
        raise CommandError(f"-p {name}: the value is not UTF-8") from error
    return text


def _read_json(assignment: str, text: str, declared_type: str) -> Any:
    try:
        value = load_json(text, read_whole=None if declared_type == "number" else read_exact_int)
    except BigNumberError as error:
        raise CommandError(f"-p {assignment}: {error}") from error
    except (ValueError, RecursionError) as error:
        examples = {"boolean": "true", "array": '["a", "b"]', "object": '{"a": 1}'}
        example = examples.get(declared_type, "12")
        raise CommandError(
            f"-p {assignment}: the value is not JSON; the param has type {declared_type}, for example {example}"
        ) from error
    if value is None:
        raise CommandError(f"-p {assignment}: {_NO_NULL}")
    return value


def _alternatives(name: str, names: Sequence[str]) -> str:
    return suggest(name, names) or (f"; its params are {enumerate_names(names)}" if names else "; it has no params")
