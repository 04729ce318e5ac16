"""Operations on values that are known only when a flow runs: the compiler records them, the Pod carries them out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

BINARY: Final[Mapping[str, Callable[..., Any]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "matmul": operator.matmul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "divmod": divmod,
    "pow": pow,  # with a third operand, a modulus, unlike operator.pow
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}
"""By the name of the method of the left operand, without underscores."""
COMPARISONS: Final[Mapping[str, Callable[..., Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
UNARY: Final[Mapping[str, Callable[..., Any]]] = {
    "neg": operator.neg,
    "pos": operator.pos,
    "abs": abs,
    "invert": operator.invert,
}
FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": format,
    "int": int,
    "float": float,
    "round": round,
    "len": len,
    "sum": sum,
    "min": min,
    "max": max,
    "sorted": sorted,
}
"""Functions of Python that a flow can call with such values."""
TEXT: Final = "text"
OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    **BINARY,
    **COMPARISONS,
    **UNARY,
    **FUNCTIONS,
    "getitem": operator.getitem,
    "not": operator.not_,
    "contains": operator.contains,
    "default": lambda value, default: default if value is None else value,
    "either": lambda value, other: value or other,
    TEXT: lambda *parts: "".join(parts),
}
SCALAR: Final = frozenset(
    {*COMPARISONS, *UNARY, "not", "contains", "sub", "truediv", "floordiv", "mod", "pow", TEXT}
    | {"str", "repr", "ascii", "format", "int", "float", "round", "len"}
)
"""Operations whose results are not lists."""
