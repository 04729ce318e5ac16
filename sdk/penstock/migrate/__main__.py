"""The command: `python -m penstock.migrate [--check | --diff] FILE...`."""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from penstock.authoring.storage.home import write_file
from penstock.migrate.findings import find
from penstock.migrate.rewriting import OLD, rewrite
from penstock.printable import make_printable

DONE: Final = 0
MISSING: Final = 1
"""Something has no counterpart; with --check also: something would be rewritten."""
UNREADABLE: Final = 2
"""A file cannot be read, parsed or written."""
OTHER_FILES: Final = {
    "prefect.yaml": "write its deployments as options of `penstock deploy`, or flow.deploy(...): docs/deploy.md",
    "*.ipynb": "change the imports in the cells of the notebook",
    "requirements*.txt": "remove prefect and its integrations, and install penstock",
    "pyproject.toml": "remove prefect and its integrations, and add penstock",
}
"""Files that are listed, by pattern."""
INSTALLED: Final = "site-packages"
"""In a virtual environment."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the files, print the findings, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.migrate",
        description="Rewrite the imports of programs that were written for Prefect, and list by line what will differ"
        " and what has no counterpart.",
        epilog="exit codes: 0 done; 1 something has no counterpart, or, with --check, would be rewritten;"
        " 2 a file cannot be read, parsed or written",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a program, or a folder of programs")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", "--dry-run", action="store_true", help="write nothing")
    how.add_argument("--diff", action="store_true", help="write nothing, and print what would change")
    parser.add_argument("--quiet", action="store_true", help="print no findings")
    options = parser.parse_args(arguments)
    counts = _Counts()
    for path in _programs(options.files):
        lines = _migrate(path, counts, is_written=not (options.check or options.diff), is_diff=options.diff)
        if not options.quiet:
            print(*lines, sep="\n", end="\n" if lines else "")
    for path, advice in _other_files(options.files):
        counts.different += 1
        if not options.quiet:
            print(make_printable(f"{path}: not rewritten: {advice}"))
    verb = "would be rewritten" if options.check or options.diff else "rewritten"
    if not options.quiet:
        print(
            f"{counts.files} file{'' if counts.files == 1 else 's'}, {counts.changed} {verb},"
            f" {counts.missing} without a counterpart, {counts.different} different"
        )
    if counts.unreadable:
        return UNREADABLE
    return MISSING if counts.missing or (options.check and counts.changed) else DONE


class _Counts:
    """What was found in all files."""

    def __init__(self) -> None:
        self.files = self.changed = self.missing = self.different = self.unreadable = 0


def _programs(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*.py") if each.is_file() and _is_own(each, path))
        else:
            yield path


def _other_files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the files of folders that are not programs, and that name Prefect, with what to do."""
    for folder in (path for path in paths if path.is_dir()):
        for path in sorted(each for each in folder.rglob("*") if each.is_file() and _is_own(each, folder)):
            advice = next((text for pattern, text in OTHER_FILES.items() if path.match(pattern)), None)
            if advice is not None and OLD in path.read_text(encoding="utf-8", errors="replace").lower():
                yield path, advice


def _is_own(program: Path, folder: Path) -> bool:
    """Whether a program of a folder is not one of a package that is installed there, Prefect among them."""
    between = program.relative_to(folder).parts[:-1]
    return not any(each.startswith(".") or each == INSTALLED for each in between)


def _migrate(path: Path, counts: _Counts, *, is_written: bool, is_diff: bool) -> list[str]:
    """Rewrite a file, and return what is to be printed of it."""
    counts.files += 1
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        source = data.decode(encoding)
        tree = ast.parse(data, filename=str(path))
        new = rewrite(source, tree)
        if new != source:
            counts.changed += 1
            if is_written:
                mode = path.stat().st_mode
                write_file(path, new.encode(encoding))
                path.chmod(mode)
    except (OSError, SyntaxError, ValueError) as error:
        counts.unreadable += 1
        print(make_printable(f"{path}: {error}"), file=sys.stderr)
        return []
    lines: list[str] = []
    if is_diff:
        before, after = source.splitlines(), new.splitlines()
        lines += difflib.unified_diff(before, after, str(path), str(path), lineterm="")
    for finding in find(tree):
        counts.missing += finding.is_missing
        counts.different += not finding.is_missing
        lines.append(f"{path}:{finding.line}: {finding}")
    return [make_printable(line) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
