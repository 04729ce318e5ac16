"""Whether FlowDefaults are valid: what is valid here is valid in every Flow that does not refer to it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from penstock.api.flow import InlineFlowSpec, Task
from penstock.api.flow_defaults import FlowDefaultsSpec, InheritedDefaults
from penstock.engine.compiler.inheritance import NAMESPACE_PATH, inherit
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.validation.parsing import parse
from penstock.errors import InvalidSpecError, Problem

MAX_DEFAULTS_BYTES: Final = 128 * 2**10
"""Of a spec: it is part of every revision of the namespace."""
_PREFIX: Final = NAMESPACE_PATH.removesuffix("spec")


def parse_flow_defaults(obj: Mapping[str, Any]) -> FlowDefaultsSpec:
    """Read the spec of FlowDefaults.

    Args:
        obj: the whole object, as JSON has it.

    Raises:
        InvalidSpecError: it has unknown, missing or invalid fields. `check_flow_defaults` checks the rest.
    """
    return parse(FlowDefaultsSpec, obj.get("spec"), "spec")


def check_flow_defaults(spec: FlowDefaultsSpec) -> list[Problem]:
    """Find what is wrong with FlowDefaults.

    Args:
        spec: their spec.

    Returns:
        The problems, in the order of the spec; none if it is valid.
    """
    size_bytes = len(spec.model_dump_json(by_alias=True, exclude_unset=True).encode())
    if size_bytes > MAX_DEFAULTS_BYTES:
        message = f"is {size_bytes >> 10} KiB: at most {MAX_DEFAULTS_BYTES >> 10} KiB are allowed"
        return [Problem("spec", message)]
    taken = {task.name for task in spec.finally_ or ()}
    name = next(name for number in count() if (name := f"task-{number}") not in taken)
    # A Flow of which nothing is known: it has no params, and its tasks cannot be referred to.
    flow = InlineFlowSpec(tasks=[Task(name=name, image="image")])
    try:
        compile_plan(inherit(flow, InheritedDefaults(namespace=spec)))
    except InvalidSpecError as error:
        # What is wrong with a field shows in the task that inherits it as well.
        return [Problem(one.path.removeprefix(_PREFIX), one.message) for one in error.problems if _PREFIX in one.path]
    return []
