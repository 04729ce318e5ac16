"""Expansion of `$(NAME)` and `$$` in commands, arguments and variables, which in the cluster the kubelet does.

https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$(?:(?P<escape>\$)|\((?P<name>[^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace references to variables.

    Args:
        text: an argument, or the value of a variable.
        variables: by name.

    Returns:
        The text. A reference to a variable that does not exist is kept; `$$` becomes `$`.
    """

    def replace(match: re.Match[str]) -> str:
        return "$" if match["escape"] else variables.get(match["name"], match[0])

    return _REFERENCE.sub(replace, text)
