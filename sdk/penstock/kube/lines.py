"""Lines out of pieces of a stream."""

from __future__ import annotations


class LineSplitter:
    """Puts lines together from pieces that end anywhere.

    aiohttp's own `readline` gives up on lines above its buffer limit, and an object of a megabyte is one line; here a
    line may be of any length, and each byte of it is copied once.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece.

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
