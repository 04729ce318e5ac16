"""Reads manifest files: objects, and the line of each of their fields."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from penstock.cli.manifests.json_documents import JsonReader
from penstock.cli.manifests.yaml_scalar import MERGE_TAG, PLAIN_TAG, STR_TAG, key_text, read_scalar
from penstock.engine.strict_json import check_text
from penstock.errors import CommandError

_INDEX: Final = re.compile(r"\[(\d+)\]")
STDIN: Final = "-"
_VERSION: Final = (1, 1)
MAX_VALUES: Final = 1_000_000
"""Per document. Aliases of aliases can expand a few lines to any number of values."""


class SyntaxProblem(NamedTuple):
    """Text that is not valid YAML for Kubernetes."""

    line: int
    message: str


class Document(NamedTuple):
    """One object of a file."""

    content: Any
    """The object; not necessarily a mapping: callers must check."""
    root: yaml.Node
    problems: tuple[SyntaxProblem, ...]
    """Problems of text that can be read nevertheless."""
    unread: frozenset[yaml.Node] = frozenset()
    """Values that some of these problems are about: what is in `content` in their place means nothing."""

    def line(self, path: str) -> int:
        """Find the line of a field.

        Args:
            path: in the format of `Problem.path`: `spec.tasks[2].dependsOn[0]`.

        Returns:
            The line (the first is 1) of the field, or of its nearest ancestor in the file.
        """
        return self._find(path)[1] + 1

    def is_read(self, path: str) -> bool:
        """Return whether the value of a field is what the file has.

        Args:
            path: as for `line`.
        """
        return self._find(path)[0] not in self.unread

    def _find(self, path: str) -> tuple[yaml.Node, int]:
        node, line, rest = self.root, self.root.start_mark.line, path
        while rest:
            found = _step(node, rest)
            if found is None:
                break
            node, line, rest = found
        return node, line


def read_documents(text: str) -> Iterator[Document | SyntaxProblem]:
    """Read the documents of a YAML or JSON file as kubectl and the API server do, up to the first syntax error.

    Args:
        text: the file's content.

    Returns:
        Non-empty documents; each item of a List is a document of its own. A `SyntaxProblem` is the last item.
    """
    if (documents := _read_json(text)) is not None:
        yield from documents
        return
    loader = _Loader(text)
    try:
        while loader.check_node():
            root = loader.get_node()
            assert root is not None, "check_node said that there is one"
            builder = _Builder()
            content = builder.build(root)
            if loader.yaml_version not in (None, _VERSION):
                builder.add_problem(root, "only YAML 1.1 is supported: remove the %YAML directive")
            if content is not None or builder.problems:
                yield from _objects(Document(content, root, tuple(builder.problems), frozenset(builder.unread)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield SyntaxProblem(mark.line + 1 if mark else 1, f"not YAML: {error.problem}")
    except yaml.YAMLError as error:
        yield SyntaxProblem(1, f"not YAML: {error}")
    except RecursionError:
        yield SyntaxProblem(1, "not YAML: nested too deeply")
    finally:
        loader.dispose()


def _read_json(text: str) -> list[Document] | None:
    """Return the documents of a file that is JSON; None if it is not."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return None
    reader = JsonReader(text)
    try:
        found = reader.read()
    except (ValueError, RecursionError):
        return None  # it may still be YAML
    problems = tuple(SyntaxProblem(line, message) for line, message in reader.problems)
    return [
        each
        for number, (content, root) in enumerate(found)
        for each in _objects(Document(content, root, () if number else problems, frozenset(reader.unread)))
    ]


def read_file(file: str) -> str:
    """Read a text file; `-` is standard input.

    Raises:
        CommandError: it cannot be read.
    """
    if file == STDIN:
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"cannot read {file}: it is not UTF-8") from error


