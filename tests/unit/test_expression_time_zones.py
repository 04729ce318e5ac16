"""The time zones that expressions name: CEL's library keeps every name that it is asked for."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from penstock.engine.expressions.cel import compile_program
from penstock.engine.expressions.cost import cost_of
from penstock.engine.expressions.expression import Scope, compile_expression
from penstock.engine.expressions.lexer import Fault
from penstock.engine.expressions.time_zone import ZONED
from penstock.errors import ExpressionError

SCOPE = Scope(frozenset({"params", "index"}))
NOON = 'timestamp("2026-01-05T12:00:00Z")'
PARAMS: dict[str, Any] = {"zone": "America/New_York", "city": "Berlin", "offset": "-03:30", "times": [1, 2]}


def evaluate(source: str, params: dict[str, Any] | None = None, index: int = 0) -> Any:
    return compile_expression(source, SCOPE).evaluate({"params": PARAMS if params is None else params, "index": index})


@pytest.mark.parametrize(
    ("source", "want"),
    [
        (f"{NOON}.getHours()", 12),
        (f'{NOON}.getHours("Europe/Berlin")', 13),
        (f'{NOON}.getHours("+05:45")', 17),
        (f'{NOON}.getHours("UTC")', 12),
        (f"{NOON}.getHours(params.zone)", 7),
        (f"{NOON}.getMinutes(params.offset)", 30),
        (f'{NOON}.getHours("Europe/" + params.city)', 13),
        (f'{NOON}.getHours( // whose?\n params["zone"])', 7),
        (f'{NOON}.getHours("\\x55TC")', 12),
        (f"params.times.map(t, {NOON}.getHours(t == 1 ? params.zone : 'UTC'))", [7, 12]),
        (f'{NOON}.getHours({NOON}.getHours(params.zone) == 7 ? "Asia/Tokyo" : "UTC")', 21),
    ],
)
def test_a_time_is_read_in_a_zone(source, want):
    assert evaluate(source) == want


@pytest.mark.parametrize("name", ["Mars", "file:/etc/localtime", "Fixed/UTC+01:00:00", "localtime", "31:00", "x" * 999])
def test_an_unknown_zone_is_refused_when_it_is_written_and_when_it_is_computed(name):
    with pytest.raises(ExpressionError, match=r'^column \d+: there is no time zone "'):
        evaluate(f'{NOON}.getHours("{name}")')

    with pytest.raises(ExpressionError, match='there is no time zone "') as refusal:
        evaluate(f"{NOON}.getHours(params.name)", {"name": name})
    assert len(str(refusal.value)) < 300


def test_a_missing_param_is_not_taken_for_a_zone():
    with pytest.raises(ExpressionError, match="zone") as refusal:
        evaluate(f"{NOON}.getHours(params.zone)", {})
    assert "time zone" not in str(refusal.value)


@pytest.mark.parametrize(
    "source",
    [
        f"{NOON}.getHours(params.zone, params.zone)",
        f"{NOON}.`getHours`(params.zone)",
        f"getHours({NOON}, params.zone)",
        f"[{{'file:x': 'file:x'}}].map(penstock_zones, {NOON}.getHours('file:' + 'x'))",
        f"{NOON}.getHours(penstock_zone)",
    ],
)
def test_no_other_way_leads_to_a_zone(source):
    with pytest.raises(ExpressionError):
        compile_expression(source, SCOPE)


@pytest.mark.parametrize("method", sorted(ZONED))
def test_the_library_gets_no_zone_that_was_not_checked(method):
    with pytest.raises(Fault, match="a time zone must be the only argument"):
        compile_program(f"{NOON}.{method}(params.zone)", frozenset({"params"}))


def test_names_that_were_asked_for_take_no_memory():
    expression = compile_expression(f"{NOON}.getHours(params.big + string(index)) >= 0 || true", SCOPE)
    big = {"big": "x" * 100_000}

    def ask(first: int) -> None:
        for index in range(first, first + 200):
            assert expression.evaluate({"params": big, "index": index})

    ask(0)
    before = resident_bytes()
    ask(200)

    assert resident_bytes() - before < 5 << 20


def test_a_zone_costs_about_what_it_takes():
    def cost(source: str, params: dict[str, Any]) -> int:
        program = compile_program(source, frozenset({"params"}))
        return cost_of(program.tree, {"params": params})

    times = {"times": [1] * 1_000}

    assert 1_000_000 < cost(f'params.times.map(t, {NOON}.getHours("UTC"))', times) < 100_000_000
    assert cost(f'{NOON}.getHours("UTC")', {}) < 20_000


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
