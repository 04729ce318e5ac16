"""What a program for Prefect uses that will differ, or that has no counterpart, by line."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from penstock.authoring.deployments.deployment import NOT_OFFERED as DEPLOYMENT_OPTIONS
from penstock.authoring.deployments.deployment import DeploymentKeywords
from penstock.authoring.options.option_reader import refused_flow_options, refused_task_options
from penstock.authoring.prefect.not_offered import advice_of, advice_of_module
from penstock.authoring.prefect.prefect_names import METHODS_OF_FLOWS, METHODS_OF_TASKS
from penstock.errors import NotOfferedError
from penstock.migrate import differences
from penstock.migrate.rewriting import NEW, OLD, module_of, package_names

_TEXT: Final = re.compile(rf"{OLD}(\.\w+)+")
_SETTING: Final = re.compile(r"PREFECT_[A-Z0-9_]+")
_IMPORTS: Final = ("__import__", "import_module")
_CLUSTER_CALLS: Final = ("deploy", "serve", "to_deployment")


class Finding(NamedTuple):
    """One thing to look at."""

    line: int
    is_missing: bool
    """Whether it has no counterpart; else it works in another way."""
    what: str
    advice: str

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{'no counterpart' if self.is_missing else 'differs'}: {self.what}: {self.advice}"


def find(tree: ast.Module) -> list[Finding]:
    """Return all findings of a program, by line.

    Args:
        tree: the program as it was written for Prefect, parsed.
    """
    return sorted(set(_Program(tree).findings()))


class _Program:
    """A program, and what its names stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._package = package_names(tree)
        self._imported: dict[str, str] = {}
        """Names that are imported from the package: `workflow` is `flow`."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and module_of(node) is not None:
                self._imported |= {alias.asname or alias.name: alias.name for alias in node.names}
        self._decorated = {
            node.name: kind
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for decorator in node.decorator_list
            if (kind := self._decorator(decorator)) is not None
        }
        """Functions of the program: `flow` or `task`."""

    def findings(self) -> Iterator[Finding]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom):
                yield from self._import_from(node)
            elif isinstance(node, ast.Import):
                yield from self._import(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and self._decorated.get(node.name) == "flow":
                yield from _returns(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _SETTING.fullmatch(node.value):
                yield _setting(node.lineno, node.value)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _TEXT.fullmatch(node.value):
                yield Finding(
                    node.lineno,
                    is_missing=False,
                    what=repr(node.value),
                    advice="a text is not rewritten: change it where it names a module",
                )

    def _import_from(self, node: ast.ImportFrom) -> Iterator[Finding]:
        root = (node.module or "").split(".")[0]
        if root.startswith(f"{OLD}_") and not node.level:
            yield _integration(node.lineno, root)
        module = module_of(node)
        if module is None:
            return
        found = _module(module)
        if isinstance(found, str):
            yield Finding(node.lineno, is_missing=True, what=node.module or OLD, advice=found)
            return
        for alias in node.names:
            if alias.name != "*":
                yield from _name(alias.lineno, found, module, alias.name)

    @staticmethod
    def _import(node: ast.Import) -> Iterator[Finding]:
        for alias in node.names:
            root, _, module = alias.name.partition(".")
            if root.startswith(f"{OLD}_"):
                yield _integration(node.lineno, root)
            elif root == OLD and isinstance(found := _module(module), str):
                yield Finding(node.lineno, is_missing=True, what=alias.name, advice=found)

    def _attribute(self, node: ast.Attribute) -> Iterator[Finding]:
        chain = _chain(node)
        if chain and chain[0] in self._package:
            module = ".".join(chain[1:-1])
            found = _module(module)
            # A longer chain is walked by each of its parts.
            if not isinstance(found, str) and not _is_module(".".join(chain[1:])):
                yield from _name(node.lineno, found, module, chain[-1])
            return
        if not isinstance(node.value, ast.Name):
            return
        kind = self._decorated.get(node.value.id) or self._imported.get(node.value.id, "").lower()
        refused = {"flow": METHODS_OF_FLOWS, "task": METHODS_OF_TASKS}.get(kind, {})
        if node.attr in refused:
            yield Finding(node.lineno, is_missing=True, what=f"{node.value.id}.{node.attr}", advice=refused[node.attr])
        elif kind == "flow" and node.attr in differences.FLOW_METHODS:
            yield Finding(
                node.lineno,
                is_missing=False,
                what=f"{node.value.id}.{node.attr}",
                advice=differences.FLOW_METHODS[node.attr],
            )

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        kind = self._decorator(node)
        given = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "with_options":
            kind = self._decorated.get(node.func.value.id) if isinstance(node.func.value, ast.Name) else None
        if kind is not None:
            refused = refused_flow_options() if kind == "flow" else refused_task_options()
            different = differences.FLOW_OPTIONS if kind == "flow" else differences.TASK_OPTIONS
            for name in given:
                yield from _option(node.lineno, f"@{kind}({name}=...)", name, refused, different)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else self._imported.get(_last(node.func) or "")
        if method in _CLUSTER_CALLS:
            for name in given:
                if name not in DeploymentKeywords.__annotations__:
                    yield from _option(node.lineno, f"{method}({name}=...)", name, DEPLOYMENT_OPTIONS, {})
        called = node.func.attr if isinstance(node.func, ast.Attribute) else _last(node.func)
        first = node.args[0] if node.args else None
        if called in _IMPORTS and isinstance(first, ast.Constant) and first.value == OLD:
            yield Finding(
                node.lineno,
                is_missing=False,
                what=f"{called}({OLD!r})",
                advice="a text is not rewritten: change it where it names a module",
            )
        if method == "map" and "deferred" in given:
            yield Finding(node.lineno, is_missing=True, what="map(deferred=...)", advice=METHODS_OF_TASKS["delay"])

    def _decorator(self, node: ast.expr) -> str | None:
        """Return `flow` or `task`, if an expression is one of the decorators, or a call of it."""
        called = node.func if isinstance(node, ast.Call) else node
        if isinstance(called, ast.Name):
            name = self._imported.get(called.id)
        else:
            chain = _chain(called)
            name = chain[-1] if len(chain) > 1 and chain[0] in self._package else None
        return name if name in {"flow", "task"} else None


def _returns(flow: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    """Judge what a flow returns: futures and states of tasks."""
    submitted = {
        target.id
        for node in ast.walk(flow)
        if isinstance(node, ast.Assign) and _gives_run(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(flow):
        if not isinstance(node, ast.Return) or node.value is None:
            continue
        if _gives_run(node.value) or _last(node.value) in submitted:
            yield Finding(
                node.lineno, is_missing=False, what=f"what {flow.name} returns", advice=differences.RETURNED_RUN
            )
        elif isinstance(node.value, ast.Dict) and any(
            _gives_run(each) or (isinstance(each, ast.Name) and each.id in submitted) for each in ast.walk(node.value)
        ):
            yield Finding(
                node.lineno, is_missing=False, what=f"what {flow.name} returns", advice=differences.RETURNED_RUNS
            )


def _gives_run(node: ast.AST | None) -> bool:
    """Whether an expression gives the future or the state of one run."""
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Attribute) and node.func.attr == "submit")
        or any(each.arg == "return_state" for each in node.keywords)
    )


def _setting(line: int, name: str) -> Finding:
    new = differences.SETTINGS.get(name)
    return Finding(
        line,
        is_missing=new is None,
        what=name,
        advice=new or "there is no such setting: see the table of settings in docs/from-prefect.md",
    )


def _name(line: int, found: ModuleType, module: str, name: str) -> Iterator[Finding]:
    full = ".".join(part for part in (OLD, module, name) if part)
    is_offered, advice = _look_up(found, module, name)
    if not is_offered:
        yield Finding(line, is_missing=True, what=full, advice=advice)
    elif name in differences.NAMES:
        yield Finding(line, is_missing=False, what=full, advice=differences.NAMES[name])


def _look_up(found: ModuleType, module: str, name: str) -> tuple[bool, str]:
    inner = f"{module}.{name}" if module else name
    try:
        getattr(found, name)
    except AttributeError:
        return _is_module(inner), f"{NEW} has no such name"
    except NotOfferedError:
        return False, advice_of(module, name) or ""
    return True, ""


def _option(
    line: int, what: str, name: str, refused: Mapping[str, str], different: Mapping[str, str]
) -> Iterator[Finding]:
    if name in refused:
        yield Finding(line, is_missing=True, what=what, advice=refused[name])
    elif name in different:
        yield Finding(line, is_missing=False, what=what, advice=different[name])


def _module(module: str) -> ModuleType | str:
    """Return a module of Penstock, or what to use instead."""
    try:
        return importlib.import_module(f"{NEW}.{module}" if module else NEW)
    except NotOfferedError:
        return advice_of_module(module) or ""
    except ImportError:
        return f"{NEW} has no such module"


def _is_module(module: str) -> bool:
    return not isinstance(_module(module), str)


def _integration(line: int, package: str) -> Finding:
    return Finding(
        line,
        is_missing=True,
        what=package,
        advice=(
            "use ThreadPoolTaskRunner in a process; in a cluster, map() of a compiled flow is a Pod for each item"
            if package in {f"{OLD}_dask", f"{OLD}_ray"}
            else "use the library that it wraps, and keep its credentials in a Secret of penstock.blocks.system"
        ),
    )


def _chain(node: Any) -> list[str]:
    """Return the parts of `a.b.c`; empty for other expressions."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def _last(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None
