"""Splits a stream, which comes in pieces, into lines."""

from __future__ import annotations


class LineSplitter:
    """Joins the pieces of a stream, which end anywhere, to lines.

    aiohttp's own `readline` fails for lines above its buffer limit, and an object of a megabyte is one line. Here a
    line may be of any length, and each of its bytes is copied once.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Add the next piece.

        Returns:
            The lines that are now complete, without their ends and without empty ones. What follows the last line end
            is kept for the next piece.
        """
        lines = piece.split(b"\n")
        self._parts.append(lines[0])
        if len(lines) == 1:
            return []
        lines[0] = b"".join(self._parts)
        self._parts = [lines.pop()]
        return [line for line in lines if line]
