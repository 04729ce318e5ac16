"""Python flows compiled for the cluster, with warnings and checks as a person reads them."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from penstock.authoring import entrypoint
from penstock.authoring.compilation import CompileWarning, compile_flows
from penstock.authoring.flow import Flow
from penstock.authoring.task import Task
from penstock.engine.suggestion import enumerate_names
from penstock.engine.validation.validation import check_flow, parse_flow
from penstock.errors import CommandError, InvalidSpecError, PenstockError


def load_flow(source: str) -> Flow[..., Any]:
    """Import a flow: `FILE.py:FLOW`, `MODULE:FLOW`, or `FILE.py` if there is one flow in it.

    Raises:
        CommandError: there is none, or its module can't be imported.
    """
    try:
        found = _only_flow(source) if source.endswith(".py") else entrypoint.load(source)
    except PenstockError:
        raise
    except Exception as error:
        raise CommandError(f"{source} can't be imported: {_describe_exception(error)}") from error
    if not isinstance(found, Flow):
        what = "a task" if isinstance(found, Task) else f"a {type(found).__name__}"
        raise CommandError(f"{source} is {what}, no flow: decorate a function with @flow")
    return found


def compile_checked(source: str, **options: Any) -> list[dict[str, Any]]:
    """Compile a flow and those that it calls, tell of warnings, and check what came out.

    Args:
        source: the entrypoint.
        **options: those of `compile_flow`.

    Raises:
        PenstockError: the flow can't become a Flow.
    """
    manifests = compile_loaded(load_flow(source), source, **options)
    for manifest in manifests:
        _check_images(manifest, source)
    check(manifests)
    return manifests


def compile_loaded(flow: Flow[..., Any], source: str, **options: Any) -> list[dict[str, Any]]:
    """Compile a flow and those that it calls, and tell of warnings.

    Args:
        flow: the flow.
        source: what it is called in messages.
        **options: those of `compile_flow`.

    Raises:
        PenstockError: the flow can't become a Flow.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CompileWarning)
        try:
            manifests = compile_flows(flow, **options)
        except PenstockError:
            raise
        except Exception as error:
            raise CommandError(
                f"{source} can't be compiled, because the flow's function raised {_describe_exception(error)}"
            ) from error
    for each in dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, CompileWarning)):
        print(f"penstock: warning: {each}", file=sys.stderr)
    return manifests


def check(manifests: Sequence[dict[str, Any]]) -> None:
    """Check Flows as an operator would.

    Raises:
        InvalidSpecError: one can't work.
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
        raise CommandError(f"{file} has no flow: decorate a function with @flow")
    if len(flows) > 1:
        raise CommandError(f"{file} has {enumerate_names(sorted(flows))}: name one, {file}:{min(flows)}")
    return next(iter(flows.values()))


def _check_images(manifest: dict[str, Any], source: str) -> None:
    """Say it in the words of who typed: the engine speaks of fields."""
    spec = manifest["spec"]
    if "image" in spec.get("defaults", {}):
        return
    for task in spec["tasks"]:
        if "command" in task and "image" not in task:
            raise CommandError(
                f"{source}: task {task['name']} has no image: give --image IMAGE, or @flow(image='...'); it needs"
                " Python and penstock"
            )


def _describe_exception(error: Exception) -> str:
    """Say what was raised, and where in the user's code."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
