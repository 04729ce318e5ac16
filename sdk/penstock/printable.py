"""Makes text that others wrote safe to show: nothing of it drives the terminal of whoever reads it.

Messages, outputs and logs of tasks are arbitrary text. An escape sequence in them could clear the screen, write a state
that is false, or set the clipboard (kubectl had this as CVE-2021-25743).
"""

from __future__ import annotations

import re
from typing import Final

_CONTROL_PICTURES: Final = 0x2400
"""U+2400 plus the code of a control character is its picture: ESC is shown as `␛`."""
_DELETE: Final = 0x7F
_DELETE_PICTURE: Final = "\u2421"
_REPLACEMENT: Final = "\ufffd"
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""The control characters C0 and C1 but newline and tab, other ends of lines, changes of direction, lone surrogates."""
_COLOR: Final = re.compile(r"\x1b\[[0-9;:]*m")


def make_printable(text: str) -> str:
    """Replace each character that could drive a terminal by one that shows it; the length stays the same."""
    return _UNPRINTABLE.sub(_picture, text)


def make_log_printable(line: str) -> str:
    """Like `make_printable`, for a line of a program's output: colors are removed, since many programs write them."""
    return make_printable(_COLOR.sub("", line.removesuffix("\r")))


def escape_unprintable(text: str) -> str:
    r"""Write each such character as `\uXXXX`, for text where it stands in JSON strings, or in YAML's double quotes."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_printable(text: str) -> bool:
    """Whether nothing in a text can drive a terminal."""
    return not _UNPRINTABLE.search(text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < ord(" "):
        return chr(_CONTROL_PICTURES + code)
    return _DELETE_PICTURE if code == _DELETE else _REPLACEMENT
