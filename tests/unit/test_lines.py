from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from penstock.kube.lines import LineSplitter


@given(st.lists(st.binary(max_size=8).filter(lambda line: line and b"\n" not in line)), st.data())
def test_however_a_stream_is_cut_the_same_lines_come(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    edges = [0, *cuts, len(stream)]
    splitter = LineSplitter()
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    assert [line for piece in pieces for line in splitter.feed(piece)] == lines


def test_a_line_without_its_end_waits():
    splitter = LineSplitter()
    assert splitter.feed(b"a\nbeg") == [b"a"]
    assert splitter.feed(b"in") == []
    assert splitter.feed(b"\n\nb\n") == [b"begin", b"b"]
