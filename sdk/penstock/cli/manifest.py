"""Manifests as files have them: objects, and the line on which each of their fields stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

_INDEX: Final = re.compile(r"\[(\d+)\]")
_TIMESTAMP_TAG: Final = "tag:yaml.org,2002:timestamp"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"


class SyntaxProblem(NamedTuple):
    """Text that is no YAML, or that says the same thing twice."""

    line: int
    message: str


class Document(NamedTuple):
    """One object of a file."""

    content: Any
    """The object; not always a mapping: that is for the reader to check."""
    root: yaml.Node
    problems: tuple[SyntaxProblem, ...]
    """What is wrong with its text though it can be read."""

    def line(self, path: str) -> int:
        """Find where a field stands.

        Args:
            path: as a `Problem` has it: `spec.tasks[2].dependsOn[0]`.

        Returns:
            The line, from 1, of the field, or of the nearest part around it that is written down.
        """
        node, line, rest = self.root, self.root.start_mark.line, path
        while rest:
            found = _step(node, rest)
            if found is None:
                break
            node, line, rest = found
        return line + 1


def read_documents(text: str) -> Iterator[Document | SyntaxProblem]:
    """Read the documents of a YAML file, up to the first that is no YAML.

    Args:
        text: the file's content.

    Returns:
        Documents, without those that are empty; a `SyntaxProblem` ends them.
    """
    loader = _Loader(text)
    try:
        while loader.check_node():
            root = loader.get_node()
            assert root is not None, "check_node said that there is one"
            problems = tuple(_repeated_keys(root))
            content = loader.construct_document(root)
            if content is not None:
                yield Document(content, root, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield SyntaxProblem(mark.line + 1 if mark else 1, f"not YAML: {error.problem}")
    except yaml.YAMLError as error:
        yield SyntaxProblem(1, f"not YAML: {error}")
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Reads YAML as the API server does, to which a date without quotes is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _repeated_keys(node: yaml.Node) -> Iterator[SyntaxProblem]:
    """Find keys that stand twice in a mapping: PyYAML and kubectl silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated_keys(child)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_TAG:
                line = key.start_mark.line + 1
                if key.value in seen:
                    yield SyntaxProblem(line, f"{key.value} is already given on line {seen[key.value]}")
                seen[key.value] = line
            yield from _repeated_keys(value)


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Go one step down a field path; None if what comes next is not written down."""
    if isinstance(node, yaml.SequenceNode) and (match := _INDEX.match(path)):
        index = int(match[1])
        if index < len(node.value):
            child = node.value[index]
            return child, child.start_mark.line, path[match.end() :].removeprefix(".")
    if isinstance(node, yaml.MappingNode):
        # A key may have dots of its own, as labels do: the longest that fits is meant.
        fitting = [pair for pair in node.value if re.match(re.escape(str(pair[0].value)) + r"(?=[.\[]|$)", path)]
        if fitting:
            key, value = max(fitting, key=lambda pair: len(pair[0].value))
            return value, key.start_mark.line, path[len(key.value) :].removeprefix(".")
    return None
