"""Words of YAML as Kubernetes understands them: which are numbers, booleans, nothing, and which are text.

kubectl and the API server read YAML with sigs.k8s.io/yaml, a YAML 1.1 of its own: `y` is true and `0o17` is 15 as `017`
is, but `1:30` is no number and a date is text; then all of it becomes JSON, to which 3.0 is 3.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

from penstock.engine.expressions.cel import GREATEST_INT, LEAST_INT

PLAIN_TAG: Final = "plain"
"""Of words without quotes and without a tag."""
STR_TAG: Final = "tag:yaml.org,2002:str"
MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_BINARY_TAG: Final = "tag:yaml.org,2002:binary"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "tag:yaml.org,2002:int": (int, float),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
"""What a tag promises."""

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NUMBER_START: Final = frozenset("+-0123456789")
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[oO]?(?P<octal>[0-7]+)|0[bB](?P<binary>[01]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_BASES: Final = {"hex": 16, "octal": 8, "binary": 2, "decimal": 10}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_FRACTION: Final = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)?")
_GREATEST_UNSIGNED: Final = 2**64 - 1


def read_scalar(text: str, tag: str) -> Any:
    """Read a scalar.

    Args:
        text: what is written, without quotes.
        tag: its tag, PLAIN_TAG or STR_TAG.

    Returns:
        None, a boolean, a number or a text, as JSON has them; a tag of somebody else's makes a text.

    Raises:
        ValueError: it is not what its tag says, or a number that JSON has not.
    """
    if tag == _BINARY_TAG:
        try:
            return base64.b64decode(text, validate=True).decode(errors="replace")
        except binascii.Error as error:
            raise ValueError(f"{text[:40]} is no base64") from error
    if tag != PLAIN_TAG and tag not in _TYPES:
        return text
    value = _read_plain(text)
    if tag in _TYPES:
        is_boolean = isinstance(value, bool)
        if not isinstance(value, _TYPES[tag]) or (is_boolean and bool not in _TYPES[tag]):
            raise ValueError(f'"{text}" is no {tag.rpartition(":")[2]}, as its tag says')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{text} is no number of JSON: put it in quotes if it is text")
    return _as_json(value)


def key_text(key: Any) -> str | None:
    """Return the name that a key has in JSON; None if it can't be one."""
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, str | int):
        return str(key)
    return f"{key:.6g}" if isinstance(key, float) else None


def _read_plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START:
        return _read_number(text)
    if _FRACTION.fullmatch(text):
        return _finite(text)
    return text


def _read_number(text: str) -> Any:
    digits = text.replace("_", "")
    match = _INTEGER.fullmatch(digits)
    if match is not None:
        base = str(match.lastgroup)
        number = int(match["sign"] + match[base], _BASES[base])
        most = GREATEST_INT if match["sign"] else _GREATEST_UNSIGNED
        if LEAST_INT <= number <= most:
            return number
    return text if _FLOAT.fullmatch(digits) is None else _finite(text)


def _finite(text: str) -> float | str:
    number = float(text.replace("_", ""))
    return number if math.isfinite(number) else text


def _as_json(value: Any) -> Any:
    """Return a number as it comes back from JSON: whole ones are integers as far as 64 bits go."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if LEAST_INT <= value <= GREATEST_INT and value == int(value):
        return int(value)
    return float(value)
