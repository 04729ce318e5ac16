"""Names of runs from their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from penstock.authoring.options import RunName
from penstock.errors import OptionError
from penstock.local.final_state import describe


def render_run_name(option: str, name: RunName, parameters: Mapping[str, Any]) -> str:
    """Return the name of a run.

    Args:
        option: the option that sets the name, for messages.
        name: a string with parameters in braces, or a function without arguments or with `parameters`.
        parameters: the arguments of the run by name.

    Raises:
        OptionError: the string or function failed.
    """
    try:
        if isinstance(name, str):
            return name.format(**parameters)
        takes_parameters = "parameters" in inspect.signature(name).parameters
        return str(name(parameters=parameters) if takes_parameters else name())
    except Exception as error:
        raise OptionError(f"{option} failed: {describe(error)}") from error
