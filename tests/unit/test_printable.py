"""Text that others wrote, made safe to show."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from penstock.cli.manifests.json_text import json_text
from penstock.cli.manifests.yaml_text import yaml_text
from penstock.cli.text.console import Console, Text
from penstock.printable import is_printable, make_printable
from tests.terminal import Terminal

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x1b\x9b\u202e\x07\x7f\x85\r\n\t'\"\\"))
PRINT_LOG = ["-c", "import sys; from penstock.cli.text.echo import echo_log; echo_log('task | ', sys.argv[1])"]
LOG_LINE = "\x1b[32mINFO\x1b[0m done\x1b]52;c;ZXZpbA==\x07\x9b2J\r"


@given(ANY_TEXT)
def test_no_control_character_but_newline_and_tab_is_left_and_the_length_stays(text):
    shown = make_printable(text)
    assert is_printable(shown)
    assert len(shown) == len(text)
    assert make_printable(shown) == shown
    assert [each for each in shown if each in "\n\t"] == [each for each in text if each in "\n\t"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("a\x1b[2J", "a␛[2J", id="an escape sequence"),
        pytest.param("\x07\x08\r", "␇␈␍", id="bell, backspace and carriage return"),
        pytest.param("\x7f", "␡", id="delete"),
        pytest.param("\x9b2J\x85", "�2J�", id="the same in C1"),
        pytest.param("\u202eabc\u2069", "�abc�", id="a change of direction"),
        pytest.param("\ud800", "�", id="a lone surrogate"),
        pytest.param("süß\t✓ 日本\n", "süß\t✓ 日本\n", id="other text stays"),
    ],
)
def test_each_is_replaced_by_what_shows_it(text, want):
    assert make_printable(text) == want


@given(
    st.recursive(ANY_TEXT | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_json_and_yaml_are_printable_and_hold_the_very_value(value):
    for text, read in ((json_text(value), json.loads), (yaml_text(value), yaml.safe_load)):
        assert is_printable(text)
        assert read(text) == value


def test_no_part_of_what_rich_shows_is_left_out():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, color_system="truecolor")
    table = Table("a\x9bb", title="\x1b]0;title\x07")
    table.add_row("\x1b[2J", Text("\x9b2J").append("\x1b[H"))
    console.print(table)
    console.print("[bold]\x1b[2J")
    assert "\x1b[2J" not in stream.getvalue()
    assert not {"\x9b", "\x07"} & set(stream.getvalue())
    assert "[bold]␛[2J" in stream.getvalue()


def test_a_log_is_printable_on_a_terminal():
    with Terminal([sys.executable, *PRINT_LOG, LOG_LINE], os.environ) as terminal:
        assert terminal.end() == 0
    assert terminal.shown == "task | INFO done␛]52;c;ZXZpbA==␇�2J\r\n"


def test_a_program_reads_a_log_as_it_is():
    done = subprocess.run([sys.executable, *PRINT_LOG, LOG_LINE], capture_output=True, check=True)
    assert done.stdout.decode() == f"task | {LOG_LINE}\n"
