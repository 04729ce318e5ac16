"""Mutations of manifests: what typing errors, broken templates and malice make of a valid one."""

from __future__ import annotations

import copy
import re
from typing import Any

from hypothesis import strategies as st

NEST = re.compile(r'"@nest:(\d+):([\[{])@"')
"""A value that is nested so many times: written out when it is sent, because Python's own encoder stops earlier."""
BIG = re.compile(r"@big:(\d+)@")
"""A text of so many characters."""

WILD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    1.5,
    1e308,
    "",
    " ",
    "-",
    "x",
    "\u0000",
    "\u202e💥",
    "\x1b[2J",
    "@big:5000@",
    "@big:40000@",
    "@nest:100:[@",
    "@nest:100:{@",
    "@nest:1500:[@",
    "@nest:1500:{@",
    "a" * 64,
    "A_B",
    "../..",
    "kube-system",
    "$(",
    "$()",
    "$(params)",
    "$(params.missing)",
    "$(tasks.a.outputs.x.y.z)",
    "$(item.x)",
    "$(run.uid)$(run.scheduledTime)",
    "$(1/0)",
    "$([1,2,3].map(x, [1,2,3].map(y, [1,2,3].map(z, x+y+z))))",
    "$(params.day.matches('(a+)+$'))",
    "$('x'.replace('', 'xxxxxxxxxxxxxxxx'))",
    "$(" + "(" * 300 + ")",
    "999999999h",
    "0s",
    "-5s",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "1e400",
    "100%",
    [],
    {},
    [None],
    [[]],
    {"": {}},
    {"a": None},
    {"name": None},
    [{}],
    ["x", "x"],
    {"spec": None},
    {"metadata": None},
)
"""Values for any place."""

Path = tuple[str | int, ...]


def paths(value: Any, start: Path = ()) -> list[Path]:
    """Return the path of every value inside of a value, and its own."""
    found = [start]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*start, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*start, index))
    return found


@st.composite
def mutated(draw: st.DrawFn, value: Any, *, most: int = 3, others: tuple[Any, ...] = ()) -> Any:
    """Draw a copy of a value with up to so many mutations.

    Args:
        draw: of Hypothesis.
        value: what to mutate; at least an empty object is left of it.
        most: number of mutations, of which there are mostly one or none.
        others: further values, parts of which may be put anywhere.
    """
    # A holder, so that the value itself has a place where it stands.
    holder = {"it": copy.deepcopy(value)}
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, most)))):
        places = [path for path in paths(holder) if len(path) > 1]
        if not places:
            break
        place = places[draw(st.integers(0, len(places) - 1))]
        _mutate(draw, holder, place, others)
    return holder["it"]


def _mutate(draw: st.DrawFn, holder: Any, place: Path, others: tuple[Any, ...]) -> None:
    around = holder
    for key in place[:-1]:
        around = around[key]
    last: Any = place[-1]
    how = draw(st.sampled_from(("replace", "replace", "remove", "repeat", "rename", "swap", "wrap", "graft")))
    if how == "remove":
        del around[last]
    elif how == "repeat" and isinstance(around, list):
        around.append(copy.deepcopy(around[last]))
    elif how == "rename" and isinstance(around, dict):
        around[f"{last}x"] = around.pop(last)
    elif how == "swap":
        keys: list[Any] = list(around) if isinstance(around, dict) else list(range(len(around)))
        other = keys[draw(st.integers(0, len(keys) - 1))]
        around[last], around[other] = around[other], around[last]
    elif how == "wrap":
        around[last] = draw(st.sampled_from([[around[last]], {"x": around[last]}, str(around[last])]))
    elif how == "graft" and others:
        other = others[draw(st.integers(0, len(others) - 1))]
        grafts = paths(other)
        graft = other
        for key in grafts[draw(st.integers(0, len(grafts) - 1))]:
            graft = graft[key]
        around[last] = copy.deepcopy(graft)
    else:
        around[last] = copy.deepcopy(draw(st.sampled_from(WILD)))


def written_out(text: str) -> str:
    """Return a manifest's JSON with what `NEST` and `BIG` stand for."""

    def nest(found: re.Match[str]) -> str:
        times, bracket = int(found[1]), found[2]
        return "[" * times + "1" + "]" * times if bracket == "[" else '{"a":' * times + "1" + "}" * times

    return BIG.sub(lambda found: "b" * int(found[1]), NEST.sub(nest, text))
