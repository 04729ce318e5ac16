"""The tree of a compiled expression, with its macros expanded, as CEL's library evaluates it.

The library hands it out only in serialised form: a `google.protobuf.Any` with a `cel.expr.CheckedExpr`, see
https://github.com/google/cel-spec/blob/master/proto/cel/expr/checked.proto and syntax.proto beside it. The fields
that matter here are few, so they are read from the wire format directly
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_ANY_VALUE: Final = 2
_CHECKED_EXPR: Final = 4
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)
_CONST_STRING, _CONST_BYTES = 6, 7

Fields = dict[int, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `text` is None unless it is a string."""

    size_bytes: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Identifier:
    """A root or a variable of a macro."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or whether there is such a field."""

    operand: Node
    field: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator; the target of a method is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A literal list, or a literal object whose keys and values alternate."""

    elements: tuple[Node, ...]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Comprehension:
    """What a macro expands to: a loop over `range` that folds into the variable `accumulator`."""

    variables: tuple[str, ...]
    range: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node = Constant | Identifier | Select | Call | Aggregate | Comprehension


def nodes_of(tree: Node) -> Iterator[Node]:
    """Iterate over the nodes of a tree."""
    left: list[Node] = [tree]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, Select):
            left.append(node.operand)
        elif isinstance(node, Call):
            left += node.arguments
        elif isinstance(node, Aggregate):
            left += node.elements
        elif isinstance(node, Comprehension):
            left += (node.range, node.start, node.condition, node.step, node.result)


def read_tree(serialized: bytes) -> Node:
    """Read the tree of a serialised expression."""
    return _node(_message(_message(serialized), _ANY_VALUE, _CHECKED_EXPR))


def _node(expr: Fields) -> Node:
    for number, read in _READERS.items():
        if number in expr:
            return read(_message(expr, number))
    raise AssertionError("an expression is one of these")


def _identifier(identifier: Fields) -> Identifier:
    return Identifier(_text(identifier, 1))


def _select(select: Fields) -> Select:
    return Select(_node(_message(select, 1)), _text(select, 2), is_test=3 in select)  # noqa: PLR2004 - the field's number


def _call(call: Fields) -> Call:
    return Call(_text(call, 2), tuple(_node(each) for number in (1, 3) for each in _messages(call, number)))


def _list(elements: Fields) -> Aggregate:
    return Aggregate(tuple(_node(each) for each in _messages(elements, 1)), is_list=True)


def _struct(struct: Fields) -> Aggregate:
    return Aggregate(tuple(_entries(struct)), is_list=False)


def _constant(constant: Fields) -> Constant:
    if _CONST_STRING in constant:
        text = _text(constant, _CONST_STRING)
        return Constant(len(text.encode()), text)
    return Constant(len(_bytes(constant, _CONST_BYTES)), None)


def _entries(struct: Fields) -> Iterator[Node]:
    for entry in _messages(struct, 2):
        yield _node(_message(entry, 3))
        yield _node(_message(entry, 4))


def _comprehension(loop: Fields) -> Comprehension:
    variables = [_text(loop, 1), *([_text(loop, 8)] if 8 in loop else [])]  # noqa: PLR2004 - the field's number
    of_range, start, condition, step, result = (_node(_message(loop, number)) for number in (2, 4, 5, 6, 7))
    return Comprehension(tuple(variables), of_range, _text(loop, 3), start, condition, step, result)


_READERS: Final[dict[int, Callable[[Fields], Node]]] = {
    _CONST: _constant,
    _IDENT: _identifier,
    _SELECT: _select,
    _CALL: _call,
    _LIST: _list,
    _STRUCT: _struct,
    _COMPREHENSION: _comprehension,
}


# The wire format


def _fields(data: bytes) -> Fields:
    fields: Fields = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, position = _varint(data, position)
        else:
            length, position = _varint(data, position) if kind == 2 else (8 if kind == 1 else 4, position)  # noqa: PLR2004 - wire types
            value = data[position : position + length]
            position += length
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that another byte follows
            return value, position
        shift += 7


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields, number).decode()


def _messages(fields: Fields, number: int) -> list[Fields]:
    return [_fields(value) for value in fields.get(number, []) if isinstance(value, bytes)]


def _message(fields: Fields | bytes, *numbers: int) -> Fields:
    found = fields if isinstance(fields, dict) else _fields(fields)
    for number in numbers:
        found = _fields(_bytes(found, number))
    return found
