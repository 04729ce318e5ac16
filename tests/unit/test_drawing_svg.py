"""Pictures of graphs: where boxes and lines go, and what stands in them."""

import os
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.flow import FlowSpec
from penstock.drawing.diagram import build_diagram, group
from penstock.drawing.layout import Grid, lay_out
from penstock.drawing.png import MAX_SIDE, paint
from penstock.drawing.svg import write_svg

GRID = Grid(box_width=100, box_height=40, gap_x=50, gap_y=20)
ROUNDING = 1e-6
SVG = "{http://www.w3.org/2000/svg}"


def make_nodes(*tasks, run=None, **fields):
    return build_diagram(FlowSpec.model_validate({"defaults": {"image": "x"}, "tasks": list(tasks), **fields}), run)


def task(name, *depends_on, **fields):
    return {"name": name, **({"dependsOn": list(depends_on)} if depends_on else {}), **fields}


def read(nodes, title="t"):
    return ET.fromstring("".join(write_svg(nodes, title)))


def texts(picture):
    return [each.text for each in picture.iter(f"{SVG}text")]


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 25))
    tasks = []
    for place in range(count):
        before = draw(st.lists(st.integers(0, place - 1), max_size=3, unique=True)) if place else []
        tasks.append(task(f"t{place}", *(f"t{other}" for other in before)))
    return make_nodes(*tasks)


@given(graphs())
def test_boxes_do_not_overlap_and_every_line_leads_to_the_right(nodes):
    positions = range(len(nodes))
    layout = lay_out(nodes, positions, GRID)
    assert sorted(box.members for box in layout.boxes) == group(nodes, positions)
    for one, other in combinations([box.corner for box in layout.boxes], 2):
        assert abs(one.x - other.x) >= GRID.box_width - ROUNDING or abs(one.y - other.y) >= GRID.box_height - ROUNDING
    for box in layout.boxes:
        assert 0 <= box.corner.x <= layout.width - GRID.box_width
        assert 0 <= box.corner.y <= layout.height - GRID.box_height + ROUNDING
    corner_of = {member: box.corner for box in layout.boxes for member in box.members}
    ends = {(line.points[0], line.points[-1]) for line in layout.lines}
    for place, node in enumerate(nodes):
        for edge in node.edges:
            start, end = corner_of[edge.task], corner_of[place]
            middle = GRID.box_height / 2
            assert ((start.x + GRID.box_width, start.y + middle), (end.x, end.y + middle)) in ends
    for line in layout.lines:
        assert [point.x for point in line.points] == sorted(point.x for point in line.points)


@given(graphs())
def test_no_line_goes_through_a_box(nodes):
    layout = lay_out(nodes, range(len(nodes)), GRID)
    for line in layout.lines:
        for point in line.points[1:-1]:
            for box in layout.boxes:
                is_beside = point.x < box.corner.x or point.x > box.corner.x + GRID.box_width
                assert is_beside or not box.corner.y + ROUNDING < point.y < box.corner.y + GRID.box_height - ROUNDING


def test_a_run_shows_states_counts_and_a_legend():
    items = {"total": 4, "counts": {"Completed": 3, "Failed": 1}}
    tasks = [
        {"name": "a", "state": "Completed"},
        {"name": "b", "state": "Failed", "items": items},
        {"name": "c", "state": "Skipped"},
        {"name": "d", "state": "Completed"},
    ]
    nodes = make_nodes(
        task("a"),
        task("b", "a", forEach={"count": 4}),
        task("c", "b"),
        **{"finally": [task("d")]},
        run={"metadata": {"name": "r"}, "status": {"tasks": tasks}},
    )
    assert texts(read(nodes, "r  Failed")) == [
        *("r  Failed", "a", "✓ Completed", "b", "for each of 4 items", "✗ Failed 4/4, 1 failed", "c", "- Skipped"),
        *("finally", "d", "✓ Completed"),
        *("✓ Completed 2", "✗ Failed 1", "- Skipped 1"),
    ]


def test_a_flow_has_no_legend_and_says_what_its_tasks_ask_of_others():
    nodes = make_nodes(task("a"), task("b", dependsOnStates=[{"task": "a", "states": ["Failed", "Skipped"]}]))
    assert texts(read(nodes)) == ["t", "Failed or Skipped", "a", "b"]


def test_tasks_that_differ_in_nothing_share_a_box_that_names_them():
    nodes = make_nodes(task("a"), *(task(f"b{place}", "a") for place in range(300)))
    picture = read(nodes)
    assert texts(picture)[2] == "300 tasks"
    assert any((each.text or "").endswith("b298, b299") for each in picture.iter(f"{SVG}title"))


def test_long_text_is_cut_and_markup_is_escaped():
    nodes = make_nodes(task("a" * 60))
    picture = read(nodes, "<b> & co")
    assert texts(picture) == ["<b> & co", "a" * 35 + "…"]
    assert [each.text for each in picture.iter(f"{SVG}title")] == ["<b> & co", "a" * 60]


@pytest.mark.parametrize(
    "upstream",
    [
        pytest.param(lambda place: {place // 2, place // 3} - {place}, id="two lines to each"),
        pytest.param(lambda place: {place - 1} - {-1}, id="a chain"),
        pytest.param(lambda place: {0} - {place}, id="a fan"),
        pytest.param(lambda _: (), id="no lines"),
    ],
)
def test_2000_tasks_make_a_picture_whose_sides_are_within_the_limit(upstream):
    nodes = make_nodes(*(task(f"t{place}", *(f"t{other}" for other in upstream(place))) for place in range(2000)))
    warnings: list[str] = []
    png = paint("".join(write_svg(nodes, "t")), warn=warnings.append)
    assert png.startswith(b"\x89PNG")
    assert max(struct.unpack(">II", png[16:24])) <= MAX_SIDE
    assert all(text.endswith("-o svg is readable") for text in warnings)


DENSE = [task(f"t{place}", *(f"t{other}" for other in {place // 2, place // 3} - {place})) for place in range(60)]
FLOW = "kind: Flow\nmetadata: {name: f}\nspec: {tasks: [{name: a, image: x}]}\n"


def test_the_same_graph_is_always_the_same_picture():
    code = "from tests.unit.test_drawing_svg import *; print(*write_svg(make_nodes(*DENSE), 't'))"
    pictures = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(pictures) == 1


def test_lines_from_one_task_that_pass_a_layer_pass_it_together():
    nodes = make_nodes(task("a"), task("b", "a"), task("c", "a", "b"), task("d", "a", "c"))
    layout = lay_out(nodes, range(4), GRID)
    passing = [line.points[1:3] for line in layout.lines if len(line.points) > 2]
    assert len(passing) == 2
    assert passing[0] == passing[1]


def test_a_png_is_written_to_a_pipe():
    typed = [sys.executable, "-m", "penstock.cli.main", "graph", "-f", "-", "-o", "png"]
    painted = subprocess.run(typed, input=FLOW.encode(), capture_output=True, check=True)
    assert painted.stdout.startswith(b"\x89PNG")
    assert painted.stderr == b""


def test_without_what_paints_the_way_to_get_it_is_one_line():
    code = "import sys; sys.modules['resvg_py'] = None; from penstock.cli.main import main; sys.exit(main())"
    typed = [sys.executable, "-c", code, "graph", "-f", "-", "-o", "png"]
    answer = subprocess.run(typed, input=FLOW, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("penstock: ")
    assert 'pip install ".[png]"' in line
