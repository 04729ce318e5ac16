"""JSON that cannot be decoded as it is: what is nested too deeply is cut off, what is not text is replaced.

Decoders recurse. How far they may depends on the version of Python: some 1,000 levels on 3.11, 10,000 on 3.13. The API
server stores 10,000, so one object could stop a watch or a list of all. Nothing valid has half as many levels as are
left here: what was cut is still refused where it is validated, with its field path.

Strings that are not UTF-8 become text with U+FFFD, as in Go. The API server writes none, but what comes from elsewhere
(an aggregated API, a proxy) must not end a watch.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

MAX_LEVELS: Final = 128
"""Twice what a value of a spec may have, and little enough for functions that recurse in Python."""
_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{}])', re.DOTALL)
_OPENING: Final = frozenset(b"[{")


def decode_json(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    """Decode JSON of any depth, and with any bytes in its strings.

    Raises:
        msgspec.DecodeError: it is not as the decoder says.
    """
    try:
        return decoder.decode(text)
    except (RecursionError, UnicodeDecodeError):
        return decoder.decode(cut_depth(text.decode(errors="replace").encode()))


def cut_depth(text: bytes, levels: int = MAX_LEVELS) -> bytes:
    """Replace every list and object below a number of levels by null; returns the same text if there is none."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return text
    pieces: list[bytes] = []
    depth = start = 0
    for match in _BRACKET.finditer(text):
        at = match.start(1)
        if text[at] in _OPENING:
            depth += 1
            if depth == levels + 1:
                pieces += (text[start:at], b"null")
        else:
            if depth == levels + 1:
                start = at + 1
            depth -= 1
    return b"".join((*pieces, text[start:])) if pieces else text
