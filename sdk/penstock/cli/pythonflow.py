"""`penstock run --local etl.py:NAME`: run a flow of a Python file in this process."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from penstock.authoring.flow import Flow
from penstock.cli.main import EXIT_FAILED, EXIT_OK
from penstock.cli.params import read_params_file
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError, ParameterError, PenstockError

SUFFIX: Final = ".py"


def is_python(word: str) -> bool:
    """Whether a word names a Python file, or a flow of one."""
    return word.endswith(SUFFIX) or f"{SUFFIX}:" in word


def run_python(arguments: argparse.Namespace) -> int:
    """Call a flow; its log says how it goes.

    Raises:
        CommandError: the file can't be loaded, or has no such flow.
    """
    for name in ("docker", "parallel", "approve", "reject", "priority", "timeout", "name"):
        if getattr(arguments, name):
            raise CommandError(f"--{name}: is for manifests; a Python flow says that itself")
    if len(arguments.flow) > 1:
        raise CommandError(f"{' '.join(arguments.flow)}: give one Python file")
    file, _, name = arguments.flow[0].partition(f"{SUFFIX}:")
    path = Path(file if file.endswith(SUFFIX) else f"{file}{SUFFIX}")
    flow = _find(_load(path), name, str(path))
    declared = dict.fromkeys(flow.signature.parameters, "")
    params = {**read_params_file(arguments.params_file, declared), **_read(arguments.params, flow)}
    try:
        result = flow(**params)
        if hasattr(result, "__await__"):
            import asyncio  # noqa: PLC0415 - only for flows that are coroutines

            result = asyncio.run(_await(result))
    except ParameterError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the flow raises, its log has told it
        if not isinstance(error, PenstockError):
            print(f"penstock: flow {flow.name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            print(f"penstock: {error}", file=sys.stderr)
        return EXIT_FAILED
    if arguments.output is not None:
        print(_write(result, arguments.output), end="")
    return EXIT_OK


async def _await(result: Any) -> Any:
    return await result


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise CommandError(f"{path} can't be read: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # As Python has it of a script that it starts: what stands beside the file can be imported, and pickled.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{path} can't be loaded: {type(error).__name__}: {error}") from error
    return module


def _find(module: ModuleType, name: str, path: str) -> Flow[..., Any]:
    flows = {each: value for each, value in vars(module).items() if isinstance(value, Flow)}
    by_name = {**{flow.name: flow for flow in flows.values()}, **flows}
    if name:
        if name not in by_name:
            raise CommandError(
                f"{path} has no flow {name}{suggest(name, list(by_name)) or f': it has {enumerate_names(list(flows))}'}"
            )
        return by_name[name]
    if not flows:
        raise CommandError(f"{path} has no flow: decorate a function with @flow")
    own = [each for each, flow in flows.items() if flow.fn.__module__ == module.__name__] or list(flows)
    if len(own) > 1:
        raise CommandError(f"{path} has the flows {enumerate_names(own)}: say which after a colon, as {path}:{own[0]}")
    return flows[own[0]]


def _read(assignments: Sequence[str], flow: Flow[..., Any]) -> dict[str, Any]:
    """Read `key=value` words: JSON, unless the parameter is a string or the value is no JSON."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise CommandError(f"-p {assignment}: write it as KEY=VALUE")
        parameter = flow.signature.parameters.get(name)
        if parameter is None:
            known = list(flow.signature.parameters)
            hint = suggest(name, known) or f": it has {enumerate_names(known)}"
            raise CommandError(f"-p {assignment}: flow {flow.name} has no parameter {name}{hint}")
        values[name] = text if parameter.annotation in {str, "str"} else _json_or_text(text)
    return values


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _write(result: Any, output: str) -> str:
    """Write a result as the JSON or YAML that it is.

    Raises:
        CommandError: it is neither.
    """
    try:
        text = json.dumps(result, indent=4, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise CommandError(f"-o {output}: the flow's result has no JSON: {error}") from error
    if output == "json":
        return f"{text}\n"
    import yaml  # noqa: PLC0415 - only for who asks for it

    return yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)
