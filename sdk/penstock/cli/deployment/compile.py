"""Loads and compiles Python flows, and reports warnings and errors."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

from penstock.authoring.compilation import CompileWarning, compile_flows
from penstock.authoring.compilation.module_call import module_calls
from penstock.authoring.flow import Flow
from penstock.authoring.function import FlowFunction
from penstock.authoring.pods import entrypoint
from penstock.authoring.task import Task
from penstock.cli.text.echo import echo
from penstock.engine.suggestion import enumerate_names
from penstock.engine.validation.validation import check_flow, parse_flow
from penstock.errors import CommandError, InvalidSpecError, PenstockError

_STDOUT: Final = 1
_STDERR: Final = 2


def load_flow(source: str) -> Flow[..., Any]:
    """Import a flow: `FILE.py:FLOW`, `MODULE:FLOW`, or `FILE.py` if it contains one flow.

    Raises:
        CommandError: there is no flow, or its module cannot be imported.
    """
    try:
        found = _only_flow(source) if source.endswith(".py") else entrypoint.load(source)
    except PenstockError:
        raise
    except Exception as error:
        raise CommandError(f"cannot import {source}: {_describe_exception(error)}") from error
    if not isinstance(found, Flow):
        what = "a task" if isinstance(found, Task) else f"a {type(found).__name__}"
        raise CommandError(f"{source} is {what}, not a flow: decorate the function with @flow")
    return found


def load_flow_quietly(source: str) -> Flow[..., Any]:
    """Import a flow as `load_flow` does; what its module prints goes to standard error, apart from manifests.

    Raises:
        CommandError: there is no flow, or its module cannot be imported.
    """
    with module_calls() as calls:
        try:
            with output_to_stderr():
                return load_flow(source)
        finally:
            for line, what in calls.items():
                echo(
                    f"penstock: warning: {line}: {what} is called when its module is imported, so each Pod would run"
                    ' all of it: put the call under `if __name__ == "__main__":`',
                    is_error=True,
                )


def compile_checked(source: str, **options: Any) -> list[dict[str, Any]]:
    """Compile a flow and the flows that it calls, print warnings, and check the Flows.

    Args:
        source: the entrypoint.
        **options: options of `compile_flows`.

    Raises:
        PenstockError: the flow cannot be compiled.
    """
    manifests = compile_loaded(load_flow_quietly(source), source, **options)
    for manifest in manifests:
        _check_images(manifest, source)
    check(manifests)
    return manifests


def compile_loaded(flow: FlowFunction, source: str, **options: Any) -> list[dict[str, Any]]:
    """Compile a flow and the flows that it calls, and print warnings.

    Args:
        flow: the flow.
        source: its name in messages.
        **options: options of `compile_flows`.

    Raises:
        PenstockError: the flow cannot be compiled.
    """
    with output_to_stderr(is_print_kept=True), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CompileWarning)
        try:
            manifests = compile_flows(flow, **options)
        except PenstockError:
            raise
        except (Exception, SystemExit) as error:
            raise CommandError(
                f"cannot compile {source}: its function raised {_describe_exception(error)}. It is called when it is"
                " compiled: do that in a task, or run it in one container with @flow(run_as='pod')"
            ) from error
    for each in dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, CompileWarning)):
        echo(f"penstock: warning: {each}", is_error=True)
    return manifests


@contextlib.contextmanager
def output_to_stderr(*, is_print_kept: bool = False) -> Iterator[None]:
    """Let what the user's code and its processes write to standard output go to standard error.

    Args:
        is_print_kept: leave `sys.stdout` as it is.
    """
    sys.stdout.flush()
    try:
        saved = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    except OSError:
        saved = None  # one of them is closed
    try:
        with contextlib.nullcontext() if is_print_kept else contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            for stream in (sys.stdout, sys.__stdout__):
                if stream is not None:
                    stream.flush()
            os.dup2(saved, _STDOUT)
            os.close(saved)


def check(manifests: Sequence[dict[str, Any]]) -> None:
    """Check Flows as the operator does.

    Raises:
        InvalidSpecError: a Flow is invalid.
    """
    for manifest in manifests:
        problems = check_flow(parse_flow(manifest))
        if problems:
            raise InvalidSpecError(problems)


def _only_flow(file: str) -> Flow[..., Any]:
    module = entrypoint.load_module(file)
    flows = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Flow) and value.fn.__module__ == module.__name__
    }
    if not flows:
        raise CommandError(f"{file} contains no flow: decorate a function with @flow")
    if len(flows) > 1:
        raise CommandError(
            f"{file} contains several flows ({enumerate_names(sorted(flows))}): name one, such as {file}:{min(flows)}"
        )
    return next(iter(flows.values()))


def _check_images(manifest: dict[str, Any], source: str) -> None:
    """Report a missing image with the options of the command, before the engine does by field."""
    spec = manifest["spec"]
    if "image" in spec.get("defaults", {}):
        return
    for task in spec["tasks"]:
        if "command" in task and "image" not in task:
            raise CommandError(
                f"{source}: task {task['name']} has no image: use --image IMAGE or @flow(image='...'); the image"
                " must contain Python and penstock"
            )


def _describe_exception(error: BaseException) -> str:
    """Return the exception, and its position in the user's code."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
