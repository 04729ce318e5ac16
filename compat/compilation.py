"""Which programs `penstock compile` makes Flows of, and why not the others; neither Prefect nor a cluster is needed.

    python -m compat.compilation                  # prints the section of docs/prefect-compatibility.md
    python -m compat.compilation --write-docs     # writes it there

A program is compiled by its last flow. What stands after its definitions, mostly a call of the flow, is left out.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from compat.batch import in_folder
from penstock.authoring.compilation.program.one_pod import is_one_pod
from penstock.authoring.flow import Flow
from penstock.cli.deployment.compile import check, compile_loaded
from penstock.errors import PenstockError
from penstock.migrate.__main__ import main as migrate

HERE: Final = Path(__file__).parent
PROGRAMS: Final = HERE / "programs"
PAGE: Final = HERE.parent / "docs" / "prefect-compatibility.md"
HEADING: Final = "## In a cluster"
REASONS: Final[Mapping[str, str]] = {
    "a task or flow is called or waited for in a `try` or in `with transaction()`": r"is (called|waited for) inside",
    "a state or a future is read: `state.name`, `as_completed`, `raise_on_failure=False`": (
        r"of the (state|future) of|the runs of '|raise_on_failure=False|a timeout for waiting"
    ),
    "a result is used in the function of the flow, in a condition, in a loop, or in what it returns": (
        r"the result of '|the identity or type of '"
    ),
    "a param without a default is used there, in a condition or a loop": r"the param '",
    "an option that the operator cannot apply: `cache_key_fn`, `refresh_cache`, `result_storage_key`": (
        r"(cache_key_fn|refresh_cache\S*|result_storage_key) of task"
    ),
    "an option of a flow whose function is not called in the cluster: `retries`, `on_running`, `flow_run_name`": (
        r"(retries=\d+|on_running|flow_run_name) of flow"
    ),
    "the function of the flow reads its run, a variable or a secret, creates artifacts or asks for limits": (
        r"of the run is known only|when the flow is compiled, not by its runs|limits hold within one process"
    ),
    "a task or flow is a method, or is defined inside of a function": r"is a method|inside of a function|no flow",
    "an argument cannot be pickled": r"cannot be written to a manifest",
    "a parameter has no annotation, or is `*args`": r"has no annotation|cannot be a param",
}
"""Why a program is refused, in the words of the page, and what the message says then; the first that matches counts."""


class Way(Enum):
    """How a program compiles, in the words of the page."""

    TASKS = "a Pod for each task"
    ONE_POD = "one Pod, because the flow calls no task"
    RUN_AS_POD = 'one Pod, if it is marked with `@flow(run_as="pod")`'
    REFUSED = "cannot be compiled"


class Verdict(NamedTuple):
    """What became of a program."""

    name: str
    way: Way
    refusal: str | None
    """The message, if there is not a Pod for each task."""


def all_programs() -> list[Path]:
    """Return the files of all programs, in the order of their names."""
    return sorted(PROGRAMS.glob("*/*.py"), key=name_of)


def name_of(program: Path) -> str:
    """Return the name of a program, with its area: `caches_refresh` of `caches/refresh.py`."""
    return f"{program.parent.name}_{program.stem}"


def measure(programs: Sequence[Path], folder: Path) -> list[Verdict]:
    """Compile the programs that define a flow.

    Args:
        programs: the programs, as Prefect's users wrote them.
        folder: an empty folder, where this process imports them from.
    """
    os.environ["PENSTOCK_HOME"] = str(folder / "home")
    code = folder / "code"
    code.mkdir()
    for program in programs:
        copy = code / f"{name_of(program)}.py"
        copy.write_text(_definitions(program.read_text(encoding="utf-8")), encoding="utf-8")
    migrate(["--quiet", str(code)])
    sys.path.insert(0, str(code))
    with (
        in_folder(str(code)),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        return [_verdict(name_of(each)) for each in programs if "@flow" in each.read_text(encoding="utf-8")]


def section(verdicts: Sequence[Verdict]) -> str:
    """Return the section of the page.

    Raises:
        ValueError: a program is refused for a reason that the page does not name.
    """
    counts = {way: sum(each.way is way for each in verdicts) for way in Way}
    compiled = len(verdicts) - counts[Way.REFUSED]
    lines = [
        HEADING,
        "",
        f"`penstock compile` makes Flows of {compiled} of the {len(verdicts)} programs that define a flow:",
        "",
        "| | programs | |",
        "|---|---|---|",
        *(f"| {way.value} | {count} | {count * 100 / len(verdicts):.0f} % |" for way, count in counts.items()),
        "",
        "Why the others do not become tasks; in bold, those that cannot be compiled at all. Each message names the",
        "line and what to do: see [what cannot be compiled](python-on-cluster.md#what-cannot-be-compiled).",
        "",
        "| reason | programs | which |",
        "|---|---|---|",
    ]
    refused: dict[str, list[Verdict]] = defaultdict(list)
    for each in verdicts:
        if each.refusal is not None:
            refused[_reason(each)].append(each)
    for reason in sorted(refused, key=lambda each: -len(refused[each])):
        names = ", ".join(f"**{each.name}**" if each.way is Way.REFUSED else each.name for each in refused[reason])
        lines.append(f"| {reason} | {len(refused[reason])} | {names} |")
    command = "`python -m compat.compilation --write-docs`"
    return "\n".join([*lines, "", f"{command} writes this section; it needs neither Prefect nor a cluster.", ""])


def with_section(page: str, text: str) -> str:
    """Return the page with another text as its last section."""
    return f"{page.partition(HEADING)[0].rstrip()}\n\n{text}"


def _definitions(source: str) -> str:
    """Return a program up to its last function or class."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ends = [each.end_lineno or 0 for each in ast.parse(source).body if isinstance(each, kinds)]
    return "\n".join([*source.splitlines()[: max(ends, default=0)], ""])


def _verdict(name: str) -> Verdict:
    module = importlib.import_module(name)
    flows = [each for each in vars(module).values() if isinstance(each, Flow) and each.fn.__module__ == name]
    if not flows:
        return Verdict(name, Way.REFUSED, "no flow at the top level")
    refusal = _refusal(flows[-1])
    if refusal is None:
        return Verdict(name, Way.ONE_POD if is_one_pod(flows[-1]) else Way.TASKS, None)
    is_refused = _refusal(flows[-1].with_options(run_as="pod")) is not None
    return Verdict(name, Way.REFUSED if is_refused else Way.RUN_AS_POD, refusal)


def _refusal(flow: Flow[..., Any]) -> str | None:
    """Return why a flow is refused; None if it compiles to valid Flows."""
    try:
        check(compile_loaded(flow, flow.name, image="image"))
    except PenstockError as error:
        return str(error)
    return None


def _reason(verdict: Verdict) -> str:
    for reason, pattern in REASONS.items():
        if re.search(pattern, verdict.refusal or ""):
            return reason
    raise ValueError(f"{verdict.name}: REASONS has no words for: {verdict.refusal}")


def main() -> None:
    """Measure, and print or write the section."""
    with tempfile.TemporaryDirectory(prefix="penstock-compat-") as folder:
        text = section(measure(all_programs(), Path(folder)))
    if "--write-docs" in sys.argv[1:]:
        PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
