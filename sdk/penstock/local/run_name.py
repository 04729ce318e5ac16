"""Names of runs that are made of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from penstock.authoring.options import RunName
from penstock.errors import OptionError
from penstock.local.final_state import describe


def render(option: str, name: RunName, parameters: Mapping[str, Any]) -> str:
    """Make the name of a run.

    Args:
        option: where the name comes from, for messages.
        name: a text with parameters in braces, or a function of nothing or of `parameters`.
        parameters: the run's arguments by name.

    Raises:
        OptionError: the text or the function can't make a name of them.
    """
    try:
        if isinstance(name, str):
            return name.format(**parameters)
        takes_parameters = "parameters" in inspect.signature(name).parameters
        return str(name(parameters=parameters) if takes_parameters else name())
    except Exception as error:
        raise OptionError(f"{option} made no name: {describe(error)}") from error
