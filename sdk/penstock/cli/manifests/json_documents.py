"""Reads JSON with the line of each field, as nodes of YAML.

YAML does not include all of JSON: an emoji that is escaped as two halves, an escaped slash, long keys.
"""

from __future__ import annotations

import bisect
import json
import re
from typing import Any, Final

import yaml

from penstock.cli.manifests.yaml_scalar import as_json
from penstock.engine.strict_json import check_text, read_float, read_int

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_BETWEEN: Final = re.compile(r"(?:^---(?=\s|\Z)|[ \t\r\n])*", re.MULTILINE)
"""Between documents, lines of YAML's separator may be."""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}
_STRING: Final = json.JSONDecoder().parse_string  # type: ignore[attr-defined]  # what the decoder itself uses


class JsonReader:
    """Reads the documents of a file.

    Args:
        text: the content of the file.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [match.start() for match in re.finditer("\n", text)]
        self.problems: list[tuple[int, str]] = []
        """Lines, from 1, and messages of what the API server would refuse."""
        self.unread: set[yaml.Node] = set()
        """Values that it would refuse."""

    def read(self) -> list[tuple[Any, yaml.Node]]:
        """Return the value and the node of each document.

        Raises:
            ValueError: the file is not JSON.
            RecursionError: it is nested too deeply.
        """
        found: list[tuple[Any, yaml.Node]] = []
        position = self._skip(1 if self._text.startswith("\ufeff") else 0)
        while position < len(self._text):
            value, node, position = self._value(position)
            found.append((value, node))
            position = self._skip(position, _BETWEEN)
        return found

    def _value(self, start: int) -> tuple[Any, yaml.Node, int]:
        sign = self._text[start : start + 1]
        if sign == "{":
            return self._object(start)
        if sign == "[":
            return self._array(start)
        if sign == '"':
            known = len(self.problems)
            value, end = self._string(start)
            return value, self._marked(self._scalar(value, start), known), end
        for word, constant in _WORDS.items():
            if self._text.startswith(word, start):
                return constant, self._scalar(word, start), start + len(word)
        if (match := _NUMBER.match(self._text, start)) is None:
            raise ValueError(f"no value at {start}")
        known = len(self.problems)
        number = self._number(match)
        return number, self._marked(self._scalar(match[0], start), known), match.end()

    def _marked(self, node: yaml.Node, known: int) -> yaml.Node:
        """Return a node, as one that was not read if there are more problems than those that were known before."""
        if len(self.problems) > known:
            self.unread.add(node)
        return node

    def _number(self, match: re.Match[str]) -> Any:
        try:
            return as_json(read_float(match[0]) if match[1] or match[2] else read_int(match[0]))
        except ValueError as error:
            self._add_problem(match.start(), str(error))
            return 0

    def _object(self, start: int) -> tuple[dict[str, Any], yaml.Node, int]:
        fields: dict[str, Any] = {}
        lines: dict[str, int] = {}
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        position = self._skip(start + 1)
        while self._text[position : position + 1] != "}":
            if pairs:
                position = self._skip(self._after(",", position))
            known = len(self.problems)
            key, end = self._string(position)
            is_key_read = len(self.problems) == known
            if key in fields:
                self._add_problem(position, f"duplicate key {key}: already on line {lines[key]}")
            lines.setdefault(key, self._line(position) + 1)
            value, node, end = self._value(self._skip(self._after(":", self._skip(end))))
            if is_key_read:
                fields[key] = value
            pairs.append((self._scalar(key, position), node))
            position = self._skip(end)
        return fields, yaml.MappingNode("tag:yaml.org,2002:map", pairs, self._mark(start)), position + 1

    def _array(self, start: int) -> tuple[list[Any], yaml.Node, int]:
        values: list[Any] = []
        nodes: list[yaml.Node] = []
        position = self._skip(start + 1)
        while self._text[position : position + 1] != "]":
            if nodes:
                position = self._skip(self._after(",", position))
            value, node, end = self._value(position)
            values.append(value)
            nodes.append(node)
            position = self._skip(end)
        return values, yaml.SequenceNode("tag:yaml.org,2002:seq", nodes, self._mark(start)), position + 1

    def _string(self, start: int) -> tuple[str, int]:
        text, end = _STRING(self._text, self._after('"', start))
        try:
            check_text(text)
        except ValueError as error:
            self._add_problem(start, str(error))
            # It is not checked any further, and must not spoil what is around it.
            text = text.encode(errors="replace").decode()
        return text, end

    def _after(self, sign: str, position: int) -> int:
        if self._text[position : position + 1] != sign:
            raise ValueError(f"no {sign} at {position}")
        return position + 1

    def _skip(self, position: int, space: re.Pattern[str] = _SPACE) -> int:
        match = space.match(self._text, position)
        assert match is not None
        return match.end()

    def _scalar(self, value: str, position: int) -> yaml.Node:
        return yaml.ScalarNode("tag:yaml.org,2002:str", value, self._mark(position))

    def _add_problem(self, position: int, message: str) -> None:
        self.problems.append((self._line(position) + 1, message))

    def _line(self, position: int) -> int:
        return bisect.bisect_left(self._lines, position)

    def _mark(self, position: int) -> yaml.Mark:
        return yaml.Mark("", position, self._line(position), 0, None, 0)
