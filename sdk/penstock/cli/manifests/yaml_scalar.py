"""YAML scalars as Kubernetes reads them: numbers, booleans, null and text.

kubectl and the API server read YAML with sigs.k8s.io/yaml, its own dialect of YAML 1.1: `y` is true, `0o17`
and `017` are 15, but `1:30` and dates are text. The result is converted to JSON, in which 3.0 is 3.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

from penstock.engine.expressions.input_values import GREATEST_INT, LEAST_INT

PLAIN_TAG: Final = "plain"
"""Tag of scalars without quotes and without a tag."""
STR_TAG: Final = "tag:yaml.org,2002:str"
MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_BINARY_TAG: Final = "tag:yaml.org,2002:binary"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "tag:yaml.org,2002:int": (int, float),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
"""The types that a tag allows."""

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
        text: the text, without quotes.
        tag: its tag, PLAIN_TAG or STR_TAG.

    Returns:
        None, a boolean, a number or a text, as in JSON; an unknown tag makes it text.

    Raises:
        ValueError: it does not match its tag, or is a number that JSON does not have.
    """
    if tag == _BINARY_TAG:
        try:
            return base64.b64decode(text, validate=True).decode(errors="replace")
        except binascii.Error as error:
            raise ValueError(f"{text[:40]} is not base64") from error
    if tag != PLAIN_TAG and tag not in _TYPES:
        return text
    value = _read_plain(text)
    if tag in _TYPES:
        is_boolean = isinstance(value, bool)
        if not isinstance(value, _TYPES[tag]) or (is_boolean and bool not in _TYPES[tag]):
            raise ValueError(f'"{text}" is not of type {tag.rpartition(":")[2]}, which its tag requires')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{text} is not a JSON number: put it in quotes if it is text")
    return as_json(value)


def key_text(key: Any) -> str | None:
    """Return the name of a key in JSON; None if it cannot be a key."""
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


def as_json(value: Any) -> Any:
    """Return a number as it is after a round trip through JSON: whole numbers of up to 64 bits are integers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if LEAST_INT <= value <= GREATEST_INT and value == int(value):
        return int(value)
    return float(value)
