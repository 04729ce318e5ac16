"""The tokens of expressions: those of CEL, and task names.

Penstock's expressions are CEL with one addition: what stands after `tasks.` is a task's name, hyphens and all.
CEL's own grammar: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

MAX_SOURCE: Final = 4096
"""Characters of one expression, as the API allows."""
CEL_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
"""Words that are never names in CEL."""


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = auto()
    TASK = auto()
    """A task's name after `tasks.`."""
    QUOTED = auto()
    """A member's name in backquotes."""
    STRING = auto()
    NUMBER = auto()
    PUNCTUATION = auto()
    """One character of anything else."""
    END = auto()


class Token(NamedTuple):
    """A token of the source."""

    kind: Kind
    text: str
    start: int
    end: int


class Fault(Exception):  # noqa: N818 - not an error of the tree: it becomes one where the user's text is known
    """An error at a place of the source.

    Args:
        offset: 0-based, in characters of the source.
        message: what is wrong, for a person.
    """

    def __init__(self, offset: int, message: str) -> None:
        self.offset = offset
        self.message = message
        super().__init__(message)


# Possessive and lazy repetitions over disjoint alternatives only: time stays linear whatever the text.
_TOKEN: Final = re.compile(
    r"""
    (?: \s | //[^\n]* )*+
    (?: (?P<STRING>
        [bB]?[rR] (?: \"{3} (?s:.)*? \"{3} | '{3} (?s:.)*? '{3} | "[^"\n\r]*" | '[^'\n\r]*' )
      | [bB]?     (?: \"{3} (?: [^\\] | \\(?s:.) )*? \"{3} | '{3} (?: [^\\] | \\(?s:.) )*? '{3}
                    | " (?: [^"\\\n\r] | \\. )*+ " | ' (?: [^'\\\n\r] | \\. )*+ ' )
      )
    | (?P<IDENTIFIER> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<NUMBER> (?: 0x[0-9a-fA-F]+ | (?: [0-9]+ (?:\.[0-9]+)? | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? ) [uU]? )
    | (?P<QUOTED> `[^`\n]*` )
    | (?P<PUNCTUATION> (?s:.) )
    | (?P<END> )
    )
    """,
    re.VERBOSE,
)
_SIMPLE: Final = re.compile(r"""[^()"'/]*+\)""")
"""An expression without strings, comments and parentheses: it ends at the first parenthesis."""
_KINDS: Final = {kind.name: kind for kind in Kind}
_TASK: Final = re.compile(r"[A-Za-z0-9_-]+")


def read_tokens(source: str, start: int = 0) -> list[Token]:
    """Read a whole expression.

    Args:
        source: the text.
        start: offset of its first character.

    Returns:
        The tokens without white space and comments, and one of kind END after them.

    Raises:
        Fault: a string is not closed.
    """
    return _read(source, start, stop_when_closed=False)


def find_closing(text: str, start: int) -> int:
    """Find the parenthesis that closes an expression.

    Args:
        text: the text around the expression.
        start: offset of the expression's first character, after the opening parenthesis.

    Returns:
        Offset of the closing parenthesis; parentheses in strings and comments don't count. -1 if there is none within
        MAX_SOURCE characters.

    Raises:
        Fault: a string is not closed.
    """
    if simple := _SIMPLE.match(text, start):
        return simple.end() - 1
    last = _read(text, start, stop_when_closed=True)[-1]
    return last.start if last.text == ")" else -1


def _read(source: str, start: int, *, stop_when_closed: bool) -> list[Token]:
    tokens: list[Token] = []
    position, depth, start_of_all = start, 0, start
    while True:
        match = _TOKEN.match(source, position)
        assert match is not None  # the last alternative takes nothing
        name = match.lastgroup
        start, position = match.span(str(name))
        if (
            len(tokens) > 1
            and tokens[-1].text == "."
            and _is_after_tasks(tokens)
            and (task := _TASK.match(source, start))
        ):
            name, position = "TASK", task.end()
        tokens.append(Token(_KINDS[str(name)], source[start:position], start, position))
        if name == "END":
            return tokens
        if name == "PUNCTUATION":
            character = source[start]
            if character in "\"'":
                raise Fault(start, f"the string that starts with {character} here is not closed")
            if character in "()":
                depth += 1 if character == "(" else -1
            if stop_when_closed and (depth < 0 or position > start_of_all + MAX_SOURCE):
                return tokens


def _is_after_tasks(tokens: list[Token]) -> bool:
    return (
        tokens[-2].text == "tasks"
        and tokens[-2].kind is Kind.IDENTIFIER
        and not (len(tokens) > 2 and tokens[-3].text == ".")  # noqa: PLR2004 - the token before `tasks`
    )


def read_string(token: Token) -> str | None:
    """Read a string literal that needs no unescaping; None for one that does, and for bytes."""
    text = token.text
    is_raw = text[0] in "rR"
    if text[0] in "bB" or ("\\" in text and not is_raw):
        return None
    text = text[1:] if is_raw else text
    quotes = 3 if text.startswith(('"""', "'''")) else 1
    return text[quotes:-quotes]
