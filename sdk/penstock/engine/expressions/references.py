"""What an expression refers to, found by reading it, and the same expression as plain CEL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from penstock.engine.expressions.lexer import CEL_KEYWORDS, Fault, Kind, Token, read_string, read_tokens
from penstock.engine.expressions.path import Path
from penstock.engine.expressions.scope import (
    ANYTHING,
    END_FIELDS,
    EVENT_ROOTS,
    ITEM_ROOTS,
    OPTIONAL_OUTPUTS,
    ROOT_FIELDS,
    TASK_ATTRIBUTES,
    TICK_ROOTS,
    Scope,
    TaskReference,
    TaskShape,
)
from penstock.engine.expressions.time_zone import AFTER, BEFORE, ZONE, ZONED, is_zone, no_such_zone
from penstock.engine.suggestion import enumerate_names, suggest

MACROS: Final = frozenset(
    {"all", "exists", "exists_one", "existsOne", "map", "filter", "bind", "optMap", "optFlatMap"}
    | {"transformList", "transformMap", "transformMapEntry"}
)
"""Macros of CEL whose first argument names a variable."""
CHECKED_ROOTS: Final = frozenset({"params", "tasks", *ROOT_FIELDS, *EVENT_ROOTS})
"""Roots whose names are checked, so that no variable may hide them."""
MAX_NESTED_PATHS: Final = 8
MAX_COPIES: Final = 1000

WHERE_ROOTS_ARE: Final = {
    **dict.fromkeys(ITEM_ROOTS, "it exists only in a task with forEach, in the fields of each item"),
    **dict.fromkeys(TICK_ROOTS, "it exists only in the params of a Schedule's runs by the clock"),
    **dict.fromkeys(EVENT_ROOTS, "it exists only in the params of a Schedule's runs by an event"),
    "failure": "it exists only in retry.when",
}


class Edit(NamedTuple):
    """A part of the source that plain CEL writes differently."""

    start: int
    end: int
    replacement: str


@dataclass(slots=True)
class References:
    """What an expression refers to.

    Args:
        tasks: which attributes of which tasks it uses.
        params: names of the params that it uses.
        takes_all_params: whether it needs the params as a whole.
        roots: the roots that it names.
        paths: the paths that it names, as far as they are fixed.
        path: the path that the whole expression is; None if it is more than that.
        edits: what plain CEL writes differently, in order.
    """

    tasks: set[TaskReference] = field(default_factory=set)
    params: set[str] = field(default_factory=set)
    takes_all_params: bool = False
    roots: set[str] = field(default_factory=set)
    paths: list[Path] = field(default_factory=list)
    path: Path | None = None
    edits: list[Edit] = field(default_factory=list)


def find_references(source: str, scope: Scope) -> References:
    """Find what an expression refers to, and refuse what its scope does not have.

    Raises:
        Fault: it refers to something that does not exist, or cannot be parsed.
    """
    return _Reader(read_tokens(source), scope).read()


def rewrite(source: str, edits: list[Edit]) -> str:
    """Write the source as plain CEL."""
    parts: list[str] = []
    position = 0
    for edit in edits:
        parts += source[position : edit.start], edit.replacement
        position = edit.end
    return "".join(parts) + source[position:]


def original_offset(offset: int, edits: list[Edit]) -> int:
    """Return the offset in the user's source of an offset in plain CEL."""
    growth = 0
    for edit in edits:
        if offset < edit.start + growth:
            break
        if offset < edit.start + growth + len(edit.replacement):
            return edit.start
        growth += len(edit.replacement) - (edit.end - edit.start)
    return offset - growth


