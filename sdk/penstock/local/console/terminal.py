"""Pauses of flow runs: questions at the terminal."""

from __future__ import annotations

import select
import sys
import time
from typing import Any, Final

from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.states import Paused, Running
from penstock.errors import PauseError
from penstock.local.interruption.timeout_clock import TIMEOUT_CLOCK
from penstock.local.session import Session

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"n", "no", ""})
_NEVER: Final = "The flow was paused and never resumed."


def pause(session: Session, kind: type[Any] | None, *, timeout_s: float, key: str | None, message: str | None) -> Any:
    """Pause a flow run until a person answers.

    Args:
        session: the session of the flow run.
        kind: type of the value; None asks for an approval.
        timeout_s: maximum wait in seconds.
        key: name of the pause; None for a unique one.
        message: the question.

    Returns:
        The value; None for an approval.

    Raises:
        PauseError: it was rejected or timed out, there is no terminal, or the run has paused for the key before.
    """
    run = session.run
    if key is not None:
        if key in session.paused_keys:
            raise PauseError(
                f"flow run {run.name!r} has already paused for key {key!r}: use a unique key for each pause"
            )
        session.paused_keys.add(key)
    if not sys.stdin.isatty():
        raise PauseError(
            f"flow run {run.name!r} cannot pause, because standard input is not a terminal:"
            " run it at a terminal, or make the value a parameter"
        )
    run.enter_state(Paused(message=message))
    logger_of(run).info("Paused%s", f": {message}" if message else "")
    deadline = time.monotonic() + timeout_s
    with TIMEOUT_CLOCK.stopped():
        value = None
        if kind is None:
            _ask_approval(deadline, message)
        else:
            value = _ask_value(kind, deadline, message)
    run.enter_state(Running())
    logger_of(run).info("Resumed")
    return value


def _ask_approval(deadline: float, message: str | None) -> None:
    while True:
        answer = _read_line(f"{message or 'Continue?'} [y/N] ", deadline).lower()
        if answer in _YES:
            return
        if answer in _NO:
            raise PauseError(f"not approved: {message or 'Continue?'}")


def _ask_value(kind: type[Any], deadline: float, message: str | None) -> Any:
    import pydantic  # noqa: PLC0415 - needed to ask for a value only

    if message:
        _write(f"{message}\n")
    is_model = issubclass(kind, pydantic.BaseModel)
    adapter: Any = pydantic.TypeAdapter(kind)
    while True:
        given: Any = _read_fields(kind, deadline) if is_model else _read_line(f"{kind.__name__}: ", deadline)
        try:
            return adapter.validate_python(given)
        except pydantic.ValidationError as error:
            for each in error.errors():
                where = ".".join(map(str, each["loc"]))
                _write(f"{where + ': ' if where else ''}{each['msg']}\n")


def _read_fields(model: Any, deadline: float) -> dict[str, str]:
    """Ask for each field of a model. An empty answer selects the default of a field."""
    given = {}
    for name, field in model.model_fields.items():
        about = f" ({field.description})" if field.description else ""
        default = "" if field.is_required() else f" [{field.get_default(call_default_factory=True)}]"
        answer = _read_line(f"{name}{about}{default}: ", deadline)
        if answer or field.is_required():
            given[name] = answer
    return given


def _read_line(prompt: str, deadline: float) -> str:
    _write(prompt)
    ready, _, _ = select.select([sys.stdin], [], [], max(0.0, deadline - time.monotonic()))
    line = sys.stdin.readline() if ready else ""
    if not line:
        _write("\n")
        raise PauseError(_NEVER)
    return line.strip()


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
