"""A task's outputs: the JSON object or text that it wrote to its termination message, and the limit on that."""

from __future__ import annotations

from typing import Any, Final

from penstock.engine.strict_json import SHOWN_CHARACTERS, load_json

OUTPUTS_LIMIT_BYTES: Final = 4096
"""A container's termination message: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/."""
POD_OUTPUTS_LIMIT_BYTES: Final = 12288
"""The termination messages of all containers of a Pod together."""


TEXT_OUTPUTS: Final = "Text"
"""Format of outputs that are not a JSON object."""
TEXT_FIELD: Final = "text"


def read_outputs(text: str, *, containers: int, is_text: bool = False) -> tuple[dict[str, Any] | None, str | None]:
    """Read a task's outputs from its termination message.

    Args:
        text: the message.
        containers: number of containers of the Pod, which share the limit.
        is_text: the outputs are the text itself, without the line breaks at its end.

    Returns:
        The outputs, or what is wrong with them. An empty message means an empty object, or an empty text.
    """
    limit = min(OUTPUTS_LIMIT_BYTES, POD_OUTPUTS_LIMIT_BYTES // max(containers, 1))
    size = len(text.encode(errors="surrogatepass"))
    if size >= limit:
        return None, (
            f"the outputs are {limit} bytes or more and may be truncated (limit {limit - 1}): "
            "write large data to storage and output its location"
        )
    if is_text:
        return {TEXT_FIELD: text.rstrip("\r\n")}, None
    return _read_object(text)


def _read_object(text: str) -> tuple[dict[str, Any] | None, str | None]:
    if not text.strip():
        return {}, None
    try:
        outputs = load_json(text)
    except RecursionError:
        return None, "the outputs are nested too deeply"
    except ValueError as error:
        return None, f"the outputs are not valid JSON ({error}): {text[:SHOWN_CHARACTERS]!r}"
    if not isinstance(outputs, dict):
        return None, f"the outputs are not a JSON object: {text[:SHOWN_CHARACTERS]!r}"
    return outputs, None
