"""The page of functions of expressions: its examples give what it says, and what it lists is what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from penstock.engine.expressions.cel import FUNCTIONS, compile_program
from penstock.engine.expressions.failure import Failure
from penstock.engine.expressions.lexer import Fault

TEXT = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text()
THERE, _, NOT_THERE = TEXT.partition("## What is not there")
TYPES = {"list", "map", "string", "opt", "timestamp"}
"""What a function is called on, in its signature."""
SHAPES = ("{}()", "{}(v)", "{}(v, v)", "{}(v, v, v)")
KNOWN_ELSEWHERE = re.findall(
    r"\S+",
    """
    abs all asApproximateInteger asInteger at authorizer bind bool bytes ceil charAt cidr compareTo contains
    containsCIDR containsIP dec distinct double duration dyn encode endsWith escape exists existsOne exists_one extract
    extractAll filter find findAll first flatten floor format getDate getDayOfMonth getDayOfWeek getDayOfYear
    getEscapedPath getFullYear getHost getHostname getHours getMilliseconds getMinutes getMonth getPort getQuery
    getScheme getSeconds greatest has hasValue indexOf int isCIDR isGreaterThan isIP isInteger isLessThan isQuantity
    isSemver isSorted isURL join last lastIndexOf least lowerAscii major map masked matches max min minor none now of
    ofNonZeroValue optFlatMap optMap or orValue parse patch prefixLength quantity quote random range regex replace
    reverse round semver sign size slice sort sortBy split startsWith string sub substring sum timestamp toString
    transformList transformMap transformMapEntry trim trunc type uint unwrap unwrapOpt upperAscii url uuid value
    base64.decode base64.encode cel.bind cel.block format.named json.decode json.encode json.unmarshal lists.range
    math.abs math.bitAnd math.bitNot math.bitOr math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil math.cos
    math.exp math.floor math.greatest math.isFinite math.isInf math.isNaN math.least math.log math.max math.min math.pow
    math.round math.sign math.sin math.sqrt math.trunc optional.none optional.of optional.ofNonZeroValue optional.unwrap
    proto.getExt proto.hasExt regex.extract regex.extractAll regex.replace sets.contains sets.equivalent
    sets.intersects strings.quote net.parseIP hash hash.md5 hash.sha256
    """,
)
"""Functions and macros of CEL, of its extensions for Go and C++, and of Kubernetes: a new version of the library may
have more of them than this one."""


class Row(NamedTuple):
    """A row of a table of the page that has an example."""

    signature: str
    example: str
    value: str


def rows() -> list[Row]:
    found = []
    for line in THERE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == len(("signature", "what", "example", "value")) and cells[2].startswith("`"):
            found.append(Row(cells[0], cells[2].strip("`"), cells[3].strip("`")))
    return found


def names_of(text: str) -> set[str]:
    """Return the functions that are called in the code of a text: `sort`, `math.abs`."""
    found = set()
    for code in re.findall(r"`([^`]+)`", text):
        for space, name in re.findall(r"(?:\b([A-Za-z0-9]+)\.)?\b(\w+)\(", code):
            found.add(f"{space}.{name}" if space and space not in TYPES else name)
    return found


def exists(name: str) -> bool:
    shapes = SHAPES if "." in name else (*SHAPES, *(f"v.{shape}" for shape in SHAPES))
    for shape in shapes:
        try:
            compile_program(shape.format(name), frozenset({"v"}))
        except Fault as fault:
            if "there is no " in str(fault):
                continue
        return True
    return False


def listed() -> set[str]:
    return {name for row in rows() for name in names_of(row.signature)}


def test_every_example_has_the_value_that_the_page_says():
    found = {}
    for row in rows():
        try:
            found[row.example] = compile_program(row.example, frozenset()).run({})
        except (Fault, Failure) as error:
            found[row.example] = str(error)
    assert len(found) > len(listed())
    assert found == {row.example: json.loads(row.value) for row in rows()}


def test_every_example_calls_the_function_of_its_row():
    named = [(names_of(row.signature), row.example) for row in rows()]
    assert [example for names, example in named if names and not any(f"{name}(" in example for name in names)] == []


def test_the_page_lists_exactly_the_functions_that_exist():
    assert listed() == {name for name in {*KNOWN_ELSEWHERE, *FUNCTIONS, *listed()} if exists(name)}


def test_what_the_page_says_is_not_there_does_not_exist():
    missing = {
        name for line in NOT_THERE.splitlines() if line.startswith("| `") for name in names_of(line.split("|")[1])
    }
    assert "now" in missing
    assert [name for name in missing if exists(name)] == []


def test_a_misspelt_function_is_answered_with_one_that_the_page_lists():
    assert {name for name in listed() if "." not in name} == FUNCTIONS
