import textwrap

import pytest

from penstock.api.flow import FlowSpec
from penstock.cli.commands.flows.graph import draw_terminal, select_graph
from penstock.cli.main import main
from penstock.drawing.diagram import build_diagram
from penstock.drawing.dot import write_dot
from penstock.drawing.mermaid import write_mermaid
from penstock.errors import CommandError


def make_spec(*tasks, **fields):
    return FlowSpec.model_validate({"defaults": {"image": "x"}, "tasks": list(tasks), **fields})


def task(name, *depends_on, **fields):
    return {"name": name, **({"dependsOn": list(depends_on)} if depends_on else {}), **fields}


def drawing(spec, run=None):
    return "\n".join(line.plain for line in draw_terminal(build_diagram(spec, run)))


@pytest.mark.parametrize(
    ("tasks", "want"),
    [
        pytest.param([task("a"), task("b", "a")], "● a\n│\n● b", id="a chain goes straight down"),
        pytest.param([task("a"), task("b")], "● a\n● b", id="tasks that have nothing to do with each other"),
        pytest.param(
            [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")],
            "● a\n├─╮\n│ ● b\n● │ c\n├─╯\n● d",
            id="a diamond",
        ),
        pytest.param(
            [task("a"), task("b"), task("c", "a"), task("d", "b"), task("e", "a", "d")],
            "● a\n├─╮\n│ ● c\n│ ● b\n│ │\n│ ● d\n├─╯\n● e",
            id="branches are followed to their end",
        ),
        pytest.param(
            [
                task("a"),
                *(task(f"m{place}", "a") for place in range(4)),
                task("z", *(f"m{place}" for place in range(4))),
            ],
            "● a\n│\n● 4 tasks: m0, m1, m2, m3\n│\n● z",
            id="many that differ in nothing share a row",
        ),
    ],
)
def test_the_terminal_shows_who_waits_for_whom(tasks, want):
    assert drawing(make_spec(*tasks)) == want


def test_the_kind_and_the_conditions_of_a_task_are_shown_next_to_it():
    spec = make_spec(
        task("a", forEach={"count": 3}),
        task("b", when="tasks.a.state == 'Failed'"),
        task("c", dependsOnStates=[{"task": "a", "states": ["Failed", "Skipped"]}]),
        task("d", approval={}),
        task("e", flow={"name": "other"}),
        **{"finally": [task("f")]},
    )
    assert [line.split("● ")[-1] for line in drawing(spec).splitlines() if "● " in line] == [
        "a  (for each of 3 items)",
        "b  (when, if a is finished)",
        "c  (if a is Failed|Skipped)",
        "d  (approval)",
        "e  (flow other)",
        "f",
    ]
    assert "finally\n● f" in drawing(spec)


def test_a_run_shows_its_states():
    run = {
        "metadata": {"name": "r"},
        "status": {"tasks": [{"name": "a", "state": "Failed"}, {"name": "b", "state": "Skipped"}]},
    }
    assert drawing(make_spec(task("a"), task("b", "a")), run) == "✗ a  Failed\n│\n- b  Skipped"


def test_a_fan_out_of_a_run_shows_how_many_of_its_items_have_finished():
    items = {"total": 4, "counts": {"Completed": 2, "Failed": 1, "Running": 1}}
    run = {"metadata": {"name": "r"}, "status": {"tasks": [{"name": "a", "state": "Running", "items": items}]}}
    spec = make_spec(task("a", forEach={"items": "$(params.x)"}), params=[{"name": "x", "type": "array"}])
    assert drawing(spec, run) == "● a  (for each item)  Running 3/4, 1 failed"


def test_a_graph_of_thousands_of_tasks_is_drawn():
    tasks = [task(f"t{place}", *(f"t{other}" for other in {place // 2, place // 3} - {place})) for place in range(2000)]
    lines = drawing(make_spec(*tasks)).splitlines()
    assert sum("●" in line for line in lines) <= 2000


def test_mermaid_has_every_task_edge_and_state():
    spec = make_spec(
        task("a"),
        task("b", dependsOnStates=[{"task": "a", "states": ["Failed"]}]),
        task("c", "a", approval={}),
        **{"finally": [task("d")]},
    )
    run = {"metadata": {"name": "r"}, "status": {"tasks": [{"name": "a", "state": "Failed"}]}}
    assert list(write_mermaid(build_diagram(spec, run))) == [
        "flowchart TD",
        '  t0["a<br/>Failed"]',
        '  t1["b"]',
        '  t2{{"c<br/>approval"}}',
        "  subgraph finally",
        '    t3["d"]',
        "  end",
        "  t0 -. Failed .-> t1",
        "  t0 --> t2",
        "  classDef Failed fill:#f8cfcf,color:#222,stroke:#888",
        "  class t0 Failed",
    ]


def test_dot_has_every_task_and_edge():
    lines = list(write_dot(build_diagram(make_spec(task("a"), task("b", "a"))), 'a "flow"'))
    assert lines[0] == 'digraph "a \\"flow\\"" {'
    assert '  t0 [label="a"];' in lines
    assert "  t0 -> t1;" in lines
    assert lines[-1] == "}"


FLOW = textwrap.dedent("""\
    apiVersion: penstock.dev/v1alpha1
    kind: Flow
    metadata: {name: NAME}
    spec: {tasks: [{name: a, image: x}]}
    """)


class TestFiles:
    """With Flows."""

    def test_the_only_flow_needs_no_name(self):
        assert select_graph(f"kind: ConfigMap\n---\n{FLOW}", file="f.yaml", name=None).name == "NAME"

    def test_of_several_one_has_to_be_named(self):
        both = f"{FLOW.replace('NAME', 'one')}---\n{FLOW.replace('NAME', 'two')}"
        assert select_graph(both, file="f.yaml", name="two").name == "two"
        with pytest.raises(CommandError, match="several Flows; name one of one, two"):
            select_graph(both, file="f.yaml", name=None)
        with pytest.raises(CommandError, match='did you mean "two"'):
            select_graph(both, file="f.yaml", name="tow")

    def test_a_file_without_a_flow_is_refused(self):
        with pytest.raises(CommandError, match=r"contains no Flow$"):
            select_graph("kind: ConfigMap\n", file="f.yaml", name=None)

    def test_a_flow_that_can_not_work_says_why(self, tmp_path, capsys):
        file = tmp_path / "f.yaml"
        file.write_text(FLOW.replace("image: x", "image: x, dependsOn: [b]"))
        assert main(["graph", "-f", str(file)]) == 1
        assert 'there is no task "b"' in capsys.readouterr().err
