"""The differences, for the terminal and as a page of the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

AREAS: Final = {
    "options": "options of @flow and @task",
    "retries": "retries and timeouts",
    "futures": "futures",
    "map": "map",
    "states": "states",
    "hooks": "hooks",
    "results": "results",
    "caches": "caches",
    "blocks": "blocks",
    "variables": "variables",
    "artifacts": "artifacts",
    "async": "coroutines",
    "generators": "generators",
    "logging": "logging",
    "runtime": "runtime and context",
    "transactions": "transactions",
    "params": "parameters",
    "classes": "methods, and tasks in tasks",
    "subflows": "flows in flows",
    "concurrency": "limits",
    "testing": "tests",
    "deployments": "deployments",
    "input": "inputs of people",
    "exceptions": "exceptions",
    "patterns": "whole programs",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program, and what both made of it."""

    name: str
    habit: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    explanation: str | None

    @property
    def is_different(self) -> bool:
        """Whether they printed different lines, or ended differently."""
        return shown(self.ours) != shown(self.theirs)


def shown(outcome: Mapping[str, Any]) -> str:
    """Return what a program printed, and the exception that ended it, as one text."""
    error = outcome["error"]
    return " / ".join([*outcome["lines"], *([] if error is None else [error])])


def print_differences(comparisons: Sequence[Comparison]) -> None:
    """Print the differences and their number."""
    for each in comparisons:
        if each.is_different:
            print(f"{each.name}: {each.habit}")
            print(f"    Prefect   {shown(each.theirs)}")
            print(f"    Penstock  {shown(each.ours)}")
            print(f"    {each.explanation or 'NOT EXPLAINED'}")
    different = sum(each.is_different for each in comparisons)
    print(f"{len(comparisons)} programs, {len(comparisons) - different} alike, {different} different")


def page(comparisons: Sequence[Comparison], version: str) -> str:
    """Return the page of the docs."""
    different = [each for each in comparisons if each.is_different]
    alike = len(comparisons) - len(different)
    lines = [
        "# Compatibility with Prefect",
        "",
        f"{len(comparisons)} small programs, each one habit of Prefect's users, are run by Prefect {version} and,",
        "after `python -m penstock.migrate`, by Penstock.",
        f"{alike} of them ({alike * 100 / len(comparisons):.0f} %) print the same and end the same.",
        "",
        "The programs are in [compat/programs](../compat/programs). `make compat` runs them again, in about six",
        "minutes on two cores, with the installation of Prefect. `make compat ARGS=--write-docs` writes this page.",
        "",
        "## By area",
        "",
        "| area | programs | alike |",
        "|---|---|---|",
    ]
    by_area = groupby(sorted(comparisons, key=_area), key=_area)
    counts = {area: [not each.is_different for each in group] for area, group in by_area}
    lines += [f"| {AREAS[area]} | {len(counts[area])} | {sum(counts[area])} |" for area in AREAS if area in counts]
    lines += ["", "## Differences", ""]
    for each in different:
        lines += [
            f"**{each.habit.rstrip('.')}** ([{each.name}](../compat/programs/{_file(each)})). {each.explanation}",
            "",
            "| | |",
            "|---|---|",
            f"| Prefect | {_code(each.theirs)} |",
            f"| Penstock | {_code(each.ours)} |",
            "",
        ]
    return "\n".join(lines)


def _area(each: Comparison) -> str:
    return each.name.split("_")[0]


def _file(each: Comparison) -> str:
    area, _, name = each.name.partition("_")
    return f"{area}/{name}.py"


def _code(outcome: Mapping[str, Any]) -> str:
    text = shown(outcome).replace("|", "\\|").replace("`", "'")
    return f"`{text}`" if text else ""
