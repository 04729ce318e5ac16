"""The imports of a program, rewritten in place: only the words `prefect` that name the package change."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from typing import Final, NamedTuple

OLD: Final = "prefect"
NEW: Final = "penstock"


class Edit(NamedTuple):
    """One word to replace."""

    line: int
    """From 1."""
    column: int
    """In bytes of UTF-8, as Python counts."""
    text: str
    """What replaces it."""


def rewrite(source: str, tree: ast.Module) -> str:
    """Return a program that imports `penstock`.

    Args:
        source: the program.
        tree: the same, parsed.
    """
    # By "\n", "\r" and "\r\n" only, as Python counts lines.
    lines = list(io.StringIO(source, newline=""))
    for edit in sorted(_edits(tree, lines), reverse=True):
        line = lines[edit.line - 1].encode()
        lines[edit.line - 1] = (line[: edit.column] + edit.text.encode() + line[edit.column + len(OLD) :]).decode()
    return "".join(lines)


def module_of(node: ast.ImportFrom) -> str | None:
    """Return the module of `from prefect.x import y`, without the package; None for other packages."""
    root, _, module = (node.module or "").partition(".")
    return module if root == OLD and not node.level else None


def package_names(tree: ast.Module) -> set[str]:
    """Return the names under which a program imports the package itself: `prefect`, `pf`."""
    return {
        alias.asname or OLD
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == OLD or (alias.name.startswith(f"{OLD}.") and alias.asname is None)
    }


def _edits(tree: ast.Module, lines: list[str]) -> Iterator[Edit]:
    is_variable = _is_variable(tree)
    is_imported = OLD in package_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and module_of(node) is not None:
            yield _after_from(node, lines)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == OLD:
                    is_kept = is_variable and alias.name == OLD and alias.asname is None
                    yield Edit(alias.lineno, alias.col_offset, f"{NEW} as {OLD}" if is_kept else NEW)
        elif isinstance(node, ast.Name) and node.id == OLD and is_imported and not is_variable:
            yield Edit(node.lineno, node.col_offset, NEW)


def _after_from(node: ast.ImportFrom, lines: list[str]) -> Edit:
    """Return the edit of the module's name, which may be in the next line after a backslash."""
    number, column = node.lineno, node.col_offset + len("from")
    while (found := lines[number - 1].encode().find(OLD.encode(), column)) < 0:
        number, column = number + 1, 0
    return Edit(number, found, NEW)


def _is_variable(tree: ast.Module) -> bool:
    """Whether the program has another meaning for the name as well: a variable, a parameter or a function."""
    return any(
        (isinstance(node, ast.Name) and node.id == OLD and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.arg) and node.arg == OLD)
        or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == OLD)
        for node in ast.walk(tree)
    )
