"""Links to a log store."""

from __future__ import annotations

import datetime as dt

import pytest

from penstock.cli.text.log_link import format_log_link
from penstock.cli.text.log_source import Choice
from penstock.errors import CommandError

NOW = dt.datetime(2026, 11, 22, 13, tzinfo=dt.UTC)
RUN = {
    "metadata": {"name": "orders-1", "namespace": "team-a", "uid": "u"},
    "status": {
        "startTime": "2026-11-22T12:00:00Z",
        "completionTime": "2026-11-22T12:30:00Z",
        "tasks": [{"name": "load", "pod": "orders-1-load-x"}],
    },
}


@pytest.mark.parametrize(
    ("template", "choice", "want"),
    [
        ("https://l/?ns={namespace}&run={run}", Choice(), "https://l/?ns=team-a&run=orders-1"),
        ("https://l/{task}/{item}/{pod}", Choice("load", 3), "https://l/load/3/orders-1-load-x"),
        ("https://l/{task}", Choice(), "https://l/"),
        (
            "https://l/?from={start}&to={end}",
            Choice(),
            "https://l/?from=2026-11-22T11%3A55%3A00Z&to=2026-11-22T12%3A35%3A00Z",
        ),
        ("https://l/{startMs}-{endMs}", Choice(), "https://l/1795348500000-1795350900000"),
        ('https://l/{"query": 1}', Choice(), 'https://l/{"query": 1}'),
    ],
)
def test_placeholders_are_replaced_and_escaped(template, choice, want):
    assert format_log_link(template, RUN, choice, NOW) == want


def test_an_unknown_placeholder_is_named():
    with pytest.raises(CommandError, match=r"unknown placeholder \{namspace\} \(did you mean \"namespace\"\?\)"):
        format_log_link("https://l/{namspace}", RUN, Choice(), NOW)
