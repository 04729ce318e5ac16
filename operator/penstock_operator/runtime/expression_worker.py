"""`python -m penstock_operator.runtime.expression_worker`: evaluates the expressions that it reads from its input.

The operator starts it and may end it at any time. It has no credentials, and reads nothing but its input. See
`expression_workers`, its other end.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Any, BinaryIO, Final

import msgspec

from penstock.engine.expressions.cel import compile_program
from penstock.engine.expressions.failure import Failure
from penstock.memory_limit import limit_expression_memory

CPU_S: Final = 2
"""Time of the processor that one evaluation may take; the kernel ends the process soon after."""


class Request(msgspec.Struct, array_like=True):
    """An expression to evaluate.

    Attributes:
        source: plain CEL.
        roots: the variables that it may use.
        data: values of the roots.
    """

    source: str
    roots: list[str]
    data: dict[str, Any]


class Answer(msgspec.Struct, array_like=True):
    """Its value, or why it has none: see `Failure`."""

    value: Any = None
    message: str | None = None
    may_be_path: bool = False
    key: str | None = None


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one message: its length in four bytes, then itself. None when the other end is gone."""
    head = stream.read(4)
    if len(head) < 4:  # noqa: PLR2004 - the head's length
        return None
    length = int.from_bytes(head, "big")
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: BinaryIO, body: bytes) -> None:
    """Write one message."""
    stream.write(len(body).to_bytes(4, "big") + body)
    stream.flush()


def evaluate(request: Request) -> Answer:
    """Evaluate an expression."""
    try:
        return Answer(compile_program(request.source, frozenset(request.roots)).evaluate(request.data))
    except Failure as failure:
        return Answer(None, failure.message, failure.may_be_path, failure.key)


def main() -> None:
    """Answer requests until the input ends."""
    limit_expression_memory()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    decoder, encoder = msgspec.msgpack.Decoder(Request), msgspec.msgpack.Encoder()
    stream, out = sys.stdin.buffer, sys.stdout.buffer
    while (frame := read_frame(stream)) is not None:
        used = os.times()
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.user + used.system) + 1 + CPU_S, hard))
        write_frame(out, encoder.encode(evaluate(decoder.decode(frame))))


if __name__ == "__main__":
    main()
