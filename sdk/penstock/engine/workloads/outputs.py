"""A task's outputs: the JSON object that it wrote to its termination message, and the limit on that."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from penstock.engine.expressions.input_values import GREATEST_INT, LEAST_INT

OUTPUTS_LIMIT_BYTES: Final = 4096
"""A container's termination message: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/."""
POD_OUTPUTS_LIMIT_BYTES: Final = 12288
"""The termination messages of all containers of a Pod together."""
SHOWN_CHARACTERS: Final = 100


def read_outputs(text: str, *, containers: int) -> tuple[dict[str, Any] | None, str | None]:
    """Read a task's outputs from its termination message.

    Args:
        text: the message.
        containers: number of containers of the Pod, which share the limit.

    Returns:
        The outputs, or what is wrong with them. An empty text means an empty object.
    """
    limit = min(OUTPUTS_LIMIT_BYTES, POD_OUTPUTS_LIMIT_BYTES // max(containers, 1))
    size = len(text.encode(errors="surrogatepass"))
    if size >= limit:
        return None, (
            f"the outputs are {limit} bytes or more and may be truncated (limit {limit - 1}): "
            "write large data to storage and output its location"
        )
    if not text.strip():
        return {}, None
    try:
        outputs = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float, parse_int=_read_int)
        # An object in the cluster cannot hold half of a surrogate pair.
        json.dumps(outputs, ensure_ascii=False).encode()
    except RecursionError:
        return None, "the outputs are nested too deeply"
    except ValueError as error:
        return None, f"the outputs are not valid JSON ({error}): {text[:SHOWN_CHARACTERS]!r}"
    if not isinstance(outputs, dict):
        return None, f"the outputs are not a JSON object: {text[:SHOWN_CHARACTERS]!r}"
    return outputs, None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _read_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:SHOWN_CHARACTERS]} is out of range")
    return number


def _read_int(digits: str) -> int | float:
    """Read a whole number as the API server does: beyond 64 bits it becomes a float."""
    number = _read_float(digits)
    exact = int(digits) if abs(number) <= 2 * GREATEST_INT else None
    return number if exact is None or not LEAST_INT <= exact <= GREATEST_INT else exact
