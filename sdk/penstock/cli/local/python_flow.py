"""`penstock run --local etl.py:NAME`: run a Python flow in this process."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

from penstock.authoring.flow import Flow
from penstock.cli.deployment.compile import load_flow, output_to_stderr
from penstock.cli.exit_codes import EXIT_FAILED, EXIT_OK
from penstock.cli.manifests.json_text import json_text
from penstock.cli.manifests.params import read_params_file
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.echo import echo
from penstock.engine.strict_json import load_json
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError, ParameterError, PenstockError

SUFFIX: Final = ".py"


def is_python(word: str) -> bool:
    """Whether an argument names a Python file, or a flow in one."""
    return word.endswith(SUFFIX) or f"{SUFFIX}:" in word


def run_python(arguments: argparse.Namespace) -> int:
    """Call a flow; its log shows the progress.

    Raises:
        CommandError: the file cannot be loaded, or has no such flow.
    """
    for name in ("docker", "parallel", "approve", "reject", "priority", "timeout", "name"):
        if getattr(arguments, name):
            raise CommandError(f"--{name} is valid only for manifests, not for Python flows")
    if len(arguments.flow) > 1:
        raise CommandError(f"{' '.join(arguments.flow)}: only one Python file can be run")
    # A program that reads the output gets nothing else there.
    with nullcontext() if arguments.output is None else output_to_stderr():
        code, result = _run(arguments)
    if code == EXIT_OK and (arguments.output is not None or result is not None):
        echo(_format_result(result, arguments.output), end="")
    return code


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    """Import and call the flow. Return the exit code, and the result."""
    flow = load_flow(arguments.flow[0])
    declared = dict.fromkeys(flow.signature.parameters, "")
    params = {**read_params_file(arguments.params_file, declared), **_read_parameters(arguments.params, flow)}
    try:
        result = flow(**params)
        if hasattr(result, "__await__"):
            import asyncio  # noqa: PLC0415 - only for flows that are coroutines

            result = asyncio.run(_await(result))
    except ParameterError as error:
        missing = [name for name, each in flow.signature.parameters.items() if _is_missing(each) and name not in params]
        hint = "".join(f" -p {name}=..." for name in missing)
        raise CommandError(f"{error}{hint and f': use{hint}, or --params-file'}") from error
    except Exception as error:  # noqa: BLE001 - the log of the flow has the traceback
        if not isinstance(error, PenstockError):
            echo(f"penstock: flow {flow.name} failed: {type(error).__name__}: {error}", is_error=True)
        else:
            echo(f"penstock: {error}", is_error=True)
        return EXIT_FAILED, None
    return EXIT_OK, result


def _is_missing(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in {
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    }


def _shown(result: Any) -> str:
    """Return a result as one line: JSON as local runs of manifests show it, or its repr."""
    try:
        return json_text(result, indent=None)
    except (TypeError, ValueError):
        return repr(result)


async def _await(result: Any) -> Any:
    return await result


def _read_parameters(assignments: Sequence[str], flow: Flow[..., Any]) -> dict[str, Any]:
    """Read `KEY=VALUE` arguments: JSON, unless the parameter is a string or the value is not JSON."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise CommandError(f"-p {assignment}: must be KEY=VALUE")
        parameter = flow.signature.parameters.get(name)
        if parameter is None:
            known = list(flow.signature.parameters)
            hint = suggest(name, known) or f"; its parameters are {enumerate_names(known)}"
            raise CommandError(f"-p {assignment}: flow {flow.name} has no parameter {name}{hint}")
        values[name] = text if parameter.annotation in {str, "str"} else _json_or_text(text)
    return values


def _json_or_text(text: str) -> Any:
    try:
        return load_json(text, read_whole=int)
    except (ValueError, RecursionError):
        return text


def _format_result(result: Any, output: str | None) -> str:
    """Format a result as JSON or YAML, or as one line for a person.

    Raises:
        CommandError: it cannot be converted to JSON.
    """
    if output is None:
        return f"result: {_shown(result)}\n"
    try:
        text = json_text(result, indent=4)
    except (TypeError, ValueError) as error:
        raise CommandError(f"-o {output}: cannot convert the result of the flow to JSON: {error}") from error
    return f"{text}\n" if output == "json" else yaml_text(json.loads(text))