class _Loader(yaml.SafeLoader):
    """Reads the structure of YAML as libyaml does, and leaves the meaning of scalars to `yaml_scalar`."""

    # Set by the parser; missing in the type stubs of PyYAML.
    yaml_version: tuple[int, int] | None

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Return the tag of a node without a tag."""
        if kind is yaml.ScalarNode:
            return PLAIN_TAG if implicit[0] else STR_TAG
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML has no types here

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Compose a scalar; the non-specific tag `!` makes it text."""
        is_text = self.peek_event().tag == "!"  # type: ignore[no-untyped-call]  # PyYAML has no types here
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if is_text:
            node.tag = STR_TAG
        return node

    def scan_to_next_token(self) -> None:
        """Skip whitespace, including tabs where they cannot be indentation, as libyaml does."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()


_Loader.ESCAPE_REPLACEMENTS = {  # type: ignore[misc]  # unlike PyYAML, libyaml has no \\/
    sign: text for sign, text in yaml.SafeLoader.ESCAPE_REPLACEMENTS.items() if sign != "/"
}


class _Builder:
    """Converts the nodes of a document to a value, and collects what the API server would reject."""

    def __init__(self) -> None:
        self.problems: list[SyntaxProblem] = []
        self.unread: set[yaml.Node] = set()
        self._built: dict[yaml.Node, tuple[Any, int]] = {}
        self._open: set[yaml.Node] = set()

    def build(self, root: yaml.Node) -> Any:
        """Return the value of a document."""
        value, size = self._build(root)
        if size > MAX_VALUES:
            self.add_problem(root, f"expands to more than {MAX_VALUES} values because of aliases")
            return None
        return value

    def add_problem(self, node: yaml.Node, message: str) -> None:
        """Add a problem at the line of a node."""
        self.problems.append(SyntaxProblem(node.start_mark.line + 1, message))

    def _build(self, node: yaml.Node) -> tuple[Any, int]:
        """Return the value of a node, and the number of values in it."""
        if node in self._open:
            self.add_problem(node, "recursive YAML alias: this value contains an alias of itself")
            return None, 1
        if node not in self._built:
            self._open.add(node)
            self._built[node] = self._build_new(node)
            self._open.discard(node)
        return self._built[node]

    def _build_new(self, node: yaml.Node) -> tuple[Any, int]:
        if isinstance(node, yaml.SequenceNode):
            built = [self._build(child) for child in node.value]
            return [value for value, _ in built], 1 + sum(size for _, size in built)
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(node)
        return self._scalar(node), 1

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            check_text(node.value)
            return read_scalar(node.value, node.tag)
        except ValueError as error:
            self.add_problem(node, str(error))
            self.unread.add(node)
            return None

    def _build_mapping(self, node: yaml.MappingNode) -> tuple[dict[str, Any], int]:
        fields: dict[str, Any] = {}
        seen: dict[tuple[type, Any], int] = {}
        total = 1
        for key_node, value_node in self._pairs(node):
            if not isinstance(key_node, yaml.ScalarNode):
                self.add_problem(key_node, "a key must be a scalar, not a list or a mapping")
                continue
            key = self._scalar(key_node)
            name = key_text(key)
            if key_node in self.unread:
                continue
            if name is None:
                self.add_problem(key_node, f"{key_node.value or 'an empty value'} cannot be a key: put it in quotes")
                continue
            line = seen.setdefault((type(key), key), key_node.start_mark.line + 1)
            if line != key_node.start_mark.line + 1 or name in fields:
                self.add_problem(key_node, f"duplicate key {key_node.value}: already on line {line}")
            fields[name], size = self._build(value_node)
            total += size
        return fields, total

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Yield the fields of a mapping, including merged ones (`<<`)."""
        for key, value in node.value:
            is_merge = isinstance(key, yaml.ScalarNode) and (
                key.tag == MERGE_TAG or (key.tag == PLAIN_TAG and key.value == "<<")
            )
            if not is_merge:
                yield key, value
                continue
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(merged, yaml.MappingNode) and merged not in self._open:
                    yield from self._pairs(merged)
                else:
                    self.add_problem(key, "<< must be a mapping or a list of mappings")


def _objects(document: Document) -> Iterator[Document]:
    """Return a document, or the items of a `List` (a kind that kubectl writes and reads)."""
    content, root = document.content, document.root
    if not (isinstance(content, dict) and content.get("kind") == "List" and content.get("apiVersion") == "v1"):
        yield document
        return
    assert isinstance(root, yaml.MappingNode)
    lists = [value for key, value in root.value if key.value == "items" and isinstance(value, yaml.SequenceNode)]
    problems = document.problems
    for item, node in zip(content.get("items") or (), lists[-1].value if lists else (), strict=False):
        yield Document(item, node, problems, document.unread)
        problems = ()


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Go one step down a field path; None if the next part is not in the file."""
    if isinstance(node, yaml.SequenceNode) and (match := _INDEX.match(path)):
        index = int(match[1])
        if index < len(node.value):
            child = node.value[index]
            return child, child.start_mark.line, path[match.end() :].removeprefix(".")
    if isinstance(node, yaml.MappingNode):
        # A key may contain dots, as labels do: the longest match is used.
        fitting = [pair for pair in node.value if re.match(re.escape(str(pair[0].value)) + r"(?=[.\[]|$)", path)]
        if fitting:
            key, value = max(fitting, key=lambda pair: len(pair[0].value))
            return value, key.start_mark.line, path[len(key.value) :].removeprefix(".")
    return None