class _Reader:
    """Reads the tokens of one expression from left to right."""

    def __init__(self, tokens: list[Token], scope: Scope) -> None:
        self._tokens = tokens
        self._scope = scope
        self._found = References()
        self._copies = 1

    def read(self) -> References:
        position = 0
        while self._tokens[position].kind is not Kind.END:
            token = self._tokens[position]
            if token.text == ".":
                self._refuse_leading_dot(position)
            if token.kind is not Kind.IDENTIFIER:
                position += 1
            elif token.text.startswith(ZONE):
                raise Fault(token.start, f"names that begin with {ZONE} are reserved")
            elif self._is_member(position):
                self._quote_keyword(token)
                self._check_variable(position)
                self._check_zone(position)
                position += 1
            elif token.text in self._scope.roots and self._text(position + 1) != "(":
                start = position
                path, position, is_whole = self._read_path(position, 0)
                self._found.paths.append(path)
                if start == 0 and is_whole and self._tokens[position].kind is Kind.END:
                    self._found.path = path
            else:
                position += 1
        self._found.edits.sort()
        return self._found

    def _text(self, position: int) -> str:
        return self._tokens[position].text if 0 <= position < len(self._tokens) else ""

    def _is_member(self, position: int) -> bool:
        return self._text(position - 1) == "." or (self._text(position - 1) == "?" and self._text(position - 2) == ".")

    def _refuse_leading_dot(self, position: int) -> None:
        before = self._tokens[position - 1] if position else None
        if before is None or (before.kind is Kind.PUNCTUATION and before.text not in ")]}"):
            raise Fault(self._tokens[position].start, "a name is missing before the dot")

    def _check_variable(self, position: int) -> None:
        """Check the variable that a macro introduces.

        In `map(tasks, ...)`, `tasks` would not be what it seems. And where `x` is used n times in one macro and `y` m
        times in the next, the value has n * m copies, which cost CEL no memory but much time to compare.
        """
        variable = self._tokens[min(position + 2, len(self._tokens) - 1)]
        if self._text(position) not in MACROS or self._text(position + 1) != "(" or self._text(position + 3) != ",":
            return
        if variable.text in CHECKED_ROOTS & self._scope.roots:
            raise Fault(
                variable.start,
                f"{variable.text} is reserved: choose another variable name",
            )
        self._copies *= max(self._count_uses(position + 3, variable.text), 1)
        if self._copies > MAX_COPIES:
            raise Fault(
                variable.start,
                f"the expression is too expensive: variable {variable.text} is used too often in its macros; "
                "simplify it",
            )

    def _check_zone(self, position: int) -> None:
        """Have the time zone checked that a method gets: now if it is literal, else before the method is called."""
        if self._text(position) not in ZONED or self._text(position + 1) != "(" or self._text(position + 2) == ")":
            return
        first, closing = self._tokens[position + 2], self._only_argument_end(position + 2)
        if closing is None:
            return
        literal = read_string(first) if first.kind is Kind.STRING and closing is self._tokens[position + 3] else None
        if literal is None:
            self._found.edits.append(Edit(first.start, first.start, BEFORE))
            self._found.edits.append(Edit(closing.start, closing.start, AFTER))
        elif not is_zone(literal):
            raise Fault(first.start, no_such_zone(literal))

    def _only_argument_end(self, position: int) -> Token | None:
        """Return the parenthesis that ends a call with one argument, whose first token is here; None for any other."""
        depth = 0
        for token in self._tokens[position:]:
            if token.kind is not Kind.PUNCTUATION:
                continue
            depth += 1 if token.text in "([{" else -1 if token.text in ")]}" else 0
            if depth < 0:
                return token
            if not depth and token.text == ",":
                return None
        return None

    def _count_uses(self, position: int, variable: str) -> int:
        depth = uses = 0
        while depth >= 0 and self._tokens[position].kind is not Kind.END:
            text = self._text(position)
            depth += 1 if text == "(" else -1 if text == ")" else 0
            uses += text == variable and not self._is_member(position)
            position += 1
        return uses

    def _quote_keyword(self, token: Token) -> str:
        """Let a member have a name that is a word of CEL's: `params.in`."""
        if token.text in CEL_KEYWORDS:
            self._found.edits.append(Edit(token.start, token.end, f"`{token.text}`"))
        return token.text

    def _read_path(self, position: int, depth: int) -> tuple[Path, int, bool]:
        """Read a path that starts at a root, and check it step by step.

        Returns:
            The path, the position of the token after it, and whether it ends there: not before a call, an optional or
            a computed step.
        """
        first = self._tokens[position]
        self._found.roots.add(first.text)
        steps: list[str | int | Path] = []
        faults: list[int] = []
        position += 1
        is_whole = True
        while is_whole:
            step, after = self._read_step(position, depth)
            if step is None:
                is_whole = self._text(position) not in (".", "[")
                break
            steps.append(step)
            faults.append(self._tokens[position + (1 if self._text(position) in (".", "[") else 0)].start)
            position = after
        path = Path(first.text, tuple(steps))
        self._check(path, faults, first, position)
        return path, position, is_whole

    def _read_step(self, position: int, depth: int) -> tuple[str | int | Path | None, int]:
        """Read `.name`, `["key"]`, `[0]` or `[path]`; None for anything else."""
        opening, token = self._text(position), self._tokens[min(position + 1, len(self._tokens) - 1)]
        if opening == "." and self._text(position + 2) != "(":
            if token.kind is Kind.IDENTIFIER:
                return self._quote_keyword(token), position + 2
            if token.kind is Kind.QUOTED:
                return token.text[1:-1], position + 2
            if token.kind is Kind.TASK:
                self._found.edits.append(Edit(self._tokens[position].start, token.end, f'["{token.text}"]'))
                return token.text, position + 2
        if opening == "[":
            closing = position + 2
            step: str | int | Path | None = None
            if token.kind is Kind.STRING:
                step = read_string(token)
            elif token.kind is Kind.NUMBER and token.text.isdecimal():
                step = int(token.text)
            elif (
                token.kind is Kind.IDENTIFIER
                and token.text in self._scope.roots
                and depth < MAX_NESTED_PATHS
                and self._is_nested_path(position + 1)
            ):
                step, closing, _ = self._read_path(position + 1, depth + 1)
                self._found.paths.append(step)
            if step is not None and self._text(closing) == "]":
                return step, closing + 1
        return None, position

    def _is_nested_path(self, position: int) -> bool:
        """Whether nothing but a path stands here up to the closing bracket. Looks only: it finds no references."""
        depth = 0
        for token in self._tokens[position:]:
            depth += {"[": 1, "]": -1}.get(token.text, 0) if token.kind is Kind.PUNCTUATION else 0
            if depth < 0:
                return True
            if token.kind is Kind.PUNCTUATION and token.text not in ".[]":
                return False
        return False

    def _check(self, path: Path, starts: list[int], first: Token, position: int) -> None:
        """Check the steps of a path against the scope.

        Args:
            path: the path.
            starts: offset of each step, for messages.
            first: the root's token.
            position: position of the token after the path.
        """
        optional = self._optional_name(position)
        if path.root == "tasks":
            self._check_task(path, starts, first, optional)
        elif path.root == "params":
            self._check_params(path, starts, first, optional)
        elif path.root in ROOT_FIELDS or self._scope.event is not None:
            self._check_fields(path, starts)

    def _optional_name(self, position: int) -> str | None:
        """Return the name in `.?name` or `[?"name"]`."""
        if self._text(position) not in (".", "[") or self._text(position + 1) != "?":
            return None
        token = self._tokens[min(position + 2, len(self._tokens) - 1)]
        return (
            token.text if token.kind is Kind.IDENTIFIER else read_string(token) if token.kind is Kind.STRING else None
        )

    def _check_task(self, path: Path, starts: list[int], first: Token, optional: str | None) -> None:
        tasks = self._scope.tasks
        name, attribute, member, *_ = (*path.steps, optional, None, None, None)
        if not path.steps or not isinstance(name, str):
            message = "tasks is not a value by itself: write tasks.NAME.outputs"
            raise Fault(starts[0] if starts else first.start, message)
        if tasks is not None and name not in tasks:
            raise Fault(starts[0], f'there is no task "{name}"{suggest(name, tasks)}')
        if len(path.steps) == 1 and optional == "outputs":
            # An expression that allows for no outputs waits until the task has finished, however it ends.
            self._found.tasks.add(TaskReference(name, OPTIONAL_OUTPUTS))
            return
        if len(path.steps) == 1 or attribute not in TASK_ATTRIBUTES:
            lack = (
                f'"{attribute}"{suggest(attribute, TASK_ATTRIBUTES)}'
                if isinstance(attribute, str)
                else "value of its own"
            )
            message = f"a task has no {lack}: write tasks.{name} followed by one of .{', .'.join(TASK_ATTRIBUTES)}"
            raise Fault(starts[:2][-1], message)
        is_list = tasks is not None and tasks[name] is TaskShape.FAN_OUT
        if is_list and attribute == "outputs" and isinstance(member, str):
            message = f"the outputs of {name} are a list (forEach): write tasks.{name}.outputs.map(o, o.{member})"
            raise Fault(starts[-1], message)
        self._found.tasks.add(TaskReference(name, str(attribute)))

    def _check_params(self, path: Path, starts: list[int], first: Token, optional: str | None) -> None:
        params = self._scope.params
        name = path.steps[0] if path.steps else optional
        if not isinstance(name, str):
            self._found.takes_all_params = True
            self._found.params.update(params or ())
            return
        if params is not None and name not in params:
            hint = suggest(name, params) or (
                f"; params: {enumerate_names(sorted(params))}" if params else "; the Flow has no params"
            )
            raise Fault(starts[0] if starts else first.start, f'there is no param "{name}"{hint}')
        self._found.params.add(name)

    def _check_fields(self, path: Path, starts: list[int]) -> None:
        fields = ROOT_FIELDS.get(path.root) or self._scope.event or {}
        for position, (step, start) in enumerate(zip(path.steps, starts, strict=True)):
            if fields is ANYTHING:
                return
            before = Path(path.root, path.steps[:position])
            if not fields:
                raise Fault(start, f"{before} is not an object: it has no fields")
            if path.root == "run" and step in END_FIELDS and not self._scope.is_finally:
                raise Fault(start, f"run.{step} is available only in finally tasks and in the Flow's outputs")
            if (path.root, step) == ("run", "startTime") and "tasks" not in self._scope.roots:
                raise Fault(start, "run.startTime is not available here: the run has not started")
            if step not in fields:
                there = enumerate_names(fields)
                raise Fault(start, f'{before} has no "{step}"{suggest(str(step), fields)}: it has {there}')
            fields = fields[str(step)]
